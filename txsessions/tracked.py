"""
What a tracker sees of its live session, and how that differs from a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, Final, Protocol

import attrs
from msgspec.structs import replace

from .errors import SessionError
from .lifetime import touchInterval
from .record import NOTHING, Change, Record, mergedAttributes
from .size import USUAL, SizeLimits
from .token import INSECURE, digest, parseAny

FACTS: Final = ("created", "sessionTimeout", "absoluteTimeout", "sessionKey")
"""
What a live session and its record have in common, besides the content.
"""


class Part(Protocol):
    """
    A part of a session's content that knows what has changed in it.
    """

    def changes(self) -> tuple[dict[str, bytes], Set[str]]:
        """
        The attributes to set, and the names of those to remove, to store what
        has changed.
        """

    def stored(self, attributes: Mapping[str, bytes], names: Iterable[str] | None = None) -> None:
        """
        Note what is stored, or on its way there.

        @param names: Of those that may differ from what was told before;
            C{None}: any may.
        """

    def refresh(self, attributes: Mapping[str, bytes]) -> None:
        """
        Take over what others have stored, but for what was changed here.
        """

    def forgetChanges(self) -> None:
        """
        Go back to what is stored.
        """


class Tracked(Protocol):
    """
    What a tracker reads and writes of its live session.
    """

    uid: bytes
    audience: bytes | None
    sessionKey: str | None
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None

    @property
    def limits(self) -> SizeLimits:
        """
        How large it may grow.
        """

    def parts(self) -> tuple[Part, ...]:
        """
        The parts of its content.
        """

    def isWorthStoring(self) -> bool:
        """
        Whether a session that is not stored yet has to be.
        """

    def renewToken(self) -> None:
        """
        Get another C{uid}, because this one is taken.
        """

    def ended(self, reason: str) -> None:
        """
        Be told that the session has ended.
        """


@attrs.define(repr=False)
class Departed:
    """
    Stands for a live session that has ended, where nobody has to know it any
    more.  See L{Tracked}.
    """

    uid: bytes = attrs.field(repr=False)
    audience: bytes | None = None
    sessionKey: str | None = attrs.field(default=None, repr=False)
    created: float = 0.0
    lastModified: float = 0.0
    sessionTimeout: float = 0.0
    absoluteTimeout: float | None = None
    limits: SizeLimits = USUAL

    def parts(self) -> tuple[Part, ...]:
        """
        See L{Tracked.parts}.
        """
        return ()

    def isWorthStoring(self) -> bool:
        """
        See L{Tracked.isWorthStoring}.
        """
        return False

    def renewToken(self) -> None:
        """
        See L{Tracked.renewToken}.
        """

    def ended(self, reason: str) -> None:
        """
        See L{Tracked.ended}.
        """


def recordOf(live: Tracked, also: Mapping[str, bytes] = NOTHING, **facts: Any) -> Record:
    """
    The record of a session that is not stored yet.

    @param also: Attributes besides its content.
    @param facts: Those that are to be others than those of the live session.
    """
    token = parseAny(live.uid)
    if token is None:
        raise SessionError("a session's uid must be bytes, 1 to 1024 of them, to be stored")
    attributes = dict(also)
    for part in live.parts():
        attributes.update(part.changes()[0])
    live.limits.check(attributes)
    usual = {
        "verifier": digest(token.verifier, live.audience or INSECURE),
        "lastModified": live.lastModified,
        "attributes": attributes or NOTHING,
        **{name: getattr(live, name) for name in FACTS},
    }
    return Record(token.sid, **{**usual, **facts})


def changeOf(live: Tracked, record: Record) -> Change | None:
    """
    What has changed in a session since its record was stored; C{None} for
    nothing but perhaps a touch.
    """
    changed: Mapping[str, bytes] = NOTHING
    removed: Set[str] = frozenset()
    for part in live.parts():
        some, others = part.changes()
        if some:
            changed = {**changed, **some} if changed else some
        if others:
            removed = removed | others
    isAsBefore = (
        live.sessionKey == record.sessionKey
        and live.sessionTimeout == record.sessionTimeout
        and live.absoluteTimeout == record.absoluteTimeout
    )
    if isAsBefore and not changed and not removed:
        return None
    # An older one changes nothing.
    change = Change(record.sid, changed, frozenset(removed), live.lastModified)
    if not isAsBefore:
        change = replace(change, **_changedFacts(live, record))
    for name, text in changed.items():
        if len(text) > len(record.attributes.get(name, b"")):
            # Where nothing takes more than before, no limit is passed.
            live.limits.check(mergedAttributes(record.attributes, change))
            break
    return change


def _changedFacts(live: Tracked, record: Record) -> dict[str, Any]:
    """
    The facts that were changed since they were stored.
    """
    return {
        name: getattr(live, name)
        for name in FACTS[1:]
        if getattr(live, name) != getattr(record, name)
    }


def dueTouchOf(live: Tracked, record: Record) -> Change | None:
    """
    The touch alone, if the stored C{lastModified} has grown so old that it has
    to be written; C{None} if not.
    """
    age = live.lastModified - record.lastModified
    if age > 0 and age >= touchInterval(record.sessionTimeout):
        return Change(record.sid, lastModified=live.lastModified)
    return None


def takeOver(live: Tracked, record: Record, before: Record | None) -> None:
    """
    Give a live session the record's facts, but for those that were changed
    there since they were as in C{before}.
    """
    for name in FACTS:
        fact = getattr(record, name)
        mine = getattr(live, name)
        if mine != fact and (before is None or mine == getattr(before, name)):
            setattr(live, name, fact)
    live.lastModified = max(live.lastModified, record.lastModified)
