"""
Tests for how L{txsessions.stores.sqlite} tells of endings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import CountingReactor, blocked, newRecord, run, sidOf
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater

from txsessions.lifetime import IDLE, LOGOUT, REVOKED
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
def path(tmp_path: Path) -> Path:
    """
    Where the file is.
    """
    return tmp_path / "sessions.db"


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


class Ear:
    """
    Hears of endings.
    """

    def __init__(self, store: SQLiteStore) -> None:
        self.heard: list[tuple[str, str]] = []
        self.missed = 0
        self.stop = store.watchEndings(self._ended, self._missed)

    def _ended(self, sid: str, reason: str) -> None:
        """
        Note it.
        """
        self.heard.append((sid, reason))

    def _missed(self) -> None:
        """
        Count it.
        """
        self.missed += 1


async def create(store: SQLiteStore, count: int, **facts: Any) -> None:
    """
    Create so many sessions.
    """
    await gatherResults([store.createSession(newRecord(sidOf(n), **facts)) for n in range(count)])


async def end(store: SQLiteStore, *numbers: int) -> None:
    """
    End sessions.
    """
    await gatherResults([store.deleteSession(sidOf(number), LOGOUT) for number in numbers])


async def listening(store: SQLiteStore) -> Ear:
    """
    Somebody who listens, after the first look.
    """
    ear = Ear(store)
    await store.hasSession(sidOf(0))
    return ear


async def second(store: SQLiteStore, clock: Clock) -> None:
    """
    Let a second pass, and the look that is due then be done.
    """
    clock.advance(1)
    await store.hasSession(sidOf(0))


async def until(condition: Callable[[], object]) -> None:
    """
    Wait for something that other processes do.
    """
    for _ in range(1000):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it did not come")


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
