"""
Tests for files that an older version of L{txsessions.stores.sqlite} has made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from sqlitetools import SID, newRecord, outcome, run, sidOf
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded, StoreUnavailable, StoreUnusable
from txsessions.record import Change
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import schema
from txsessions.stores.sqlitefile.schema import APPLICATION, NAMES, VERSION

FIRST = f"""
    CREATE TABLE session (
        id INTEGER PRIMARY KEY, sid TEXT NOT NULL UNIQUE, verifier BLOB NOT NULL,
        created REAL NOT NULL, lastModified REAL NOT NULL, sessionTimeout REAL NOT NULL,
        absoluteTimeout REAL, sessionKey TEXT, version INTEGER NOT NULL,
        attributes TEXT NOT NULL, deadline REAL NOT NULL
    );
    CREATE INDEX sessionByDeadline ON session (deadline);
    CREATE INDEX sessionByKey ON session (sessionKey, created) WHERE sessionKey IS NOT NULL;
    CREATE TABLE ended (
        id INTEGER PRIMARY KEY, sid TEXT NOT NULL UNIQUE, reason TEXT NOT NULL,
        endedAt REAL NOT NULL
    );
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, putAside TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        detail TEXT NOT NULL, sid, verifier, created, lastModified, sessionTimeout,
        absoluteTimeout, sessionKey, version, attributes, deadline
    );
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
    INSERT INTO session VALUES (
        7, '{SID}', zeroblob(32), 1.0, 2.0, 1e12, NULL, 'anna', 3, '{{"data:a":[1,2]}}', 1e12
    );
    INSERT INTO ended VALUES (5, '{sidOf(5)}', 'logout', 9.0), (9, '{sidOf(9)}', 'evicted', 9.5);
    INSERT INTO quarantine (detail, sid) VALUES ('damaged', x'00ff');
"""
"""
What makes a file of version 1, with something in each table.
"""

KEPT = newRecord(
    SID,
    created=1.0,
    lastModified=2.0,
    sessionKey="anna",
    attributes={"data:a": b"[1,2]"},
    version=3,
)
"""
The session that is in it.
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    Where a file of version 1 is.
    """
    path = tmp_path / "sessions.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """
    A store that is to use it.
    """
    made = SQLiteStore(path, clock=Clock())
    yield made
    pytest_twisted.blockon(made.close())


def versionOf(path: Path) -> int:
    """
    The version of the schema of a file.
    """
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def shape(path: Path) -> list[tuple[str, str]]:
    """
    The tables and indexes of a file.
    """
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return [(name, " ".join((sql or "").replace('"', "").split())) for name, sql in found]


class TestUpgrade:
    """
    A file of version 1.
    """

    @pytest_twisted.ensureDeferred
    async def test_goesOn(self, store: SQLiteStore, path: Path) -> None:
        """
        What it holds is there, and goes on: sessions, ends, and what was put aside.
        """
        assert await store.loadSession(SID) == KEPT
        assert versionOf(path) == VERSION
        assert await store.saveSession(Change(SID, set={"data:b": b"1"})) == 4
        assert [record.sid for record in await store.findSessions("anna")] == [SID]
        for number, reason in ((5, "logout"), (9, "evicted")):
            error = await outcome(store.loadSession(sidOf(number)))
            assert type(error) is SessionEnded
            assert error.reason == reason
        await store.enrol("mail")
        await store.endSessions("anna")
        (entry,) = await store.takeEndings("mail", 9, 60.0)
        assert entry.record.attributes == {"data:a": b"[1,2]", "data:b": b"1"}
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT sid FROM quarantine").fetchall() == [(b"\x00\xff",)]
            assert connection.execute("SELECT id FROM ended WHERE id > 9").fetchall() == [(10,)]
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    @pytest_twisted.ensureDeferred
    async def test_same(self, store: SQLiteStore, path: Path, tmp_path: Path) -> None:
        """
        It has the tables of a file that is made anew.
        """
        await store.setup()
        new = SQLiteStore(tmp_path / "new.db")
        await new.setup()
        await new.close()
        assert shape(path) == shape(tmp_path / "new.db")
        assert {name for name, _ in shape(path)} >= set(NAMES)

    @pytest_twisted.ensureDeferred
    async def test_whole(
        self, store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        An upgrade that fails, at whatever step, has changed nothing; afterwards
        the same store does it.
        """
        before = shape(path)
        for count in range(1, len(schema.UPGRADE)):
            broken = (*schema.UPGRADE[:count], "SELECT * FROM missing")
            with monkeypatch.context() as patch:
                patch.setattr(schema, "UPGRADE", broken)
                assert isinstance(await outcome(store.loadSession(SID)), StoreUnavailable)
            assert (versionOf(path), shape(path)) == (1, before)
        assert await store.loadSession(SID) == KEPT

    @pytest_twisted.ensureDeferred
    async def test_torn(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The same finds an upgrade that is not one transaction.
        """
        monkeypatch.setattr(
            schema, "UPGRADE", (schema.UPGRADE[0], "COMMIT", "SELECT * FROM missing")
        )
        before = shape(path)
        store = SQLiteStore(path)
        assert isinstance(await outcome(store.loadSession(SID)), StoreUnavailable)
        await store.close()
        assert shape(path) != before

    @pytest_twisted.ensureDeferred
    async def test_together(self, path: Path) -> None:
        """
        Processes that open it at the same time upgrade it once, without an error.
        """
        texts = await gatherResults(
            [ensureDeferred(run("sqlitechild.py", "load", str(path))) for _ in range(3)]
        )
        assert {text.strip() for text in texts} == {"3"}
        assert versionOf(path) == VERSION

    @pytest_twisted.ensureDeferred
    async def test_newer(self, path: Path) -> None:
        """
        One of a version to come is refused, and stays as it is.
        """
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 3")
        before = path.read_bytes()
        store = SQLiteStore(path)
        error = await outcome(store.setup())
        assert type(error) is StoreUnusable
        assert "a newer version of txsessions" in str(error)
        await store.close()
        assert path.read_bytes() == before
