"""
Tests for how L{txsessions.stores.sqlite} tells of endings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import (
    CountingReactor,
    Ear,
    create,
    end,
    listening,
    second,
    sidOf,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txsessions.lifetime import LOGOUT, REVOKED
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile.batch import Request


@pytest.fixture
def clock() -> Clock:
    """
    The time of the stores.
    """
    clock = Clock()
    clock.advance(1000)
    return clock


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    """
    A store, closed afterwards.
    """
    made = SQLiteStore(path, clock=clock)
    yield made
    pytest_twisted.blockon(made.close())


@pytest.fixture
def other(path: Path, clock: Clock) -> Iterator[SQLiteStore]:
    """
    Another store on the same file, as another process would have it.
    """
    made = SQLiteStore(path, clock=clock)
    yield made
    pytest_twisted.blockon(made.close())


class TestOwn:
    """
    What the store itself ends.
    """

    @pytest_twisted.ensureDeferred
    async def test_atOnce(self, store: SQLiteStore) -> None:
        """
        It is told at once, in the reactor's thread, before whoever ended it has
        the answer, and once.
        """
        await create(store, 3, sessionKey="anna")
        ear = await listening(store)
        heard: list[int] = []
        answer = store.deleteSession(sidOf(1), LOGOUT)
        answer.addCallback(lambda record: heard.append(len(ear.heard)))
        await answer
        assert heard == [1]
        await store.endSessions("anna")
        expected = [(sidOf(1), LOGOUT), (sidOf(0), REVOKED), (sidOf(2), REVOKED)]
        assert ear.heard == expected
        await second(store, store.clock)
        assert (ear.heard, ear.missed) == (expected, 0)

    @pytest_twisted.ensureDeferred
    async def test_durable(self, store: SQLiteStore, path: Path) -> None:
        """
        It is told when it is on the disk, and never if it is undone.
        """

        def breaks(rows: Any) -> None:
            rows.delete(sidOf(0), LOGOUT, 1.0)
            raise RuntimeError("broken on purpose")

        await create(store, 2)
        seen: list[int] = []

        def ended(sid: str, reason: str) -> None:
            with closing(sqlite3.connect(path)) as connection:
                seen.extend(connection.execute("SELECT count(*) FROM ended").fetchone())

        stop = store.watchEndings(ended, lambda: None)
        with pytest.raises(RuntimeError, match="on purpose"):
            await store._worker.submit(Request(breaks, (), True))
        assert seen == []
        await end(store, 1)
        assert seen == [1]
        stop()

    @pytest_twisted.ensureDeferred
    async def test_nobody(self, path: Path, clock: Clock) -> None:
        """
        While nobody listens the reactor is not called for it, and no time is
        waited for.
        """
        counting = CountingReactor()
        store = SQLiteStore(path, counting, clock)
        await create(store, 1)
        before = counting.count
        await end(store, 0)
        assert counting.count - before == 1
        assert clock.getDelayedCalls() == []
        await store.close()


class TestLeftBehind:
    """
    What is left behind.
    """

    @pytest_twisted.ensureDeferred
    async def test_oneCall(self, store: SQLiteStore, clock: Clock) -> None:
        """
        However many listen there is one delayed call, and none when the last
        has stopped, in whatever order, twice, or while a look is under way.
        """
        ears = [Ear(store) for _ in range(3)]
        await store.hasSession(sidOf(0))
        assert len(clock.getDelayedCalls()) == 1
        ears[0].stop()
        ears[0].stop()
        ears[2].stop()
        assert len(clock.getDelayedCalls()) == 1
        ears[1].stop()
        assert clock.getDelayedCalls() == []
        ear = Ear(store)
        ear.stop()
        await store.hasSession(sidOf(0))
        assert clock.getDelayedCalls() == []
        ears = [await listening(store) for _ in range(2)]
        clock.advance(1)
        for ear in ears:
            ear.stop()
        again = Ear(store)
        await store.hasSession(sidOf(0))
        assert len(clock.getDelayedCalls()) == 1
        again.stop()
        assert clock.getDelayedCalls() == []

    @pytest_twisted.ensureDeferred
    async def test_close(self, store: SQLiteStore, clock: Clock) -> None:
        """
        To close the store ends it all; a look that is under way opens nothing
        again; and to stop afterwards is no error.
        """
        ear = await listening(store)
        clock.advance(1)
        closed = store.close()
        assert clock.getDelayedCalls() == []
        await closed
        assert clock.getDelayedCalls() == []
        clock.advance(10)
        assert not store._worker._isRunning
        ear.stop()
        await create(store, 1)
        await end(store, 0)
        assert ear.heard == []

    @pytest_twisted.ensureDeferred
    async def test_stopWhileHearing(self, store: SQLiteStore, other: SQLiteStore) -> None:
        """
        Who stops while he is told hears no more, of what is told then.
        """
        await create(store, 4)
        heard: list[str] = []
        done: Deferred[None] = Deferred()

        def ended(sid: str, reason: str) -> None:
            heard.append(sid)
            stop()
            done.callback(None)

        stop = store.watchEndings(ended, lambda: None)
        await store.hasSession(sidOf(0))
        await end(other, *range(4))
        store.clock.advance(1)
        await done
        await store.hasSession(sidOf(0))
        assert heard == [sidOf(0)]
        assert store.clock.getDelayedCalls() == []
