"""
Records as plain dictionaries, for stores that need not know what a record is.

Such a dictionary holds text, numbers, C{None} and one dictionary of texts::

    {"sid": "…", "verifier": "…", "created": 1.0, "lastModified": 1.0,
     "sessionTimeout": 1800.0, "absoluteTimeout": None, "sessionKey": "anna",
     "version": 1, "attributes": {"data:cart": '["apple"]'}}

so that any way to write a dictionary will do: JSON, a row, a document.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import CorruptRecord, InvalidSessionData
from ..record import Record


class Plain(msgspec.Struct):
    """
    The form of such a dictionary.
    """

    sid: str
    verifier: str
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None
    sessionKey: str | None
    version: int
    attributes: dict[str, str]

    def __repr__(self) -> str:
        return f"<Plain {self.sid}>"


def plainOf(record: Record) -> dict[str, Any]:
    """
    A record as a plain dictionary, a new one each time.

    @raise InvalidSessionData: An attribute is no text.
    """
    try:
        attributes = {name: text.decode() for name, text in record.attributes.items()}
    except UnicodeDecodeError:
        raise InvalidSessionData(
            f"session {record.sid} cannot be kept: an attribute is no JSON text"
        ) from None
    return {
        "sid": record.sid,
        "verifier": record.verifier.hex(),
        "created": record.created,
        "lastModified": record.lastModified,
        "sessionTimeout": record.sessionTimeout,
        "absoluteTimeout": record.absoluteTimeout,
        "sessionKey": record.sessionKey,
        "version": record.version,
        "attributes": attributes,
    }


def recordOf(sid: str, plain: object) -> Record:
    """
    The record that a plain dictionary was made of.  Further keys are ignored.

    @param sid: Whose record it should be.
    @raise CorruptRecord: It is no such dictionary.
    """
    try:
        found = msgspec.convert(plain, Plain)
        verifier = bytes.fromhex(found.verifier)
    except (msgspec.MsgspecError, ValueError):
        raise CorruptRecord(sid, "it does not have the form of what was saved") from None
    if found.sid != sid:
        raise CorruptRecord(sid, "it is of another session")
    return Record(
        sid=sid,
        verifier=verifier,
        created=found.created,
        lastModified=found.lastModified,
        sessionTimeout=found.sessionTimeout,
        absoluteTimeout=found.absoluteTimeout,
        sessionKey=found.sessionKey,
        attributes={name: text.encode() for name, text in found.attributes.items()},
        version=found.version,
    )
