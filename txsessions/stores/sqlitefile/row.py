"""
A record as a row of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Final, TypeAlias

import msgspec

from ...errors import CorruptRecord, InvalidSessionData
from ...record import NOTHING, Record

Row: TypeAlias = tuple[Any, ...]

COLUMNS: Final = (
    "id, sid, verifier, created, lastModified, sessionTimeout, absoluteTimeout, sessionKey, "
    "version, attributes, deadline"
)
"""
The columns of a L{Row}, in this order.
"""

ID: Final = 0
SID: Final = 1
ATTRIBUTES: Final = 9
DEADLINE: Final = 10
"""
Where in a row they are.
"""

SHAPES: Final = frozenset(
    (int, bytes, bytes, float, float, float, absoluteTimeout, sessionKey, int, bytes, float)
    for absoluteTimeout, sessionKey in product((float, type(None)), (bytes, type(None)))
)
"""
The types that the columns of a sound row may have.
"""

KEPT: Final = COLUMNS.removeprefix("id, ")
"""
The columns that say what a session is: of the tables session, quarantine and
journal.
"""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decodeOne = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


class Damaged(ValueError):
    """
    This row is no record.
    """


class MustWrite(Exception):
    """
    Something is to be written, in a transaction that only reads.
    """


def whole(row: Row) -> Record:
    """
    The record in a row.

    @raise Damaged: There is none.
    """
    return recordOf(row, textsOf(row))


def recordOf(row: Row, texts: Mapping[str, msgspec.Raw]) -> Record:
    """
    The record in a row with these attributes.

    @raise Damaged: There is none.
    """
    return _record(row, {name: bytes(text) for name, text in texts.items()})


def attributesText(
    attributes: Mapping[str, bytes],
    before: Mapping[str, bytes] = NOTHING,
    texts: Mapping[str, msgspec.Raw] | None = None,
) -> tuple[bytes, dict[str, msgspec.Raw]]:
    """
    All attributes as one JSON text, and as they stand in it.  Their values are
    neither decoded nor encoded, but those that are new are looked at, since a bad one
    would damage the whole row.

    @param before: Those that came from a row: the very same objects where they are
        the same.
    @param texts: How these stood in the row.
    @raise InvalidSessionData: One of them is no JSON text, or a name is none.
    """
    known, get = texts or {}, before.get
    try:
        found = {
            name: known[name] if get(name) is text else _decodeOne(str(text, "utf-8"))
            for name, text in attributes.items()
        }
        return _encode(found), found
    except (ValueError, TypeError, RecursionError):
        raise InvalidSessionData(
            "an attribute of the session is no JSON text, or its name is no text at all"
        ) from None


def damageOf(row: Row, damage: Damaged) -> CorruptRecord:
    """
    The error for a row that was put aside.
    """
    return CorruptRecord(
        _shownSid(row), f"{damage}; it is kept in the table quarantine of the same file"
    )


def _shownSid(row: Row) -> str:
    """
    The handle in a damaged row, for the text of an error.
    """
    sid = row[SID]
    if not isinstance(sid, bytes):
        return repr(sid)
    return str(sid[:32], "latin-1").encode("unicode_escape").decode("ascii")


def textsOf(row: Row) -> dict[str, msgspec.Raw]:
    """
    The attributes in a row, as they stand in it.

    @raise Damaged: There are none.
    """
    try:
        return _decode(str(row[ATTRIBUTES], "utf-8"))
    except (ValueError, TypeError, RecursionError):
        raise Damaged("its attributes are no JSON object") from None


def _record(row: Row, attributes: Mapping[str, bytes]) -> Record:
    """
    A row with its attributes as a record.
    """
    if tuple(map(type, row)) not in SHAPES:
        raise Damaged("a column has a value of the wrong type")
    _, sid, verifier, created, lastModified, idle, absolute, sessionKey, version, _, _ = row
    try:
        key = None if sessionKey is None else str(sessionKey, "utf-8")
        handle = str(sid, "ascii")
        return Record(
            handle, verifier, created, lastModified, idle, absolute, key, attributes, version
        )
    except UnicodeDecodeError:
        raise Damaged("its handle or its owner is no text") from None
