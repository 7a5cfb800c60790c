"""
Tests for files that L{txsessions.stores.sqlite} makes, and for those that it
cannot use.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import enumerate as allThreads

import pytest
import pytest_twisted
from sqlitetools import SID, inThread, newRecord, outcome, sidOf
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from txsessions.errors import StoreUnavailable, StoreUnusable
from txsessions.record import Change
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile.schema import APPLICATION, NAMES, VERSION

BIG = b'"' + b"x" * 60_000 + b'"'


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """
    A store, closed afterwards.
    """
    made = SQLiteStore(path)
    yield made
    pytest_twisted.blockon(made.close())


async def isRefused(path: Path, words: str) -> None:
    """
    A file is refused for good, in one line, and stays as it is.
    """
    before = path.read_bytes()
    store = SQLiteStore(path)
    for answer in (store.setup(), store.loadSession(SID), store.createSession(newRecord())):
        error = await outcome(answer)
        assert type(error) is StoreUnusable
        assert words in str(error)
        assert "\n" not in str(error)
    await store.close()
    assert path.read_bytes() == before


class TestLife:
    """
    Opening and closing.
    """

    @pytest_twisted.ensureDeferred
    async def test_lazy(self, store: SQLiteStore, path: Path) -> None:
        """
        Nothing is made before the first operation, and setup() is one.
        """
        assert not path.exists()
        assert await store.setup() is None
        assert path.exists()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)

    @pytest_twisted.ensureDeferred
    async def test_modes(self, store: SQLiteStore, path: Path) -> None:
        """
        Nobody else may read a file that is made, whatever the umask.
        """
        before = os.umask(0)
        try:
            await store.createSession(newRecord())
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        finally:
            os.umask(before)
        assert modes == {f"sessions.db{end}": 0o600 for end in ("", "-lock", "-shm", "-wal")}

    @pytest_twisted.ensureDeferred
    async def test_close(self, store: SQLiteStore, path: Path) -> None:
        """
        close() finishes what was accepted and leaves one file and the lock; its
        thread ends; the next operation opens the file again.
        """
        saves = [store.createSession(newRecord(sidOf(number))) for number in range(500)]
        closed = store.close()
        again = store.hasSession(sidOf(499))
        await closed
        assert all(save.called for save in saves)
        assert await gatherResults(saves) == [True] * 500
        assert await again is True
        await store.close()
        await store.close()
        assert sorted(os.listdir(path.parent)) == ["sessions.db", "sessions.db-lock"]
        for _ in range(100):
            if not any(str(path) in thread.name for thread in allThreads()):
                break
            await deferLater(reactor, 0.01)
        else:
            pytest.fail("the thread has not ended")
        assert await store.hasSession(sidOf(0)) is True

    @pytest_twisted.ensureDeferred
    async def test_memory(self) -> None:
        """
        The name that SQLite has for no file at all is refused.
        """
        with pytest.raises(ValueError, match="MemoryStore"):
            SQLiteStore(":memory:")

    @pytest_twisted.ensureDeferred
    async def test_strangeName(self, tmp_path: Path) -> None:
        """
        A file may have any name, and a symbolic link leads to the same file.
        """
        path = tmp_path / "a?mode=memory#b%41 \udcff.db"
        store = SQLiteStore(path)
        await store.createSession(newRecord())
        assert path.exists()
        (tmp_path / "link.db").symlink_to(path)
        linked = SQLiteStore(tmp_path / "link.db")
        assert await linked.loadSession(SID) == newRecord()
        slashed = SQLiteStore(f"/{path}")
        assert await slashed.loadSession(SID) == newRecord()
        await gatherResults([each.close() for each in (store, linked, slashed)])
        assert not (tmp_path / "link.db-lock").exists()


class TestRefused:
    """
    Files that are not ours.
    """

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("content", [b"x", b"no database\n" * 1000, bytes(8192)])
    async def test_noDatabase(self, path: Path, content: bytes) -> None:
        """
        A file that is no database is refused.
        """
        path.write_bytes(content)
        await isRefused(path, "name another file, or move it away")

    @pytest_twisted.ensureDeferred
    async def test_foreign(self, path: Path) -> None:
        """
        A database of something else is refused.
        """
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE session (sid)")
        await isRefused(path, "something else")

    @pytest_twisted.ensureDeferred
    async def test_foreignLog(self, tmp_path: Path, path: Path) -> None:
        """
        What waits in the log of a database of something else goes on waiting.
        """
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE session (sid)")
            for end in ("", "-wal"):
                shutil.copy(tmp_path / f"other.db{end}", f"{path}{end}")
        log = Path(f"{path}-wal").read_bytes()
        assert log
        await isRefused(path, "something else")
        assert Path(f"{path}-wal").read_bytes() == log

    @pytest_twisted.ensureDeferred
    async def test_newer(self, store: SQLiteStore, path: Path) -> None:
        """
        A file of a newer version is refused.
        """
        await store.createSession(newRecord())
        await store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        await isRefused(path, "a newer version of txsessions")

    @pytest_twisted.ensureDeferred
    async def test_damaged(self, store: SQLiteStore, path: Path) -> None:
        """
        A file of ours that was cut short, overwritten, or lacks a table is refused.
        """
        await store.setup()
        await store.close()
        whole = path.read_bytes()
        for damaged in (whole[:4096], whole[:100], whole[:4096] + bytes(len(whole) - 4096)):
            path.write_bytes(damaged)
            await isRefused(path, "")
        path.write_bytes(whole)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"DROP TABLE {NAMES[2]}")
        await isRefused(path, "restore it from a backup")

    @pytest_twisted.ensureDeferred
    async def test_places(self, tmp_path: Path) -> None:
        """
        A place where there can be no file is told in one line; when it has been
        mended the same store works.
        """
        (tmp_path / "file").touch()
        os.mkfifo(tmp_path / "fifo")
        for name, words in {
            "missing/s.db": "its directory does not exist; create it",
            "file/s.db": "a part of its path is no directory",
            ".": "is a directory",
            "fifo": "no regular file",
            "x" * 300: "its name is too long",
        }.items():
            store = SQLiteStore(tmp_path / name)
            error = await outcome(store.loadSession(SID))
            assert type(error) is StoreUnusable
            assert words in str(error)
            await store.close()
        store = SQLiteStore(tmp_path / "missing" / "s.db")
        assert type(await outcome(store.setup())) is StoreUnusable
        (tmp_path / "missing").mkdir()
        assert await store.createSession(newRecord()) is True
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_empty(self, store: SQLiteStore, path: Path) -> None:
        """
        A file that is empty is taken, with the permissions that it has.
        """
        path.touch(0o640)
        assert await store.createSession(newRecord()) is True
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


class TestFullDisk:
    """
    No room.
    """

    @pytest_twisted.ensureDeferred
    async def test_database(self, store: SQLiteStore) -> None:
        """
        When there is no room what needs it fails, what needs none succeeds,
        also in the same batch; and with room everything works again.
        """
        await gatherResults([store.createSession(newRecord(sidOf(n))) for n in range(3)])
        ((pages,),) = await inThread(store, "PRAGMA page_count")
        await inThread(store, f"PRAGMA max_page_count = {pages + 4}")
        answers = await gatherResults(
            [
                store.saveSession(Change(sidOf(0), set={"data:a": b"1"})),
                ensureDeferred(outcome(store.saveSession(Change(sidOf(1), set={"data:a": BIG})))),
                store.saveSession(Change(sidOf(2), set={"data:a": b"1"})),
            ]
        )
        assert answers[::2] == [2, 2]
        assert type(answers[1]) is StoreUnavailable
        assert "the disk is full; make room on it" in str(answers[1])
        assert await store.loadSession(sidOf(1)) == newRecord(sidOf(1))
        await inThread(store, "PRAGMA max_page_count = 1000000")
        assert await store.saveSession(Change(sidOf(1), set={"data:a": BIG})) == 2

    @pytest_twisted.ensureDeferred
    async def test_disk(self, tmp_path: Path) -> None:
        """
        A disk that is really full loses nothing that was acknowledged.
        """
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("to mount a small disk takes more rights")
        try:
            await self.fill(disk)
        finally:
            # Later: a -shm file that stays there stays open, see walindex.
            subprocess.run(["umount", "--lazy", str(disk)], check=True)

    async def fill(self, disk: Path) -> None:
        """
        Save until the disk is full, and again when there is room.
        """
        (disk / "ballast").write_bytes(bytes(300_000))
        store = SQLiteStore(disk / "sessions.db")
        count = 0
        while await outcome(store.createSession(newRecord(sidOf(count)))) is True:
            await outcome(store.saveSession(Change(sidOf(count), set={"data:a": BIG})))
            count += 1
        assert count > 1
        error = await outcome(store.createSession(newRecord(sidOf(count))))
        assert type(error) is StoreUnavailable
        assert "the disk is full" in str(error)
        before = [await store.loadSession(sidOf(number)) for number in range(count)]
        assert None not in before
        (disk / "ballast").unlink()
        assert await store.createSession(newRecord(sidOf(count))) is True
        assert [await store.loadSession(sidOf(number)) for number in range(count)] == before
        await store.close()
