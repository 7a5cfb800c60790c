"""
Tests for L{txsessions.stores.sqlitefile.known}: what is known is what is in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import create, newRecord, outcome, sidOf
from twisted.internet.defer import gatherResults

from txsessions.errors import SessionNotFound
from txsessions.record import Change
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import known
from txsessions.stores.sqlitefile.batch import Request
from txsessions.stores.sqlitefile.known import COPIES, COST, Entry, Known


class Stubborn(Known):
    """
    Broken on purpose: what others write does not matter to it.
    """

    def begin(self, epoch: int | None) -> None:
        """
        Forget nothing.
        """


@pytest_twisted.async_yield_fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    """
    A store with three sessions, which it has loaded.
    """
    store = SQLiteStore(path)
    await create(store, 3, attributes={"data:a": b"1", "data:b": b"[2]"})
    await gatherResults([store.loadSession(sidOf(number)) for number in range(3)])
    yield store
    await store.close()


def batchesOf(store: SQLiteStore) -> Any:
    """
    What does the batches of a store.
    """
    return store._worker._perform.__self__  # type: ignore[attr-defined]  # it is a method


def write(path: Path, statement: str, *values: Any) -> None:
    """
    Write as another program does.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


async def others(store: SQLiteStore, path: Path) -> list[Any]:
    """
    What is seen of what another program has written.
    """
    write(path, "UPDATE session SET sessionTimeout = 5.0 WHERE sid = ?", sidOf(0))
    write(path, "DELETE FROM session WHERE sid = ?", sidOf(1))
    changed = await store.loadSession(sidOf(0))
    loaded = await store.loadSession(sidOf(1))
    saved = await outcome(store.saveSession(Change(sidOf(1), set={"data:a": b"2"})))
    return [changed.sessionTimeout, loaded, type(saved)]


@pytest_twisted.ensureDeferred
async def test_others(store: SQLiteStore, path: Path) -> None:
    """
    What another program writes is seen by the next operation, a load or a save.
    """
    assert await others(store, path) == [5.0, None, SessionNotFound]


@pytest_twisted.ensureDeferred
async def test_othersStubborn(store: SQLiteStore, path: Path) -> None:
    """
    A store that does not look whether others have written is found out by that.
    """
    batches = batchesOf(store)
    entries = batches._known._entries
    batches._known = Stubborn()
    batches._known._entries.update(entries)
    assert await others(store, path) == [1e12, newRecord(sidOf(1), **FACTS), int]


FACTS = {"attributes": {"data:a": b"1", "data:b": b"[2]"}}


@pytest_twisted.ensureDeferred
async def test_own(store: SQLiteStore, path: Path) -> None:
    """
    What the store itself has changed is what it gives, and what another store reads.
    """
    changes = [
        Change(sidOf(0), set={"data:a": b"10", "data:c": b'"x"'}, lastModified=3.0),
        Change(sidOf(1), unset=frozenset({"data:b"}), sessionTimeout=7.0, absoluteTimeout=9.0),
        Change(sidOf(2), lastModified=4.0),
        Change(sidOf(0), set={"data:b": b"{}"}, sessionKey="anna", verifier=b"v" * 32),
    ]
    for change in changes:
        await store.saveSession(change)
    own = [await store.loadSession(sidOf(number)) for number in range(3)]
    assert [record.version for record in own] == [3, 2, 1]
    assert own[0].attributes == {"data:a": b"10", "data:b": b"{}", "data:c": b'"x"'}
    assert own[1].attributes == {"data:a": b"1"}
    other = SQLiteStore(path)
    assert [await other.loadSession(sidOf(number)) for number in range(3)] == own
    await other.close()


@pytest_twisted.ensureDeferred
async def test_undone(store: SQLiteStore) -> None:
    """
    What a transaction has changed and did not keep is not known afterwards.
    """

    def breaks(rows: Any) -> None:
        rows.save(Change(sidOf(0), set={"data:a": b"99"}))
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await store._worker.submit(Request(breaks, (), True))
    assert (await store.loadSession(sidOf(0))).attributes["data:a"] == b"1"
    assert (await store.loadSession(sidOf(0))).version == 1


@pytest_twisted.ensureDeferred
async def test_bounded(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The oldest is forgotten where there is too much; nothing is left when the store closes.
    """
    known_ = batchesOf(store)._known
    monkeypatch.setattr(known, "BUDGET", 10 * (COST + 100))
    await create(store, 50)
    for number in range(50):
        await store.loadSession(sidOf(number))
    assert list(known_._entries) == [sidOf(number) for number in range(40, 50)]
    await store.close()
    assert not known_._entries and known_._size == 0


def test_size() -> None:
    """
    What is dropped, or put again, is no longer counted.
    """
    all_ = Known()
    for text in (b"x" * 10, b"x" * 5):
        row = (None,) * 9 + (text, None)
        all_.put(Entry(row, newRecord(sidOf(1)), {}))
        assert all_._size == COST + COPIES * len(text)
    all_.drop(sidOf(1))
    all_.drop(sidOf(2))
    assert all_._size == 0
