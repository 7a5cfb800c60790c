"""
A record as a row of the table.

Attributes are one C{jsonb} object of names and JSON texts as strings in it, and
not as JSON: that would come back with other spaces, other numbers and another
order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ...record import UNCHANGED, Change, Record
from ..claim import Ending
from ..servertime import ServerTime
from .kind import (
    FLOAT,
    INTEGER,
    JSONB,
    TEXT,
    TEXTS,
    TRUTH,
    Row,
    Value,
    escape,
    escapeBytes,
    readFloat,
    readFloats,
    readInteger,
    readJSONB,
    readText,
    unescape,
    unescapeBytes,
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


REASON: Final = 9
"""
Where a row has the reason of the end, after the columns of the record.
"""


ESCAPED: Final = rb"\u001a"
"""
What the JSON text of attributes has in it where anything is escaped.
"""

NO: Final = TRUTH.write(False)
NONE: Final = TEXTS.write(())


class Damaged(ValueError):
    """
    This row is no record.
    """


def fromRow(row: Row, time: ServerTime) -> Record:
    """
    The record in a row.

    @raise Damaged: There is none.
    """
    sid, verifier, created, lastModified, idle, absolute, key, attributes, version = row[:9]
    assert sid is not None and verifier is not None and created is not None
    assert lastModified is not None and idle is not None
    assert attributes is not None and version is not None
    began, touched, timeout = readFloats(created + lastModified + idle)
    return Record(
        readText(sid),
        verifier,
        time.fromServer(began),
        time.fromServer(touched),
        timeout,
        None if absolute is None else readFloat(absolute),
        None if key is None else readText(key),
        _attributes(readJSONB(attributes)),
        readInteger(version),
    )


def endingIn(row: Row, time: ServerTime, report: Callable[[str], object]) -> list[Ending]:
    """
    The ending in a row that has the reason after the columns of the record; none
    if the record is damaged.

    @param report: Called with the C{sid} then.
    """
    sid, reason = row[0], row[REASON]
    assert sid is not None and reason is not None
    try:
        return [Ending(fromRow(row, time), readText(reason))]
    except Damaged:
        report(readText(sid))
        return []


def toRow(record: Record, time: ServerTime) -> tuple[Any, ...]:
    """
    The values of a record, in the order of the columns.
    """
    return (
        record.sid,
        record.verifier,
        time.toServer(record.created),
        time.toServer(record.lastModified),
        record.sessionTimeout,
        record.absoluteTimeout,
        record.sessionKey,
        attributesText(record.attributes),
        record.version,
    )


def toSave(change: Change, time: ServerTime) -> tuple[Any, ...]:
    """
    The values of a change, in the order of the parameters of a save.
    """
    changesAttributes = bool(change.set or change.unset)
    return (
        change.sid,
        None if change.lastModified is None else time.toServer(change.lastModified),
        _given(change.verifier),
        _given(change.sessionTimeout),
        change.absoluteTimeout is not UNCHANGED,
        _given(change.absoluteTimeout),
        change.sessionKey is not UNCHANGED,
        _given(change.sessionKey),
        attributesText(change.set) if changesAttributes else None,
        change.unset if changesAttributes else None,
        0 if change.isTouch else 1,
        change.expectedVersion,
        change.expectedVerifier,
    )


def toUpdate(change: Change, time: ServerTime) -> list[Value] | None:
    """
    The same in their binary format for what most changes ask for: to set attributes,
    and to touch.  C{None} for a change that asks for more.
    """
    if (
        change.unset
        or change.expectedVerifier is not None
        or change.sessionKey is not UNCHANGED
        or change.verifier is not UNCHANGED
        or change.sessionTimeout is not UNCHANGED
        or change.absoluteTimeout is not UNCHANGED
    ):
        return None
    touched, version, attributes = change.lastModified, change.expectedVersion, change.set
    return [
        TEXT.write(change.sid),
        None if touched is None else FLOAT.write(time.toServer(touched)),
        *(None, None, NO, None, NO, None),
        JSONB.write(attributesText(attributes)) if attributes else None,
        NONE if attributes else None,
        INTEGER.write(1 if attributes else 0),
        None if version is None else INTEGER.write(version),
        None,
    ]


def attributesText(attributes: Mapping[str, bytes]) -> bytes:
    """
    Attributes as the JSON text of one object.
    """
    return _encode({escape(name): escapeBytes(value) for name, value in attributes.items()})


def _attributes(text: bytes) -> dict[str, bytes]:
    """
    The attributes in the JSON text of one object.

    @raise Damaged: It is something else.
    """
    try:
        if ESCAPED in text:
            return {unescape(name): unescapeBytes(value) for name, value in _decode(text).items()}
        return {name: value.encode() for name, value in _decode(text).items()}
    except msgspec.MsgspecError as e:
        raise Damaged from e


def _given(fact: Any) -> Any:
    """
    A fact that a change sets; C{None} for one that it leaves as it is.
    """
    return None if fact is UNCHANGED else fact
