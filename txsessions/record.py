"""
A record: the frozen facts that a store keeps of one session; and a change: one
delta to a record.

A store never gets a whole record to overwrite: it gets a L{Change} and applies
it to whatever it holds at that moment, so that concurrent changes of different
attributes all survive.  L{apply} is that one rule; every engine that can read
and write under a lock of its own calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from hmac import compare_digest
from math import isfinite
from types import MappingProxyType
from typing import Any, ClassVar, Final

import attrs
import msgspec

from .errors import SessionEnded, VersionConflict
from .lifetime import IDLE, endReason, isInTime


class Unchanged(Enum):
    """
    The type of L{UNCHANGED}: a fact that a change leaves as it is (C{None}
    is a value of some of them).
    """

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged.UNCHANGED

NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})

AUTHENTICATED: Final = "fact:authenticatedAt"
"""
The attribute that says when the owner logged in: a JSON number, in seconds
since the epoch.
"""

REWORKED: Final = "fact:reworkedAt"
"""
The attribute that says when the session got its present token: a JSON number,
in seconds since the epoch.  One that was never reworked has it from its
beginning.
"""


class Record(msgspec.Struct, frozen=True, gc=False):
    """
    What a store keeps of one session.

    Its C{repr} shows the public handle and nothing that is secret.  Nothing in it
    leads back to it, so Python's collector of garbage need not know of it: of a
    million records it would look at each.

    @ivar sid: The public, stable handle: 32 hexadecimal digits.
    @ivar verifier: The digest of the secret half of the token
        (L{txsessions.token.digest}), 32 bytes.
    @ivar created: When the session began, in seconds since the epoch.
    @ivar lastModified: When it was last touched, in seconds since the epoch.
        Never goes back.
    @ivar sessionTimeout: The idle time-out: how long it lives without a touch,
        in seconds.
    @ivar absoluteTimeout: How long it lives at the most, in seconds from
        C{created}; C{None}: without such a limit.
    @ivar sessionKey: The owner, usually a user name, or C{None}.
    @ivar attributes: What the application keeps: names (C{"data:"} or
        C{"component:"} and a key) to JSON texts; and what no store has to
        understand (C{"fact:"} and a name).
    @ivar version: Counts the changes of content, from 1.  A mere touch does
        not count.
    """

    sid: str
    verifier: bytes
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None = None
    sessionKey: str | None = None
    attributes: Mapping[str, bytes] = NOTHING
    version: int = 1

    __attrs_attrs__: ClassVar[Any]

    def __repr__(self) -> str:
        return f"Record(sid={self.sid!r}, version={self.version!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """
        The same for C{rich}, to which a struct shows all.
        """
        return [("sid", self.sid), ("version", self.version)]

    @property
    def authenticatedAt(self) -> float | None:
        """
        When its owner logged in, in seconds since the epoch; C{None} if that is
        not known.
        """
        return _timeIn(self.attributes, AUTHENTICATED)

    @property
    def reworkedAt(self) -> float:
        """
        When it got its present token, in seconds since the epoch.
        """
        moment = _timeIn(self.attributes, REWORKED)
        return self.created if moment is None else moment


class Change(msgspec.Struct, frozen=True, gc=False):
    """
    One delta to a record.  What is left at its default stays as it is.

    @ivar sid: Whose record.
    @ivar set: Attributes to set: names to JSON texts.
    @ivar unset: Names of attributes to remove; one that is not there is no
        error.
    @ivar lastModified: A touch, in seconds since the epoch; one that is older
        than the record's own changes nothing.
    @ivar sessionKey: The new owner, or C{None} for none.
    @ivar verifier: The new verifier (a rework).
    @ivar sessionTimeout: The new idle time-out, in seconds.
    @ivar absoluteTimeout: The new absolute time-out, in seconds, or C{None}.
    @ivar expectedVersion: Apply only to this version of the record.
    @ivar expectedVerifier: Apply only while this is the verifier.
    """

    sid: str
    set: Mapping[str, bytes] = NOTHING
    unset: frozenset[str] = frozenset()
    lastModified: float | None = None
    sessionKey: str | Unchanged | None = UNCHANGED
    verifier: bytes | Unchanged = UNCHANGED
    sessionTimeout: float | Unchanged = UNCHANGED
    absoluteTimeout: float | Unchanged | None = UNCHANGED
    expectedVersion: int | None = None
    expectedVerifier: bytes | None = None

    __attrs_attrs__: ClassVar[Any]

    def __repr__(self) -> str:
        return f"Change(sid={self.sid!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """
        The same for C{rich}, to which a struct shows all.
        """
        return [("sid", self.sid)]

    @property
    def isTouch(self) -> bool:
        """
        Whether this changes nothing but C{lastModified}.
        """
        return not (
            self.set
            or self.unset
            or self.sessionKey is not UNCHANGED
            or self.verifier is not UNCHANGED
            or self.sessionTimeout is not UNCHANGED
            or self.absoluteTimeout is not UNCHANGED
        )

    @property
    def authenticatedAt(self) -> float | None:
        """
        When the owner that this sets has logged in, in seconds since the epoch;
        C{None} if this does not say.
        """
        return _timeIn(self.set, AUTHENTICATED)


def apply(record: Record, change: Change) -> Record:
    """
    The record as it is after the change.

    @raise VersionConflict: The change was for another version or verifier.
    @raise SessionEnded: The change touches the session after its deadline: a
        touch that comes too late revives nothing.
    """
    if change.expectedVersion is not None and change.expectedVersion != record.version:
        raise VersionConflict(record.sid)
    if change.expectedVerifier is not None and not compare_digest(
        change.expectedVerifier, record.verifier
    ):
        raise VersionConflict(record.sid)
    touched = change.lastModified
    if touched is not None and not isInTime(record, touched):
        raise SessionEnded(record.sid, endReason(record, touched) or IDLE)
    return after(record, change)


def after(record: Record, change: Change, version: int | None = None) -> Record:
    """
    The record after a change that applies.

    @param version: Its version then; C{None}: the one that follows.
    """
    touched, before = change.lastModified, record.lastModified
    idle, absolute = change.sessionTimeout, change.absoluteTimeout
    attributes = mergedAttributes(record.attributes, change)
    if version is None:
        isTouch = attributes is record.attributes and change.isTouch
        version = record.version if isTouch else record.version + 1
    return Record(
        record.sid,
        record.verifier if change.verifier is UNCHANGED else change.verifier,
        record.created,
        before if touched is None or touched < before else touched,
        record.sessionTimeout if idle is UNCHANGED else idle,
        record.absoluteTimeout if absolute is UNCHANGED else absolute,
        record.sessionKey if change.sessionKey is UNCHANGED else change.sessionKey,
        attributes,
        version,
    )


def mergedAttributes(attributes: Mapping[str, bytes], change: Change) -> Mapping[str, bytes]:
    """
    The attributes after the change; a new mapping where it changes any.
    """
    if not change.set and not change.unset:
        return attributes
    merged = {**attributes, **change.set}
    for name in change.unset:
        merged.pop(name, None)
    return merged


def timeText(moment: float) -> bytes:
    """
    A time, in seconds since the epoch, as the JSON text of an attribute.
    """
    return repr(float(moment)).encode("ascii")


def _timeIn(attributes: Mapping[str, bytes], name: str) -> float | None:
    """
    The time in an attribute; C{None} if there is none.
    """
    try:
        moment = float(attributes[name])
    except (KeyError, ValueError):
        return None
    return moment if isfinite(moment) else None


def _attributesOf(kind: type[msgspec.Struct]) -> Any:
    """
    The fields of a value as attrs has them.
    """
    return attrs.fields(attrs.make_class(kind.__name__, list(kind.__struct_fields__)))


# Whoever knows these values as attrs classes may go on to use attrs.evolve.
Record.__attrs_attrs__ = _attributesOf(Record)
Change.__attrs_attrs__ = _attributesOf(Change)
