"""
Tests for the bounds of the journal of L{txsessions.stores.sqlite}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import (
    create,
    end,
    outcome,
    query,
    sidOf,
    traced,
)
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.stores import sqlite
from txsessions.stores.journal import RETENTION, JournalEntry
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import journal


@pytest.fixture
def clock() -> Clock:
    """
    The time of the store.
    """
    return Clock()


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    """
    A store, closed afterwards.
    """
    made = SQLiteStore(path, clock=clock)
    yield made
    pytest_twisted.blockon(made.close())


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """
    What is logged.
    """
    found: list[Any] = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


def sids(entries: Sequence[JournalEntry]) -> list[str]:
    """
    Which sessions have ended.
    """
    return [entry.record.sid for entry in entries]


class TestBounds:
    """
    What is too much.
    """

    @pytest_twisted.ensureDeferred
    async def test_maximum(
        self, store: SQLiteStore, path: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        An observer is kept so many endings and no more; the oldest are dropped,
        some at a time, and it is logged how many; another one loses nothing.
        """
        monkeypatch.setattr(journal, "MAXIMUM", 5)
        monkeypatch.setattr(journal, "AT_ONCE", 3)
        await store.enrol("gone")
        await create(store, 12)
        for number in range(4):
            await store.deleteSession(sidOf(number))
        await store.enrol("mail")
        await gatherResults([store.deleteSession(sidOf(number)) for number in range(4, 9)])
        dropped = [e["count"] for e in events if e.get("observer") == "gone"]
        assert dropped == []
        await store.deleteSession(sidOf(9))
        assert query(path, "SELECT held FROM observer ORDER BY id") == [(7,), (6,)]
        assert sids(await store.takeEndings("gone", 99, 60.0)) == [
            sidOf(number) for number in range(5, 10)
        ]
        assert [(e["observer"], e["count"]) for e in events if "observer" in e] == [
            ("gone", 3),
            ("gone", 2),
            ("mail", 1),
        ]
        assert all("\n" not in str(e["log_format"]) for e in events if "observer" in e)
        assert len(await store.takeEndings("mail", 99, 60.0)) == 5

    @pytest_twisted.ensureDeferred
    async def test_retention(
        self, store: SQLiteStore, path: Path, clock: Clock, events: list[Any]
    ) -> None:
        """
        An ending is kept for a week and no longer, given to somebody or not.
        """
        await store.enrol("gone")
        await create(store, 3)
        await end(store, *range(3))
        await store.takeEndings("gone", 1, 10 * RETENTION)
        clock.advance(RETENTION - 1)
        await create(store, 4)
        await store.deleteSession(sidOf(3))
        assert query(path, "SELECT held FROM observer") == [(4,)]
        clock.advance(1)
        assert sids(await store.takeEndings("gone", 9, 1.0)) == [sidOf(3)]
        assert query(path, "SELECT held FROM observer") == [(1,)]
        assert [e["count"] for e in events if "observer" in e] == [3]

    @pytest_twisted.ensureDeferred
    async def test_dismissed(
        self, store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        What is there for an observer that is dismissed is forgotten some at a
        time; should that be cut short, one of the same name never sees it.
        """
        monkeypatch.setattr(journal, "AT_ONCE", 10)
        await store.enrol("mail")
        await create(store, 35)
        await end(store, *range(35))
        statements = await traced(store)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite, "forget", lambda *arguments: False)
            await store.dismiss("mail")
        await store.enrol("mail")
        assert await store.takeEndings("mail", 9, 60.0) == []
        await create(store, 80)
        await gatherResults([store.deleteSession(sidOf(number)) for number in range(40, 75)])
        statements.clear()
        await store.dismiss("mail")
        assert statements.count("COMMIT") == 5
        assert query(path, "SELECT count(*) FROM journal") == [(35,)]

    @pytest_twisted.ensureDeferred
    async def test_names(self, store: SQLiteStore) -> None:
        """
        What is no name of an observer is refused at once.
        """
        for name in ("", "x" * 201, "a\nb", "\ud800", b"mail"):
            error = await outcome(store.enrol(name))  # type: ignore[arg-type]  # that is the point
            assert type(error) is ValueError
            assert "the name of a durable observer" in str(error)
        await store.enrol("Ω" * 200)
