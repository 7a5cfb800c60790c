"""
Tests for the journal of L{txsessions.stores.sqlite}: that it has each ending,
and no more than it may.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import SID, newRecord, outcome, sidOf
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.lifetime import EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, timeText
from txsessions.stores import sqlite
from txsessions.stores.journal import RETENTION, JournalEntry, eventIDOf
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import journal
from txsessions.stores.sqlitefile.batch import Request


@pytest.fixture
def clock() -> Clock:
    """
    The time of the store.
    """
    return Clock()


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
def events() -> Iterator[list[Any]]:
    """
    What is logged.
    """
    found: list[Any] = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


def query(path: Path, statement: str) -> list[Any]:
    """
    What another program does to the file.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


async def create(store: SQLiteStore, count: int, **facts: Any) -> None:
    """
    Create so many sessions.
    """
    await gatherResults([store.createSession(newRecord(sidOf(n), **facts)) for n in range(count)])


async def end(store: SQLiteStore, count: int) -> None:
    """
    Create so many sessions and end them.
    """
    await create(store, count)
    await gatherResults([store.deleteSession(sidOf(number), LOGOUT) for number in range(count)])


async def traced(store: SQLiteStore) -> list[str]:
    """
    What SQLite is told to do from now on.
    """
    statements: list[str] = []
    await store._worker.submit(
        Request(lambda rows: rows.connection.set_trace_callback(statements.append), (), False)
    )
    return statements


def sids(entries: Sequence[JournalEntry]) -> list[str]:
    """
    Which sessions have ended.
    """
    return [entry.record.sid for entry in entries]


class TestWritten:
    """
    What is written down.
    """

    @pytest_twisted.ensureDeferred
    async def test_everything(self, store: SQLiteStore, clock: Clock) -> None:
        """
        Whatever ends a session writes it down for each observer: an end, a
        sweep, a look for old ones, a log-in elsewhere, one that is too late, the
        end of all of an owner.
        """
        await store.enrol("mail")
        await store.enrol("audit")
        await create(store, 7, sessionTimeout=1e9)
        await store.saveSession(Change(sidOf(1), sessionTimeout=10.0))
        for number in (2, 3):
            change = Change(sidOf(number), sessionKey="anna", set={AUTHENTICATED: timeText(5.0)})
            await store.logInSession(change, SessionLimit(1))
        await store.deleteSession(sidOf(0), LOGOUT)
        clock.advance(10)
        assert len((await store.claimExpired(9)).endings) == 1
        await store.endSessions("anna")
        late = Change(sidOf(4), sessionKey="anna", set={AUTHENTICATED: timeText(5.0)})
        await outcome(store.logInSession(late))
        await store.saveSession(Change(sidOf(5), lastModified=9.0))
        assert await store.deleteOldSessions(5 / 60) == 1
        expected = [
            (2, EVICTED, 0.0),
            (0, LOGOUT, 0.0),
            (1, IDLE, 10.0),
            (3, REVOKED, 10.0),
            (4, REVOKED, 10.0),
            (6, IDLE, 10.0),
        ]
        for observer in ("mail", "audit"):
            entries = await store.takeEndings(observer, 99, 60.0)
            found = [(int(e.record.sid, 16), e.reason, e.endedAt) for e in entries]
            assert found == expected
            assert [e.eventID for e in entries] == [
                eventIDOf(sidOf(number), moment) for number, _, moment in expected
            ]

    @pytest_twisted.ensureDeferred
    async def test_oneTransaction(self, store: SQLiteStore) -> None:
        """
        An ending and what is written down of it are one transaction, and while
        nobody is enrolled it costs one look at who is.
        """
        await create(store, 4)
        statements = await traced(store)
        await gatherResults([store.deleteSession(sidOf(n)) for n in range(2)])
        assert len([each for each in statements if "observer" in each]) == 1
        assert not any("INTO journal" in each for each in statements)
        await store.enrol("mail")
        statements.clear()
        await store.deleteSession(sidOf(2))
        written = [n for n, each in enumerate(statements) if "INTO journal" in each]
        assert len(written) == 1
        assert statements.index("BEGIN IMMEDIATE") < written[0] < statements.index("COMMIT")
        assert (statements.count("BEGIN IMMEDIATE"), statements.count("COMMIT")) == (1, 1)

    @pytest_twisted.ensureDeferred
    async def test_sameBatch(self, store: SQLiteStore) -> None:
        """
        Who is enrolled or dismissed in the midst of a batch counts from there on.
        """
        await create(store, 3)
        await gatherResults(
            [
                store.deleteSession(sidOf(0)),
                store.enrol("mail"),
                store.deleteSession(sidOf(1)),
                store.dismiss("mail"),
                store.enrol("mail"),
                store.deleteSession(sidOf(2)),
            ]
        )
        assert sids(await store.takeEndings("mail", 9, 1.0)) == [sidOf(2)]

    @pytest_twisted.ensureDeferred
    async def test_otherProcess(self, store: SQLiteStore, path: Path) -> None:
        """
        Who is enrolled by another process counts at once.
        """
        await create(store, 2)
        await store.deleteSession(sidOf(0))
        other = SQLiteStore(path, clock=store.clock)
        await other.enrol("mail")
        await store.deleteSession(sidOf(1))
        assert sids(await other.takeEndings("mail", 9, 1.0)) == [sidOf(1)]
        await other.dismiss("mail")
        await store.createSession(newRecord())
        await store.deleteSession(SID)
        assert query(path, "SELECT count(*) FROM journal") == [(0,)]
        await other.close()


class TestTaken:
    """
    What is given to observers.
    """

    @pytest_twisted.ensureDeferred
    async def test_order(self, store: SQLiteStore, clock: Clock) -> None:
        """
        What was given and not acknowledged comes again before what is newer.
        """
        await store.enrol("mail")
        await end(store, 6)
        assert sids(await store.takeEndings("mail", 2, 60.0)) == [sidOf(0), sidOf(1)]
        assert sids(await store.takeEndings("mail", 1, 10.0)) == [sidOf(2)]
        clock.advance(10)
        again = await store.takeEndings("mail", 2, 60.0)
        assert [(e.record.sid, e.attempt) for e in again] == [(sidOf(2), 2), (sidOf(3), 1)]
        clock.advance(59.9)
        assert sids(await store.takeEndings("mail", 9, 60.0)) == [sidOf(0), sidOf(1)] + [
            sidOf(n) for n in (4, 5)
        ]

    @pytest_twisted.ensureDeferred
    async def test_idle(self, store: SQLiteStore) -> None:
        """
        To ask when there is nothing to tell takes no lock and writes nothing.
        """
        await store.enrol("mail")
        await end(store, 1)
        await store.takeEndings("mail", 9, 60.0)
        statements = await traced(store)
        assert await store.takeEndings("mail", 9, 60.0) == []
        assert await store.takeEndings("nobody", 9, 60.0) == []
        assert "BEGIN IMMEDIATE" not in statements

    @pytest_twisted.ensureDeferred
    async def test_damaged(self, store: SQLiteStore, path: Path, events: list[Any]) -> None:
        """
        What is damaged is put aside and reported, and keeps nobody from the rest.
        """
        await store.enrol("mail")
        await end(store, 5)
        query(path, "UPDATE journal SET attributes = '{' WHERE id <= 3")
        assert sids(await store.takeEndings("mail", 2, 60.0)) == [sidOf(3)]
        assert sids(await store.takeEndings("mail", 2, 60.0)) == [sidOf(4)]
        assert query(path, "SELECT count(*) FROM quarantine") == [(3,)]
        assert query(path, "SELECT held FROM observer") == [(2,)]
        assert len([event for event in events if "error" in event]) == 3

    @pytest_twisted.ensureDeferred
    async def test_otherObservers(self, store: SQLiteStore, path: Path) -> None:
        """
        To acknowledge is for one observer, and what is unknown changes nothing.
        """
        await gatherResults([store.enrol("mail"), store.enrol("audit")])
        await end(store, 2)
        entries = await store.takeEndings("mail", 9, 60.0)
        names = [entry.eventID for entry in entries]
        await store.acknowledge("mail", [names[0], "unknown", names[0]])
        await store.acknowledge("nobody", names)
        assert query(path, "SELECT name, held FROM observer ORDER BY name") == [
            ("audit", 2),
            ("mail", 1),
        ]
        assert len(await store.takeEndings("audit", 9, 60.0)) == 2


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
        await end(store, 3)
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
        await end(store, 35)
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
