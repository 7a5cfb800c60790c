"""
Tests for L{txsessions.stores.postgresserver.lookups}: what is asked for at once.
"""

from __future__ import annotations

from typing import Any

from txsessions.stores.postgresserver.kind import TEXT, TEXTS
from txsessions.stores.postgresserver.lookups import Arrangement
from txsessions.stores.postgresserver.statement import Asked, Lookup, Query, Unit

ONE = Query(b"one", "SELECT 1", (TEXT,))
MANY = Query(b"many", "SELECT 2", (TEXTS,))
OTHER = Query(b"other", "SELECT 3", (TEXT,))


def look(key: str) -> Unit:
    """
    A unit that looks for a row.
    """
    return Unit(key, [Lookup(key, ONE, MANY)])


def write(key: str) -> Unit:
    """
    A unit that does something else.
    """
    return Unit(key, [OTHER(key)])


def sent(units: list[Unit]) -> list[Any]:
    """
    The names and first values of what is sent.
    """
    found: list[Any] = []
    for statement in Arrangement(units).statements():
        asked = statement.one(statement.sid) if isinstance(statement, Lookup) else statement
        assert isinstance(asked, Asked)
        found.append((asked.query.name, asked.values[0]))
    return found


def test_atOnce() -> None:
    """
    Several that look are one query, which comes first; each gets its row, also where two
    look for the same, or none.
    """
    units = [write("a"), look("b"), look("c"), look("b"), look("d")]
    assert sent(units) == [(b"many", TEXTS.write(["b", "c", "b", "d"])), (b"other", b"a")]
    rows: Any = [[(b"d", b"4"), (b"b", b"2")], [(b"5",)]]
    assert Arrangement(units).outcomes(rows) == [
        [[(b"5",)]],
        [[(b"b", b"2")]],
        [[]],
        [[(b"b", b"2")]],
        [[(b"d", b"4")]],
    ]


def test_afterChange() -> None:
    """
    What looks for something after it may have been changed comes after that; what looked
    before comes before.
    """
    units = [look("a"), write("a"), look("a"), look("b")]
    assert sent(units) == [
        (b"many", TEXTS.write(["a", "b"])),
        (b"other", b"a"),
        (b"one", b"a"),
    ]
    rows: Any = [[(b"a", b"1")], [(b"2",)], [(b"a", b"3")]]
    assert Arrangement(units).outcomes(rows) == [
        [[(b"a", b"1")]],
        [[(b"2",)]],
        [[(b"a", b"3")]],
        [[]],
    ]


def test_one() -> None:
    """
    One that looks is asked for as it is.
    """
    units = [write("a"), look("b")]
    assert sent(units) == [(b"other", b"a"), (b"one", b"b")]
