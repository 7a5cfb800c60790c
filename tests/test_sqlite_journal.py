"""
Tests for the journal of L{txsessions.stores.sqlite}: that it has each ending,
and to whom it gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import (
    SID,
    create,
    end,
    newRecord,
    outcome,
    query,
    sidOf,
    traced,
)
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.lifetime import EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, timeText
from txsessions.stores.journal import JournalEntry, eventIDOf
from txsessions.stores.sqlite import SQLiteStore


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
        await create(store, 6)
        await end(store, *range(6))
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
        await create(store, 1)
        await end(store, *range(1))
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
        await create(store, 5)
        await end(store, *range(5))
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
        await create(store, 2)
        await end(store, *range(2))
        entries = await store.takeEndings("mail", 9, 60.0)
        names = [entry.eventID for entry in entries]
        await store.acknowledge("mail", [names[0], "unknown", names[0]])
        await store.acknowledge("nobody", names)
        assert query(path, "SELECT name, held FROM observer ORDER BY name") == [
            ("audit", 2),
            ("mail", 1),
        ]
        assert len(await store.takeEndings("audit", 9, 60.0)) == 2


@pytest_twisted.ensureDeferred
async def test_sameBatch(store: SQLiteStore) -> None:
    """
    What is saved in the transaction that ends a session is in the journal as well.
    """
    await store.enrol("mail")
    await store.createSession(newRecord(attributes={"data:a": b"1"}))
    await store.loadSession(SID)
    saving = store.saveSession(Change(SID, set={"data:a": b"2"}, lastModified=5.0))
    last = await store.deleteSession(SID, LOGOUT)
    assert await saving == last.version
    (entry,) = await store.takeEndings("mail", 10, 600)
    assert entry.record == last
    assert last.attributes == {"data:a": b"2"}
