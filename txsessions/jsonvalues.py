"""
Values of a session as JSON texts: what a handler stores is what it gets back,
or it is refused at once.
"""

from __future__ import annotations

from itertools import chain, count
from typing import Final

import msgspec

from .errors import InvalidSessionData, SessionTooLarge
from .size import USUAL, SizeLimits

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
"""
The types whose values cannot change after they were stored.
"""

TYPES: Final = SCALARS | {dict, list}
"""
All types that JSON has.  What is of another one is refused even if it equals
one of these: an C{OrderedDict}, a member of an C{Enum}.
"""

ANOTHER: Final = "it would come back as something else"
"""
What is wrong with most values that are refused.
"""

LONGEST_NUMBER: Final = 4300
"""
A whole number of more digits can be written on some machines, and not be read.
"""

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def encode(key: str, value: object, limits: SizeLimits = USUAL) -> bytes:
    """
    The value as a JSON text (RFC 8259).

    @param key: Under which key, for the text of an error.
    @param limits: How large and how deep it may be.
    @raise InvalidSessionData: Something in it would not come back as it went
        in: a tuple, a set, a date, bytes, a key that is no C{str}, C{NaN}, a
        member of an C{Enum}, an C{OrderedDict}.
    @raise SessionTooLarge: It is nested deeper than allowed, or larger
        than a whole session may be.
    """
    try:
        text = _encode(value)
        isTooLarge = len(text) > limits.maximumBytes
        # Of JSON's own types NaN and the infinities, which are written as null, and
        # endless numbers are all that changes.
        isPlain = b"null" not in text and len(text) <= LONGEST_NUMBER
        isSame = isTooLarge or isPlain or decode(text) == value
    except RecursionError:
        raise _tooDeep(key, limits) from None
    except UnicodeEncodeError:
        raise _refusal(key, value, "it has text that is not Unicode") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as e:
        raise _refusal(key, value, str(e)) from None
    if isTooLarge:
        raise SessionTooLarge(
            f"session.data[{key!r}] takes {len(text)} bytes of JSON: a session keeps "
            f"{limits.maximumBytes} at the most"
        )
    if not isSame:
        raise _refusal(key, value, ANOTHER)
    if type(value) not in SCALARS:
        _checkInside(key, value, limits)
    return text


def isText(text: bytes, value: object) -> bool:
    """
    Whether this is the text of the value, which comes back from it equal.  It
    says nothing else of the value, and is fast.
    """
    try:
        return _encode(value) == text and decode(text) == value
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return False


def checkKey(key: object) -> None:
    """
    Refuse a key that no store could keep.

    @raise TypeError: It is no C{str}.
    @raise InvalidSessionData: It has no form in UTF-8.
    """
    if type(key) is not str:
        raise TypeError(f"a key of session.data is a str, not {type(key).__name__}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidSessionData(
            f"session.data cannot have the key {key!r}: it is not Unicode"
        ) from None


def _checkInside(key: str, value: object, limits: SizeLimits) -> None:
    """
    Refuse what is not of JSON's own types and nothing else, or is nested too
    deep.  It goes level by level, which is the fastest way.
    """
    items = [value]
    for level in count():
        if not set(map(type, items)) <= TYPES:
            raise _refusal(key, value, ANOTHER)
        dicts = [item for item in items if type(item) is dict]
        lists = [item for item in items if type(item) is list]
        if not dicts and not lists:
            return
        if level == limits.maximumDepth:
            raise _tooDeep(key, limits)
        if not set(map(type, chain.from_iterable(dicts))) <= {str}:
            raise _refusal(key, value, ANOTHER)
        items = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]


def _refusal(key: str, value: object, detail: str) -> InvalidSessionData:
    """
    The error for a value that is not taken, in one line.
    """
    return InvalidSessionData(
        f"session.data[{key!r}] cannot keep this {type(value).__name__}: {detail}; "
        "use str, int, float, bool, None, and lists and str-keyed dicts of these"
    )


def _tooDeep(key: str, limits: SizeLimits) -> SessionTooLarge:
    """
    The error for a value that is nested too deep.
    """
    return SessionTooLarge(
        f"session.data[{key!r}] is nested deeper than {limits.maximumDepth} levels"
    )
