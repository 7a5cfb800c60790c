"""
Ids of sessions that are the caller's own: any L{int}, any L{bytes}.

A protocol's clients choose such ids themselves.  The store finds the session by
a digest of the id; the record keeps the id as well, so that whoever is told of
the end of the session knows which one it was.
"""

from __future__ import annotations

from typing import Final

from .record import Record
from .token import sidOf

OWN_ID: Final = "fact:sessionID"
"""
The attribute of a record that has the caller's own id: a JSON string.
"""

_INT: Final = "int:"

_BYTES: Final = "bytes:"


def textOf(sessionID: int | bytes) -> bytes:
    """
    The id as the JSON text of an attribute.  Both kinds are in hexadecimal
    digits: a number of any size can be written in them, and read again.

    @raise TypeError: It is no L{int} and no L{bytes}.
    """
    if isinstance(sessionID, int):
        return f'"{_INT}{sessionID:x}"'.encode("ascii")
    if isinstance(sessionID, bytes):
        return f'"{_BYTES}{sessionID.hex()}"'.encode("ascii")
    raise refusal(sessionID)


def ownIDOf(record: Record) -> int | bytes | None:
    """
    The caller's own id of a session; C{None} if it has none, as any session of
    a site.
    """
    text = record.attributes.get(OWN_ID, b"").decode("utf-8", "replace").strip('"')
    try:
        if text.startswith(_INT):
            return int(text.removeprefix(_INT), 16)
        if text.startswith(_BYTES):
            return bytes.fromhex(text.removeprefix(_BYTES))
    except ValueError:
        # Somebody else has written this.
        return None
    return None


def handleOf(sessionID: int | bytes, life: int = 0) -> str:
    """
    The public handle of one life of an id.  No two ids have one in common, and
    neither does a token.

    @raise TypeError: It is no L{int} and no L{bytes}.
    """
    if isinstance(sessionID, int):
        length = sessionID.bit_length() // 8 + 1
        text = b"int\0" + sessionID.to_bytes(length, "big", signed=True)
    elif isinstance(sessionID, bytes):
        text = b"bytes\0" + sessionID
    else:
        raise refusal(sessionID)
    return sidOf(b"txsessions storage\0%d\0%b" % (life, text))


def refusal(sessionID: object) -> TypeError:
    """
    The error for what is no id.  It does not repeat it.
    """
    return TypeError(f"a session ID is an int or bytes, and no {type(sessionID).__name__}")
