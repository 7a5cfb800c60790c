"""
Tests for L{txsessions.jsonvalues}.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict, UserString, defaultdict, namedtuple
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsessions.errors import InvalidSessionData, SessionTooLarge
from txsessions.jsonvalues import LONGEST_NUMBER, checkKey, decode, encode, isText
from txsessions.size import MAXIMUM_BYTES, MAXIMUM_DEPTH

CANARY = "tuna-4711"


def nestedIn(scalars: Any) -> Any:
    """
    A strategy for these scalars, and lists and dicts of them.
    """
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
finite = st.floats(allow_nan=False, allow_infinity=False)


class Colour(str, Enum):
    """
    A member equals its text.
    """

    RED = "red"


class Level(IntEnum):
    """
    A member equals its number.
    """

    HIGH = 1


class Text(str):
    """
    A C{str} that is more than one.
    """


@attrs.define
class Point:
    """
    An attrs class, which msgspec would write as an object.
    """

    x: int = 1


Pair = namedtuple("Pair", "a b")

REFUSED: list[Any] = [
    (),
    (1, 2),
    Pair(1, 2),
    {1, 2},
    frozenset(),
    b"bytes",
    bytearray(b"b"),
    datetime.now(timezone.utc),
    Decimal("1.5"),
    UUID(int=1),
    Colour.RED,
    Level.HIGH,
    Text("text"),
    UserString("text"),
    OrderedDict(a=1),
    defaultdict(list, a=[1]),
    Point(),
    object(),
    int,
    math.nan,
    math.inf,
    -math.inf,
    {1: "a"},
    {None: "a"},
    {Colour.RED: 1},
    1 + 2j,
    "\ud800",
]


def typesOf(value: Any) -> Any:
    """
    The types of a value and of all that is in it.
    """
    if isinstance(value, dict):
        return dict, [(typesOf(key), typesOf(item)) for key, item in value.items()]
    if isinstance(value, list):
        return list, [typesOf(item) for item in value]
    return type(value)


@given(nestedIn(scalars | st.integers() | st.floats() | st.text(st.characters())))
def test_whatIsStoredComesBack(value: Any) -> None:
    """
    Whatever is stored comes back equal, of the same types and in the same order, or is refused
    at once.
    """
    try:
        text = encode("key", value)
    except InvalidSessionData:
        return
    assert decode(text) == value
    assert typesOf(decode(text)) == typesOf(value)
    assert encode("key", decode(text)) == text


@given(nestedIn(scalars | finite))
def test_plainValuesAreKept(value: Any) -> None:
    """
    Nothing is refused that is made of what JSON can express.
    """
    assert decode(encode("key", value)) == value


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "around", [lambda v: v, lambda v: [v], lambda v: {"a": [{"b": v}]}], ids=["", "in", "deep"]
)
def test_refused(value: Any, around: Any) -> None:
    """
    What would come back as something else is refused, wherever it is hidden.
    """
    with pytest.raises(InvalidSessionData, match=r"session\.data\['cart'\] cannot keep this"):
        encode("cart", around(value))


@pytest.mark.parametrize("value", [{"a": {CANARY}}, [CANARY, math.nan], CANARY + "\ud800"])
def test_errorsKeepSecrets(value: Any) -> None:
    """
    The error is one line that names the key and tells nothing of the value.
    """
    with pytest.raises(InvalidSessionData) as caught:
        encode("cart", value)
    text = str(caught.value)
    assert CANARY not in text and "\\ud800" not in text
    assert "\n" not in text and "'cart'" in text


def nested(levels: int) -> Any:
    """
    So many lists and dicts in each other.
    """
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_depth() -> None:
    """
    Containers are nested 32 deep at the most; deeper, and endless, ones are refused.
    """
    assert decode(encode("key", nested(MAXIMUM_DEPTH))) == nested(MAXIMUM_DEPTH)
    endless: list[Any] = []
    endless.append(endless)
    for value in (nested(MAXIMUM_DEPTH + 1), nested(100_000), endless):
        with pytest.raises(SessionTooLarge, match="nested deeper than 32"):
            encode("key", value)


def test_size() -> None:
    """
    A value that is larger than a whole session may be is refused when it is assigned.
    """
    fits = "x" * (MAXIMUM_BYTES - 2)
    assert len(encode("key", fits)) == MAXIMUM_BYTES
    with pytest.raises(SessionTooLarge, match=f"takes {MAXIMUM_BYTES + 1} bytes"):
        encode("key", fits + "x")


def test_endlessNumber() -> None:
    """
    A whole number that can be written and not be read is refused when it is assigned, and
    spoils no session; also where Python has no limit of its own.
    """
    limit = getattr(sys, "get_int_max_str_digits", int)()
    getattr(sys, "set_int_max_str_digits", int)(0)
    try:
        longest = 10 ** (LONGEST_NUMBER - 1)
        for value in (longest, [longest], -longest // 10):
            assert decode(encode("key", value)) == value
        for endless in (10 * longest, [10 * longest]):
            with pytest.raises(InvalidSessionData):
                encode("key", endless)
    finally:
        getattr(sys, "set_int_max_str_digits", int)(limit)


def test_keys() -> None:
    """
    A key is any Unicode text; no other type, and no lone surrogate.
    """
    for key in ("", "a", "ключ", "a\0b", "\U0001f36a"):
        checkKey(key)
    for other in (1, None, b"key", Text("key"), Colour.RED):
        with pytest.raises(TypeError, match="is a str, not"):
            checkKey(other)
    with pytest.raises(InvalidSessionData, match="not Unicode"):
        checkKey("\ud800")


@given(nestedIn(scalars | finite), nestedIn(scalars | finite))
def test_isText(one: Any, other: Any) -> None:
    """
    A text is that of the value that was encoded, and of no other one; C{1}, C{1.0} and C{True}
    are three.
    """
    assert isText(encode("key", one), one)
    assert isText(encode("key", one), other) == (encode("key", one) == encode("key", other))


@pytest.mark.parametrize("value", [(1, None), {1}, [1, math.nan], [1, object()], [1, "\ud800"]])
def test_isNoText(value: Any) -> None:
    """
    What cannot be kept has no text.
    """
    assert not isText(b"[1,null]", value)
