"""
Tests for what L{txsessions.stores.sqlite} does with operations that come at the
same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import (
    SID,
    CountingReactor,
    blocked,
    inThread,
    newRecord,
    outcome,
    sidOf,
)
from twisted.internet.defer import CancelledError, gatherResults
from twisted.python.failure import Failure

from txsessions.errors import (
    InvalidSessionData,
    SessionEnded,
    StoreUnavailable,
    VersionConflict,
)
from txsessions.record import Change
from txsessions.stores import sqlite
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, Request, parts
from txsessions.stores.sqlitefile.file import SQLiteFile
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
def file(tmp_path: Path) -> Iterator[SQLiteFile]:
    """
    A file with some sessions.
    """
    made = SQLiteFile(str(tmp_path / "sessions.db"))
    creations = [Request(Rows.create, (newRecord(sidOf(n)),), True) for n in range(4)]
    assert Batches(made, print).perform(creations) == [True] * 4
    yield made
    made.close()


def saving(number: int, **facts: Any) -> Request:
    """
    A request to save something.
    """
    change = Change(**{"sid": sidOf(number), "set": {"data:a": b"1"}, **facts})
    return Request(Rows.save, (change,), True, change.sid)


def loading(number: int) -> Request:
    """
    A request to load.
    """
    return Request(Rows.load, (sidOf(number), None), False, sidOf(number))


class TestParts:
    """
    Which requests of a batch are done first.
    """

    def test_readsFirst(self) -> None:
        """
        What only reads comes before what writes, but not before what it has to see.
        """
        find = Request(Rows.find, ("anna",), False)
        assert parts([saving(0), loading(1), loading(0), saving(1), find]) == [[1], [0, 2, 3, 4]]

    def test_any(self) -> None:
        """
        What may write to any session is seen by whatever is read after it.
        """
        claim = Request(Rows.ready, (), True)
        assert parts([loading(0), claim, loading(1)]) == [[0], [1, 2]]

    def test_oneKind(self) -> None:
        """
        A batch of one kind is one part; nothing has none.
        """
        assert parts([loading(0), loading(1)]) == [[0, 1]]
        assert parts([saving(0), saving(1)]) == [[0, 1]]
        assert parts([]) == []


class TestFailuresInABatch:
    """
    One that fails harms no other.
    """

    def test_errors(self, file: SQLiteFile) -> None:
        """
        Each operation of a batch succeeds or fails by itself, whether the error
        is ours, SQLite's or anybody's, and all that succeeded is stored.
        """

        def breaks(rows: Rows) -> None:
            rows.connection.execute("UPDATE session SET version = 77")
            raise RuntimeError("broken on purpose")

        requests = [
            saving(0),
            saving(1, expectedVersion=9),
            Request(breaks, (), True),
            saving(2),
            Request(Rows.create, (newRecord(sidOf(9), created=float("nan")),), True),
            saving(3, sessionKey="\ud800"),
            Request(Rows.delete, (sidOf(1), "logout", 1.0), True),
            saving(1),
            saving(3),
        ]
        outcomes = Batches(file, print).perform(requests)
        kinds = [each.type if isinstance(each, Failure) else each for each in outcomes]
        assert kinds[:5] == [2, VersionConflict, RuntimeError, 2, InvalidSessionData]
        assert kinds[5] is InvalidSessionData
        assert kinds[6].sid == sidOf(1)
        assert kinds[7:] == [SessionEnded, 2]
        assert "NOT NULL" in str(outcomes[4].value)
        found = Batches(file, print).perform([loading(0), loading(2), loading(3)])
        assert [record.version for record in found] == [2, 2, 2]
        assert [record.sessionKey for record in found] == [None] * 3

    def test_readErrors(self, file: SQLiteFile) -> None:
        """
        A read that fails harms no other either.
        """
        bad = Request(Rows.load, ("\ud800", None), False, "x")
        worse = Request(lambda rows: rows.connection.execute("SELECT nothing"), (), False)
        first, second, third = Batches(file, print).perform([bad, worse, loading(0)])
        assert first.type is UnicodeEncodeError
        assert second.type is StoreUnavailable
        assert third.sid == sidOf(0)

    def test_notJSON(self, file: SQLiteFile) -> None:
        """
        An attribute that is no JSON text is refused, and does not damage the others.
        """
        for text in (b"1,", b"", b"\xff", b'1,"data:b":2', b"{", b"[" * 100_000):
            (refused,) = Batches(file, print).perform([saving(0, set={"data:a": text})])
            assert refused.type is InvalidSessionData
        assert Batches(file, print).perform([loading(0)]) == [newRecord(sidOf(0))]

    def test_together(self, file: SQLiteFile) -> None:
        """
        A batch is one transaction; without that a test like this fails.
        """
        statements: list[str] = []
        file._connection.set_trace_callback(statements.append)
        Batches(file, print).perform([saving(number % 4) for number in range(100)])
        assert (statements.count("BEGIN IMMEDIATE"), statements.count("COMMIT")) == (1, 1)
        for number in range(4):
            Batches(file, print).perform([saving(number)])
        assert statements.count("COMMIT") == 5


class TestTogether:
    """
    Operations that wait are done together.
    """

    @pytest_twisted.ensureDeferred
    async def test_toldOnce(self, tmp_path: Path) -> None:
        """
        The reactor is called once for the reads of a batch and once for the rest.
        """
        counting = CountingReactor()
        store = SQLiteStore(tmp_path / "sessions.db", counting)
        await gatherResults([store.createSession(newRecord(sidOf(n))) for n in range(40)])
        release = await blocked(store)
        answers = []
        for number in range(40):
            answers.append(store.saveSession(Change(sidOf(number), set={"data:a": b"1"})))
            answers.append(store.loadSession(sidOf(number)))
        before = counting.count
        release.set()
        outcomes = await gatherResults(answers)
        assert outcomes[::2] == [2] * 40
        assert [record.version for record in outcomes[1::2]] == [2] * 40
        assert counting.count - before == 2
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_order(self, store: SQLiteStore) -> None:
        """
        Operations on one session are done in the order in which they were called.
        """
        release = await blocked(store)
        answers: list[Any] = [
            store.loadSession(SID),
            store.createSession(newRecord(sessionKey="anna")),
            store.loadSession(SID),
            store.saveSession(Change(SID, set={"data:a": b"1"})),
            store.loadSession(SID),
            store.findSessions("anna"),
            store.deleteSession(SID),
            store.hasSession(SID),
            store.findSessions("anna"),
        ]
        release.set()
        found = await gatherResults(answers)
        assert found[:2] == [None, True]
        assert [found[2].version, found[3], found[4].version, found[5][0].version] == [1, 2, 2, 2]
        assert found[6].version == 2
        assert found[7:] == [False, []]

    @pytest_twisted.ensureDeferred
    async def test_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        When too much is under way a further operation fails at once, and a
        later one is taken again.
        """
        monkeypatch.setattr(sqlite, "QUEUE", 3)
        store = SQLiteStore(tmp_path / "sessions.db")
        release = await blocked(store)
        answers = [store.hasSession(SID), store.hasSession(SID)]
        with pytest.raises(StoreUnavailable):
            await store.hasSession(SID)
        release.set()
        assert await gatherResults(answers) == [False, False]
        assert await store.hasSession(SID) is False
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_cancelled(self, store: SQLiteStore) -> None:
        """
        Whoever cancels an operation hears so at once and disturbs nobody; the
        operation is done all the same.
        """
        await store.createSession(newRecord())
        release = await blocked(store)
        answers = [store.saveSession(Change(SID, set={f"data:{n}": b"1"})) for n in range(6)]
        answers[0].cancel()
        answers[3].cancel()
        answers[3].cancel()
        release.set()
        outcomes = [await outcome(answer) for answer in answers]
        assert [type(each) for each in outcomes] == [CancelledError, int, int] * 2
        assert (await store.loadSession(SID)).version == 7

    @pytest_twisted.ensureDeferred
    async def test_durable(self, store: SQLiteStore) -> None:
        """
        A commit is on the disk when it is acknowledged.
        """
        assert await inThread(store, "PRAGMA synchronous") == [(2,)]
        assert await inThread(store, "PRAGMA journal_mode") == [(b"wal",)]
