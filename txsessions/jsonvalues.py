"""
Values of a session as JSON texts: what a handler stores is what it gets back,
or it is refused at once.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .errors import InvalidSessionData, SessionTooLarge

MAXIMUM_DEPTH: Final = 32
"""
How deep containers may be nested.  Deep data takes the stack of whoever reads
it; nobody needs it in a session.
"""

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
"""
The types whose values cannot change after they were stored.
"""

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def encode(key: str, value: object) -> bytes:
    """
    The value as a JSON text (RFC 8259).

    @param key: Under which key, for the text of an error.
    @raise InvalidSessionData: Something in it would not come back as it went
        in: a tuple, a set, a date, bytes, a key that is no C{str}, C{NaN}.
    @raise SessionTooLarge: It is nested deeper than L{MAXIMUM_DEPTH}.
    """
    try:
        text = _encode(value)
        same = decode(text) == value
    except RecursionError:
        raise _tooDeep(key) from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as e:
        raise InvalidSessionData(_refusal(key, type(value).__name__, str(e))) from None
    if not same:
        raise InvalidSessionData(
            _refusal(key, type(value).__name__, "it would come back as something else")
        )
    if type(value) not in SCALARS and _isDeeper(value, MAXIMUM_DEPTH):
        raise _tooDeep(key)
    return text


def _refusal(key: str, kind: str, detail: str) -> str:
    """
    One line for a value that is not taken.
    """
    return (
        f"session.data[{key!r}] cannot keep this {kind}: {detail}; "
        "use str, int, float, bool, None, and lists and str-keyed dicts of these"
    )


def _tooDeep(key: str) -> SessionTooLarge:
    """
    The error for a value that is nested too deep.
    """
    return SessionTooLarge(f"session.data[{key!r}] is nested deeper than {MAXIMUM_DEPTH} levels")


def _isDeeper(value: object, levels: int) -> bool:
    """
    Whether containers are nested in more than so many levels.
    """
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return levels == 0 or any(_isDeeper(item, levels - 1) for item in inner)
