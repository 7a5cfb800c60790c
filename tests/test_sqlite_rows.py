"""
Tests for the rows of L{txsessions.stores.sqlite}: damaged ones, due ones, and
many.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import newRecord, outcome, sidOf
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.errors import CorruptRecord, SessionEnded
from txsessions.lifetime import ABSOLUTE, IDLE
from txsessions.record import Change
from txsessions.stores import sqlite
from txsessions.stores.remembrance import RETENTION
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import sweep
from txsessions.stores.sqlitefile.row import COLUMNS

DAMAGES = {
    "attributes": ["x'ff'", "'{'", "'[]'", "'{\"a\":01}'", "''", "x'7b2261223a22ff227d'", "5"],
    "verifier": ["5", "1.5"],
    "created": ["'soon'", "x'00'"],
    "lastModified": ["''"],
    "sessionTimeout": ["'long'"],
    "absoluteTimeout": ["'never'"],
    "sessionKey": ["x'ff'"],
    "version": ["'one'", "1.5", "x'01'"],
    "deadline": ["'never'", "x'00'"],
}


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


def query(path: Path, statement: str, *arguments: Any) -> list[Any]:
    """
    What another program does to the file.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, arguments).fetchall()


async def create(store: SQLiteStore, count: int, **facts: Any) -> None:
    """
    Create so many sessions.
    """
    await gatherResults([store.createSession(newRecord(sidOf(n), **facts)) for n in range(count)])


async def claimAll(store: SQLiteStore, limit: int) -> list[str]:
    """
    The handles of all that is due, in the order in which it is claimed.
    """
    found: list[str] = []
    for _ in range(100):
        claim = await store.claimExpired(limit)
        found += [ending.record.sid for ending in claim.endings]
        if claim.nextDeadline is None or claim.nextDeadline > store.clock.seconds():
            return found
    raise AssertionError("there is always more to claim")


class TestQuarantine:
    """
    Rows that are no records.
    """

    @pytest.mark.parametrize(
        ("column", "value"), [(column, value) for column in DAMAGES for value in DAMAGES[column]]
    )
    @pytest_twisted.ensureDeferred
    async def test_damage(
        self, store: SQLiteStore, path: Path, events: list[Any], column: str, value: str
    ) -> None:
        """
        Whatever is damaged, the row is put aside whole, told once, and logged.
        """
        await create(store, 2, sessionKey="anna", attributes={"data:a": b'"secret"'})
        query(path, f"UPDATE session SET {column} = {value} WHERE sid = ?", sidOf(0))
        columns = COLUMNS.removeprefix("id, ")
        before = query(path, f"SELECT {columns} FROM session WHERE sid = ?", sidOf(0))
        error = await outcome(store.loadSession(sidOf(0)))
        assert type(error) is CorruptRecord
        assert error.sid == sidOf(0)
        assert "quarantine" in str(error)
        assert await store.loadSession(sidOf(0), "nothing") == "nothing"
        assert query(path, f"SELECT {columns} FROM quarantine") == before
        assert (await store.loadSession(sidOf(1))).attributes == {"data:a": b'"secret"'}
        logged = [event["error"] for event in events if "error" in event]
        assert [str(each) for each in logged] == [str(error)]
        assert "secret" not in str(error)

    @pytest_twisted.ensureDeferred
    async def test_damagedHandle(self, store: SQLiteStore, path: Path) -> None:
        """
        A row whose handle is damaged is put aside by whoever comes upon it.
        """
        await create(store, 3)
        query(path, "UPDATE session SET sid = x'0aff' WHERE id = 2")
        assert [sid async for sid, _ in store.iterSessions()] == [sidOf(0), sidOf(2)]
        assert query(path, "SELECT sid FROM quarantine") == [(b"\x0a\xff",)]

    @pytest_twisted.ensureDeferred
    async def test_everyOperation(self, store: SQLiteStore, path: Path) -> None:
        """
        Each operation that names a damaged session says so, once.
        """
        await create(store, 4)
        query(path, "UPDATE session SET attributes = '{'")
        for answer in (
            store.loadSession(sidOf(0)),
            store.hasSession(sidOf(1)),
            store.saveSession(Change(sidOf(2), lastModified=1.0)),
            store.deleteSession(sidOf(3)),
        ):
            assert type(await outcome(answer)) is CorruptRecord
        assert await store.hasSession(sidOf(1)) is False
        assert await store.deleteSession(sidOf(3)) is None
        assert query(path, "SELECT count(*) FROM quarantine") == [(4,)]

    @pytest_twisted.ensureDeferred
    async def test_many(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """
        Among many damaged rows every sound one is found and claimed, and every
        damaged one is put aside.
        """
        await create(store, 1000, sessionTimeout=60.0)
        source = random.Random(1)
        damaged = set(source.sample(range(1000), 300))
        with closing(sqlite3.connect(path)) as connection, connection:
            for number in damaged:
                column = source.choice(list(DAMAGES))
                value = source.choice(DAMAGES[column])
                statement = f"UPDATE session SET {column} = {value} WHERE sid = ?"
                connection.execute(statement, (sidOf(number),))
        sound = {sidOf(number) for number in range(1000) if number not in damaged}
        clock.advance(60)
        assert set(await claimAll(store, 90)) == sound
        assert query(path, "SELECT count(*) FROM session") == [(0,)]
        assert query(path, "SELECT count(*) FROM quarantine") == [(300,)]


class TestSweep:
    """
    What is due.
    """

    @pytest.mark.parametrize("limit", [1, 2, 7, 500])
    @pytest_twisted.ensureDeferred
    async def test_order(
        self, store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, limit: int
    ) -> None:
        """
        What is longest overdue is claimed first, also among sessions that were
        touched, and nothing is claimed early.
        """
        monkeypatch.setattr(sweep, "WINDOW", 3)
        await create(store, 60, sessionTimeout=100.0)
        touched = random.Random(limit).sample(range(1, 95), 60)
        for number, moment in enumerate(touched):
            await store.saveSession(Change(sidOf(number), lastModified=float(moment)))
        clock.advance(100)
        assert await claimAll(store, limit) == []
        clock.advance(60)
        due = sorted((moment, number) for number, moment in enumerate(touched) if moment <= 60)
        assert await claimAll(store, limit) == [sidOf(number) for _, number in due]
        clock.advance(100)
        assert len(await claimAll(store, limit)) == 60 - len(due)

    @pytest_twisted.ensureDeferred
    async def test_shortened(self, store: SQLiteStore, clock: Clock) -> None:
        """
        A session whose time-out was shortened is due at its new deadline.
        """
        await create(store, 2)
        await store.saveSession(Change(sidOf(0), sessionTimeout=50.0))
        await store.saveSession(Change(sidOf(1), absoluteTimeout=60.0))
        assert (await store.claimExpired(9)).nextDeadline == 50
        clock.advance(50)
        claim = await store.claimExpired(9)
        assert [(e.record.sid, e.reason) for e in claim.endings] == [(sidOf(0), IDLE)]
        assert claim.nextDeadline == 60
        clock.advance(10)
        claim = await store.claimExpired(9)
        assert [(e.record.sid, e.reason) for e in claim.endings] == [(sidOf(1), ABSOLUTE)]
        assert claim.nextDeadline is None

    @pytest_twisted.ensureDeferred
    async def test_forgets(
        self,
        store: SQLiteStore,
        path: Path,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Ends are remembered for their time, and no more than so many of them.
        """
        await create(store, 1)
        await store.deleteSession(sidOf(0))
        clock.advance(RETENTION - 1)
        await store.claimExpired(1)
        assert type(await outcome(store.loadSession(sidOf(0)))) is SessionEnded
        clock.advance(1)
        await store.claimExpired(1)
        assert await store.loadSession(sidOf(0)) is None
        monkeypatch.setattr(sweep, "MAXIMUM", 5)
        await create(store, 9)
        await gatherResults([store.deleteSession(sidOf(number)) for number in range(9)])
        await store.claimExpired(1)
        found = query(path, "SELECT sid FROM ended ORDER BY sid")
        assert found == [(sidOf(number),) for number in range(4, 9)]


class TestMany:
    """
    What goes through all sessions.
    """

    @pytest_twisted.ensureDeferred
    async def test_pages(
        self, store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Browsing gives each session once, a page at a time, past pages that are
        damaged as a whole and while sessions come and go.
        """
        monkeypatch.setattr(sqlite, "PAGE", 5)
        await create(store, 33)
        query(path, "UPDATE session SET version = 'x' WHERE id BETWEEN 6 AND 16")
        found = []
        async for sid, record in store.iterSessions():
            assert record.sid == sid
            found.append(sid)
            if len(found) == 2:
                await store.deleteSession(sidOf(32))
        assert found == [sidOf(number) for number in (*range(5), *range(16, 32))]

    @pytest_twisted.ensureDeferred
    async def test_deleteOld(
        self, store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Old sessions are ended some at a time, each time in a transaction of its
        own, and counted.
        """
        monkeypatch.setattr(sweep, "STRIDE", 10)
        await create(store, 35)
        clock.advance(600)
        for number in (3, 17, 33):
            await store.saveSession(Change(sidOf(number), lastModified=1.0 + number))
        statements: list[str] = []
        await store._worker.submit(
            sqlite.Request(lambda r: r.connection.set_trace_callback(statements.append), (), False)
        )
        assert await store.deleteOldSessions((600 - 10) / 60) == 33
        assert statements.count("COMMIT") == 5
        assert type(await outcome(store.loadSession(sidOf(0)))) is SessionEnded
        assert [sid async for sid, _ in store.iterSessions()] == [sidOf(17), sidOf(33)]
        assert await store.deleteOldSessions(0) == 2

    @pytest_twisted.ensureDeferred
    async def test_quarantinedOnce(self, store: SQLiteStore, path: Path) -> None:
        """
        A row that two operations come upon at the same time is put aside once.
        """
        await create(store, 1, sessionKey="anna")
        query(path, "UPDATE session SET attributes = '{'")
        answers = await gatherResults(
            [
                store.findSessions("anna"),
                store.loadSession(sidOf(0)).addErrback(lambda f: f.type),
                store.loadSession(sidOf(0)).addErrback(lambda f: f.type),
            ]
        )
        assert answers[0] == []
        assert None in answers
        assert query(path, "SELECT count(*) FROM quarantine") == [(1,)]
