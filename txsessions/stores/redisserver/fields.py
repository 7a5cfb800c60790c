"""
A record as the fields of a hash, and back.

An attribute has the field C{"="} and its name; the single facts have one letter
each: C{v}ersion, C{d}igest of the verifier, C{c}reated, last C{m}odified,
C{i}dle time-out, C{a}bsolute time-out, C{o}wner.  What lacks is C{None}.  A hash
with the field C{e} is no record: it says why the session has ended.

Times are the server's, as texts that give back every bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, Final, cast

from msgspec.structs import replace

from ...lifetime import deadline
from ...record import UNCHANGED, Change, Record
from ..servertime import ServerTime
from .keys import ownerOf, text

KNOWN: Final = 1000
"""
How many names are remembered.  An application has a few dozen of them.
"""

AT_ONCE: Final = 500
"""
How many attributes the script that does what most changes ask for may set: Lua
passes no more than some thousand values in one call.
"""


class Names(dict[bytes, str | None]):
    """
    The names of attributes by their fields, each decoded once; C{None} for fields
    that are no attributes.
    """

    def __missing__(self, field: bytes) -> str | None:
        """
        See C{dict.__missing__}.
        """
        if len(self) >= KNOWN:
            self.clear()
        name = self[field] = _text(field[1:]) if field.startswith(b"=") else None
        return name


_NAMES: Final = Names()


class Damaged(Exception):
    """
    These fields are no record.
    """


def fieldsOf(record: Record) -> list[bytes]:
    """
    The fields of a record with the times of the server, names and values in
    turn.
    """
    fields = [
        *(b"v", b"%d" % record.version),
        *(b"d", record.verifier),
        *(b"c", number(record.created)),
        *(b"m", number(record.lastModified)),
        *(b"i", number(record.sessionTimeout)),
    ]
    if record.absoluteTimeout is not None:
        fields += (b"a", number(record.absoluteTimeout))
    if record.sessionKey is not None:
        fields += (b"o", text(record.sessionKey))
    for name, value in record.attributes.items():
        fields += (b"=" + text(name), value)
    return fields


def toCreate(record: Record, time: ServerTime) -> list[bytes]:
    """
    The arguments of the script that creates a record.
    """
    record = replace(
        record,
        created=time.toServer(record.created),
        lastModified=time.toServer(record.lastModified),
    )
    owner = b"" if record.sessionKey is None else ownerOf(record.sessionKey) + record.sid.encode()
    return [record.sid.encode(), number(deadline(record)), owner, *fieldsOf(record)]


def toSave(change: Change, time: ServerTime) -> list[bytes]:
    """
    The arguments of the script that saves a change.  Of those which may lack an
    empty one says so, and others begin with C{"="}; C{"-"} stands for C{None}.
    """
    touched = change.lastModified
    idle, absolute = change.sessionTimeout, change.absoluteTimeout
    arguments = [
        change.sid.encode(),
        b"" if change.expectedVersion is None else b"%d" % change.expectedVersion,
        b"" if change.expectedVerifier is None else b"=" + change.expectedVerifier,
        b"" if touched is None else number(time.toServer(touched)),
        b"1" if change.isTouch else b"",
        _fact(change.sessionKey),
        b"" if change.verifier is UNCHANGED else b"=" + change.verifier,
        b"" if idle is UNCHANGED else number(idle),
        b"" if absolute is UNCHANGED else b"-" if absolute is None else number(absolute),
        b"%d" % len(change.set),
    ]
    for name, value in change.set.items():
        arguments += (b"=" + text(name), value)
    arguments += (b"=" + text(name) for name in change.unset)
    return arguments


def toUpdate(change: Change, time: ServerTime) -> list[bytes | int | float] | None:
    """
    The arguments of the script that does what most changes ask for: to set
    attributes, and to touch.  C{None} for a change that asks for more.
    """
    if (
        change.unset
        or change.expectedVerifier is not None
        or change.sessionKey is not UNCHANGED
        or change.verifier is not UNCHANGED
        or change.sessionTimeout is not UNCHANGED
        or change.absoluteTimeout is not UNCHANGED
        or len(change.set) > AT_ONCE
    ):
        return None
    touched, version = change.lastModified, change.expectedVersion
    arguments: list[bytes | int | float] = [
        b"" if touched is None else float(time.toServer(touched)),
        b"" if version is None else version,
    ]
    for name, value in change.set.items():
        arguments += (b"=" + text(name), value)
    return arguments


def fromFields(sid: str, fields: Sequence[bytes], time: ServerTime) -> Record:
    """
    The record that has these fields, names and values in turn.

    @raise Damaged: None has.
    """
    remaining = iter(fields)
    facts = dict(zip(remaining, remaining, strict=False))
    pop = facts.pop
    try:
        verifier, version = pop(b"d"), int(pop(b"v"))
        created, modified, idle = float(pop(b"c")), float(pop(b"m")), float(pop(b"i"))
        absolute, owner = pop(b"a", None), pop(b"o", None)
        until = None if absolute is None else float(absolute)
        sessionKey = None if owner is None else _text(owner)
        attributes = {_NAMES[field]: value for field, value in facts.items()}
    except (KeyError, ValueError) as e:
        raise Damaged from e
    if isnan(created + modified + idle + (until or 0.0)):
        raise Damaged
    attributes.pop(None, None)
    return Record(
        sid,
        verifier,
        time.fromServer(created),
        time.fromServer(modified),
        idle,
        until,
        sessionKey,
        cast("dict[str, bytes]", attributes),
        version,
    )


def number(value: float) -> bytes:
    """
    A number that comes back as it is.
    """
    return repr(float(value)).encode()


def _fact(value: Any) -> bytes:
    """
    A text that may be unchanged, or C{None}.
    """
    if value is UNCHANGED:
        return b""
    return b"-" if value is None else b"=" + text(value)


def _text(value: bytes) -> str:
    """
    What L{text} was made of.
    """
    return value.decode("utf-8", "surrogatepass")
