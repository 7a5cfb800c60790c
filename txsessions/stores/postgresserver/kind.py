"""
How values travel to the server and back: PostgreSQL's binary formats.

Its C{text} and C{jsonb} cannot hold all that a session can: no NUL, no half of a
surrogate pair, and no bytes that are not UTF-8.  What they cannot hold is escaped,
so that a column still reads as what it is.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final, TypeAlias

import attrs

Value: TypeAlias = bytes | None
"""
A value in its binary format; L{None} for SQL's C{NULL}.
"""

Row: TypeAlias = tuple[Value, ...]
"""
One row of an answer.
"""

_FLOAT: Final = Struct("!d")
_FLOATS: Final = Struct("!3d")
_INTEGER: Final = Struct("!q")
_LENGTH: Final = Struct("!i")
_ARRAY: Final = Struct("!iiIii")

_TEXT_TYPE: Final = 25

_escapeAll = re.compile("[\0\x1a\ud800-\udfff]").sub
_unescapeAll = re.compile("\x1a([0-9a-f]{4})").sub


def escape(text: str) -> str:
    """
    Any text, as one that PostgreSQL can hold: what it cannot, and the
    character SUBSTITUTE itself, becomes a SUBSTITUTE and four hexadecimal
    digits.
    """
    # Neither those characters nor many others are printable.
    if text.isprintable():
        return text
    return _escapeAll(lambda match: f"\x1a{ord(match[0]):04x}", text)


def unescape(text: str) -> str:
    """
    The text that was escaped.
    """
    if "\x1a" not in text:
        return text
    return _unescapeAll(lambda match: chr(int(match[1], 16)), text)


def escapeBytes(value: bytes) -> str:
    """
    Any bytes as a text that PostgreSQL can hold: UTF-8 is that text, as far as
    it has neither NUL nor SUBSTITUTE; all else becomes a SUBSTITUTE and Base64.
    """
    if b"\0" not in value and b"\x1a" not in value:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return f"\x1a{b2a_base64(value, newline=False).decode('ascii')}"


def unescapeBytes(text: str) -> bytes:
    """
    The bytes that were escaped.
    """
    if text[:1] == "\x1a":
        try:
            return a2b_base64(text[1:])
        except (ValueError, UnicodeError):
            pass
    return text.encode("utf-8")


@attrs.frozen
class Kind:
    """
    A type of PostgreSQL, as the type of a parameter.

    @ivar oid: Its number in C{pg_type}.
    @ivar write: A Python value in its binary format.
    """

    oid: int
    write: Callable[[Any], bytes]


def _writeTexts(texts: Iterable[str]) -> bytes:
    """
    An array of one dimension, as C{array_send} writes it.
    """
    items = [escape(text).encode() for text in texts]
    parts = [_ARRAY.pack(1, 0, _TEXT_TYPE, len(items), 1)]
    for item in items:
        parts += (_LENGTH.pack(len(item)), item)
    return b"".join(parts)


TRUTH: Final = Kind(16, lambda value: b"\1" if value else b"\0")
BYTES: Final = Kind(17, bytes)
INTEGER: Final = Kind(20, _INTEGER.pack)
TEXT: Final = Kind(_TEXT_TYPE, lambda text: escape(text).encode())
FLOAT: Final = Kind(701, _FLOAT.pack)
TEXTS: Final = Kind(1009, _writeTexts)
JSONB: Final = Kind(3802, lambda text: b"\1" + text)


def readText(value: bytes) -> str:
    """
    A C{text} that was escaped.
    """
    return unescape(value.decode())


def readFloat(value: bytes) -> float:
    """
    A C{double precision}.
    """
    number: float = _FLOAT.unpack(value)[0]
    return number


def readFloats(values: bytes) -> tuple[float, float, float]:
    """
    Three of them.
    """
    first, second, third = _FLOATS.unpack(values)
    return first, second, third


def readInteger(value: bytes) -> int:
    """
    A C{bigint}.
    """
    number: int = _INTEGER.unpack(value)[0]
    return number


def readTruth(value: bytes) -> bool:
    """
    A C{boolean}.
    """
    return value == b"\1"


def readJSONB(value: bytes) -> bytes:
    """
    The JSON text of a C{jsonb}.
    """
    return value[1:]
