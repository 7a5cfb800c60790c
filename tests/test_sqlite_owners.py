"""
Tests for what L{txsessions.stores.sqlite} does for owners: caps, and ends that
nothing outruns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import (
    SID,
    create,
    newRecord,
    outcome,
    run,
    sidOf,
    traced,
)
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import Clock

from txsessions.errors import InvalidSessionData, SessionEnded, TooManySessions, VersionConflict
from txsessions.lifetime import EVICTED, LOGOUT, REVOKED
from txsessions.limit import REFUSE, SessionLimit
from txsessions.record import AUTHENTICATED, Change, timeText
from txsessions.stores import sqlite
from txsessions.stores.remembrance import RETENTION
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import owners

ODD = ("", ":", "a:b'\"%", "Ωμέγα \U0001f600", "nul\0nul", "x" * 5000)
"""
Names that owners may have.
"""


@pytest.fixture
def clock() -> Clock:
    """
    The time of the store.
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


def logIn(sid: str, sessionKey: str, moment: float, **facts: Any) -> Change:
    """
    The change of a log-in.
    """
    return Change(sid, set={AUTHENTICATED: timeText(moment)}, sessionKey=sessionKey, **facts)


async def child(*arguments: str) -> Any:
    """
    What another process gets.
    """
    return json.loads(await run("sqlitechild.py", *arguments))


class TestLogIn:
    """
    logInSession().
    """

    @pytest_twisted.ensureDeferred
    async def test_refusedChange(self, store: SQLiteStore) -> None:
        """
        A log-in that cannot be kept puts nobody out.
        """
        await create(store, 3)
        limit = SessionLimit(1)
        await store.logInSession(logIn(sidOf(0), "anna", 1000.0), limit)
        bad = Change(sidOf(1), set={"data:a": b"{"}, sessionKey="anna")
        assert type(await outcome(store.logInSession(bad, limit))) is InvalidSessionData
        late = logIn(sidOf(1), "anna", 1001.0, expectedVersion=7)
        assert type(await outcome(store.logInSession(late, limit))) is VersionConflict
        assert [record.sid for record in await store.findSessions("anna")] == [sidOf(0)]
        done = await store.logInSession(logIn(sidOf(1), "anna", 1001.0), limit)
        assert [(e.record.sid, e.reason) for e in done.evicted] == [(sidOf(0), EVICTED)]
        assert done.version == 2
        assert [record.sid for record in await store.findSessions("anna")] == [sidOf(1)]

    @pytest_twisted.ensureDeferred
    async def test_oneTransaction(self, store: SQLiteStore) -> None:
        """
        A log-in and those who make room for it are one transaction.
        """
        await create(store, 9, sessionKey="anna")
        await store.createSession(newRecord())
        statements = await traced(store)
        done = await store.logInSession(logIn(SID, "anna", 1000.0), SessionLimit(2))
        assert len(done.evicted) == 8
        assert statements.count("COMMIT") == 1

    @pytest_twisted.ensureDeferred
    async def test_damaged(self, store: SQLiteStore, path: Path) -> None:
        """
        A session that is damaged takes up no room, and is put aside.
        """
        await create(store, 3)
        limit = SessionLimit(2, REFUSE)
        for number in range(2):
            await store.logInSession(logIn(sidOf(number), "anna", 1000.0), limit)
        third = logIn(sidOf(2), "anna", 1000.0)
        assert type(await outcome(store.logInSession(third, limit))) is TooManySessions
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE session SET attributes = '{' WHERE sid = ?", (sidOf(0),))
        assert (await store.logInSession(third, limit)).version == 2
        with closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (1,)

    @pytest_twisted.ensureDeferred
    async def test_names(self, store: SQLiteStore) -> None:
        """
        Owners may have any name, and those that differ are different.
        """
        await create(store, len(ODD))
        for number, name in enumerate(ODD):
            await store.logInSession(logIn(sidOf(number), name, 1000.0), SessionLimit(1))
        for number, name in enumerate(ODD):
            (record,) = await store.findSessions(name)
            assert (record.sid, record.sessionKey) == (sidOf(number), name)
            (ending,) = await store.endSessions(name, LOGOUT)
            assert (ending.record.sid, ending.reason) == (sidOf(number), LOGOUT)

    @pytest_twisted.ensureDeferred
    async def test_noText(self, store: SQLiteStore) -> None:
        """
        A name that is no Unicode text is refused at a log-in, and owns nothing.
        """
        await create(store, 1)
        for limit in (None, SessionLimit(1)):
            error = await outcome(store.logInSession(logIn(sidOf(0), "\ud800", 1.0), limit))
            assert type(error) is InvalidSessionData
        assert await store.endSessions("\ud800") == []
        assert (await store.loadSession(sidOf(0))).sessionKey is None


class TestEndSessions:
    """
    endSessions().
    """

    @pytest_twisted.ensureDeferred
    async def test_slices(self, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Very many are ended some at a time, and others are not held up by them.
        """
        monkeypatch.setattr(owners, "STRIDE", 10)
        monkeypatch.setattr(sqlite, "STRIDE", 10)
        await create(store, 35, sessionKey="anna")
        statements = await traced(store)
        endings = await store.endSessions("anna", exceptFor=sidOf(12))
        assert [e.record.sid for e in endings] == [sidOf(n) for n in range(35) if n != 12]
        assert {e.reason for e in endings} == {REVOKED}
        assert statements.count("COMMIT") == 4
        assert [record.sid for record in await store.findSessions("anna")] == [sidOf(12)]

    @pytest_twisted.ensureDeferred
    async def test_settledAtOnce(
        self, store: SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Which sessions are ended is settled at the beginning: one that leaves
        its owner in the meantime ends all the same, and one that comes to him,
        or takes the place in the file of one that has gone, lives.
        """
        monkeypatch.setattr(owners, "STRIDE", 2)
        monkeypatch.setattr(sqlite, "STRIDE", 2)
        await create(store, 6, sessionKey="anna")
        await store.createSession(newRecord())
        place = sidOf(99)

        def meanwhile(rows: Any) -> None:
            rows.save(Change(sidOf(4), sessionKey="bert"))
            rows.save(Change(SID, sessionKey="anna"))
            rows.delete(SID, LOGOUT, 1000.0)
            rows.delete(sidOf(5), LOGOUT, 1000.0)
            assert rows.create(newRecord(place, created=1000.0, sessionKey="anna"))

        async def slice(*arguments: Any, isWrite: bool = False) -> Any:
            if arguments[0] is owners.endSome:
                await ask(meanwhile, isWrite=True)
                store._ask = ask  # type: ignore[method-assign]  # as it was
            return await ask(*arguments, isWrite=isWrite)

        ask = store._ask
        store._ask = slice  # type: ignore[method-assign,assignment]  # comes in between
        endings = await store.endSessions("anna")
        assert [e.record.sid for e in endings] == [sidOf(n) for n in range(5)]
        assert [record.sid for record in await store.findSessions("anna")] == [place]
        assert await store.findSessions("bert") == []

    @pytest_twisted.ensureDeferred
    async def test_fence(self, store: SQLiteStore, clock: Clock, path: Path) -> None:
        """
        A log-in from before the end of all sessions comes too late and ends its
        session, for an hour; one from that moment on does not.
        """
        await create(store, 4)
        clock.advance(10)
        assert await store.endSessions("anna") == []
        clock.advance(RETENTION - 1)
        await store.claimExpired(1)
        error = await outcome(store.logInSession(logIn(sidOf(0), "anna", 1009.9)))
        assert (type(error), error.reason) == (SessionEnded, REVOKED)
        assert type(await outcome(store.loadSession(sidOf(0)))) is SessionEnded
        assert (await store.logInSession(logIn(sidOf(1), "anna", 1010.0))).version == 2
        assert (await store.logInSession(logIn(sidOf(2), "bert", 1.0))).version == 2
        clock.advance(1)
        await store.claimExpired(1)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM mark").fetchone() == (0,)
        assert (await store.logInSession(logIn(sidOf(3), "anna", 1009.9))).version == 2

    @pytest_twisted.ensureDeferred
    async def test_marksGoForward(self, store: SQLiteStore, path: Path) -> None:
        """
        A process whose clock is behind takes no mark back.
        """
        await create(store, 1)
        behind = SQLiteStore(path, clock=Clock())
        await store.endSessions("anna")
        await behind.endSessions("anna")
        error = await outcome(behind.logInSession(logIn(sidOf(0), "anna", 999.0)))
        assert type(error) is SessionEnded
        await behind.close()


class TestProcesses:
    """
    Log-ins in several processes at the same time.
    """

    async def most(self, path: Path, variant: str) -> int:
        """
        How many sessions an owner has had at the most, as three processes saw
        it while they logged him in again and again.
        """
        return max(
            await gatherResults(
                [
                    ensureDeferred(child("logIn", str(path), name, "40", variant))
                    for name in ("a", "b", "c")
                ]
            )
        )

    @pytest_twisted.ensureDeferred
    async def test_cap(self, path: Path) -> None:
        """
        At no moment has an owner more sessions than he may have.
        """
        assert await self.most(path, "whole") == 3

    @pytest_twisted.ensureDeferred
    async def test_torn(self, path: Path) -> None:
        """
        The same finds log-ins that look first and write in another transaction.
        """
        assert await self.most(path, "torn") > 3
