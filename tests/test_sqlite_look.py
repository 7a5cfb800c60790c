"""
Tests for how L{txsessions.stores.sqlite} tells of endings that other processes
make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from sqlitetools import (
    Ear,
    blocked,
    create,
    end,
    listening,
    newRecord,
    run,
    second,
    sidOf,
)
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from txsessions.lifetime import IDLE, LOGOUT
from txsessions.stores.remembrance import RETENTION
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import look, sweep
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


async def until(condition: Callable[[], object]) -> None:
    """
    Wait for something that other processes do.
    """
    for _ in range(1000):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it did not come")


class TestOthers:
    """
    What another process ends.
    """

    @pytest_twisted.ensureDeferred
    async def test_onceASecond(self, store: SQLiteStore, other: SQLiteStore, clock: Clock) -> None:
        """
        It is told at the next look, and not before; each once, also among what
        the store itself ends.
        """
        await create(store, 6)
        ear = await listening(store)
        await end(other, 0, 1)
        await end(store, 2)
        await end(other, 3)
        assert ear.heard == [(sidOf(2), LOGOUT)]
        clock.advance(0.99)
        await store.hasSession(sidOf(0))
        assert ear.heard == [(sidOf(2), LOGOUT)]
        clock.advance(0.01)
        await store.hasSession(sidOf(0))
        assert ear.heard == [(sidOf(number), LOGOUT) for number in (2, 0, 1, 3)]
        await end(other, 4)
        await second(store, clock)
        await second(store, clock)
        assert ear.heard[4:] == [(sidOf(4), LOGOUT)]
        assert ear.missed == 0

    @pytest_twisted.ensureDeferred
    async def test_meanwhile(self, store: SQLiteStore, other: SQLiteStore, clock: Clock) -> None:
        """
        What ends between the beginning of a watch and its first look is told.
        """
        await create(store, 2)
        await end(other, 0)
        clock.advance(60)
        release = await blocked(store)
        ear = Ear(store)
        await end(other, 1)
        release.set()
        await store.hasSession(sidOf(0))
        assert ear.heard == [(sidOf(1), LOGOUT)]

    @pytest_twisted.ensureDeferred
    async def test_many(
        self, store: SQLiteStore, other: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Many are told some at a time, one look after the other, without waiting.
        """
        monkeypatch.setattr(look, "WINDOW", 10)
        await create(store, 40)
        ear = await listening(store)
        await end(other, *range(40))
        clock.advance(1)
        for page in range(1, 5):
            await store.hasSession(sidOf(0))
            assert len(ear.heard) == 10 * page
        await store.hasSession(sidOf(0))
        assert ear.heard == [(sidOf(number), LOGOUT) for number in range(40)]
        assert len(clock.getDelayedCalls()) == 1

    @pytest_twisted.ensureDeferred
    async def test_pruned(
        self, store: SQLiteStore, other: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        What was forgotten before it was seen counts as missed, be it some or
        all; what was seen before does not.
        """
        await create(store, 20)
        ear = await listening(store)
        await end(other, *range(3))
        await second(store, clock)
        monkeypatch.setattr(sweep, "MAXIMUM", 4)
        await end(other, *range(3, 6))
        await other.claimExpired(1)
        await second(store, clock)
        assert (len(ear.heard), ear.missed) == (6, 0)
        await end(other, *range(6, 12))
        await other.claimExpired(1)
        await second(store, clock)
        assert ear.missed == 1
        assert ear.heard[6:] == [(sidOf(number), LOGOUT) for number in range(8, 12)]
        await end(other, 12)
        release = await blocked(store)
        clock.advance(RETENTION)
        await other.claimExpired(1)
        release.set()
        await store.hasSession(sidOf(0))
        assert (len(ear.heard), ear.missed) == (10, 2)
        await end(other, 13)
        await second(store, clock)
        assert (ear.heard[10:], ear.missed) == ([(sidOf(13), LOGOUT)], 2)

    @pytest_twisted.ensureDeferred
    async def test_replaced(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """
        When another file has come to its place some may have been missed.
        """
        await create(store, 5)
        ear = await listening(store)
        await end(store, *range(5))
        await second(store, clock)
        await store._worker.submit(
            Request(lambda rows: rows.connection.execute("DELETE FROM ended"), (), True)
        )
        await store._worker.submit(
            Request(
                lambda rows: rows.connection.execute("UPDATE sqlite_sequence SET seq = 0"), (), True
            )
        )
        await second(store, clock)
        assert ear.missed == 1
        await store.createSession(newRecord(sidOf(9)))
        await end(store, 9)
        assert ear.heard[-1] == (sidOf(9), LOGOUT)

    @pytest_twisted.ensureDeferred
    async def test_unavailable(
        self, store: SQLiteStore, other: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A look that fails is made again a second later, and misses nothing.
        """
        await create(store, 1)
        ear = await listening(store)
        await end(other, 0)
        with monkeypatch.context() as patch:
            patch.setattr(look, "LAST", "SELECT nothing FROM nowhere")
            await second(store, clock)
            await second(store, clock)
        assert ear.heard == []
        await second(store, clock)
        assert (ear.heard, ear.missed) == ([(sidOf(0), LOGOUT)], 0)

    @pytest_twisted.ensureDeferred
    async def test_processes(self, path: Path) -> None:
        """
        What other processes end is heard of on the time of the reactor.
        """
        store = SQLiteStore(path)
        await create(store, 30, sessionTimeout=1.0)
        ear = await listening(store)
        await run("sqlitechild.py", "sweep", str(path))
        await until(lambda: len(ear.heard) == 30)
        assert dict(ear.heard) == dict.fromkeys(map(sidOf, range(30)), IDLE)
        await store.close()
