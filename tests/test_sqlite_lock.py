"""
Tests for what L{txsessions.stores.sqlite} does while others have its lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from sqlitetools import SID, blocked, newRecord, outcome, sidOf
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from txsessions.errors import StoreUnavailable
from txsessions.record import Change
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import file as fileModule
from txsessions.stores.sqlitefile.batch import Batches, Request
from txsessions.stores.sqlitefile.file import SQLiteFile
from txsessions.stores.sqlitefile.lock import FileLock
from txsessions.stores.sqlitefile.rows import Rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """
    A store, closed afterwards.
    """
    made = SQLiteStore(tmp_path / "sessions.db")
    yield made
    pytest_twisted.blockon(made.close())


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[FileLock]:
    """
    The lock of that store, as another process has it.
    """
    made = FileLock(str(tmp_path / "sessions.db-lock"))
    yield made
    made.close()


class Ticks:
    """
    Counts what the reactor has done meanwhile.
    """

    def __init__(self) -> None:
        self.count = 0
        self._call = LoopingCall(self._tick)
        self._call.start(0.01)

    def _tick(self) -> None:
        """
        Some other work of the reactor.
        """
        self.count += 1

    def stop(self) -> int:
        """
        How much work there was.
        """
        self._call.stop()
        return self.count


class TestLock:
    """
    While another process has the lock.
    """

    @pytest_twisted.ensureDeferred
    async def test_waits(self, store: SQLiteStore, lock: FileLock) -> None:
        """
        A write waits for the lock; what only reads is answered meanwhile, and
        the reactor goes on.
        """
        await store.createSession(newRecord())
        release = await blocked(store)
        lock.acquire()
        answered: list[str] = []
        save = store.saveSession(Change(SID, set={"data:a": b"1"}))
        save.addCallback(lambda _: answered.append("save"))
        store.hasSession(sidOf(1)).addCallback(lambda _: answered.append("read"))
        ticks = Ticks()
        release.set()
        await deferLater(reactor, 0.3)
        assert answered == ["read"]
        assert ticks.stop() > 10
        lock.release()
        await save
        assert answered == ["read", "save"]

    @pytest_twisted.ensureDeferred
    async def test_waitsInTheReactor(
        self, lock: FileLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The same finds a store that waits in the thread of the reactor.
        """
        monkeypatch.setattr(fileModule, "PATIENCE", 0.3)
        lock.acquire()
        ticks = Ticks()
        batches = Batches(SQLiteFile(str(tmp_path / "sessions.db")), print)
        (failed,) = batches.perform([Request(Rows.create, (newRecord(),), True)])
        assert isinstance(failed, Failure)
        assert ticks.stop() <= 1

    @pytest_twisted.ensureDeferred
    async def test_givesUp(
        self, store: SQLiteStore, lock: FileLock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A write that waits for too long fails; nothing is changed, what reads is
        not held up, and when the lock is free everything works again.
        """
        monkeypatch.setattr(fileModule, "PATIENCE", 0.2)
        await store.createSession(newRecord())
        lock.acquire()
        change = Change(SID, set={"data:a": b"1"})
        for _ in range(2):
            failed = await outcome(store.saveSession(change))
            assert type(failed) is StoreUnavailable
            assert await store.loadSession(SID) == newRecord()
        lock.release()
        assert await store.saveSession(change) == 2

    @pytest_twisted.ensureDeferred
    async def test_otherProgram(self, store: SQLiteStore, tmp_path: Path) -> None:
        """
        A program that knows nothing of the lock but SQLite's is waited for as well.
        """
        await store.createSession(newRecord())
        other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        save = store.saveSession(Change(SID, set={"data:a": b"1"}))
        assert await store.loadSession(sidOf(1)) is None
        await deferLater(reactor, 0.05)
        assert not save.called
        other.execute("ROLLBACK")
        other.close()
        assert await save == 2

    @pytest_twisted.ensureDeferred
    async def test_closes(
        self, store: SQLiteStore, lock: FileLock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A store can be closed although another process keeps the lock.
        """
        monkeypatch.setattr(fileModule, "PATIENCE", 0.1)
        await store.createSession(newRecord())
        lock.acquire()
        await store.close()
        lock.release()
        assert await store.loadSession(SID) == newRecord()
