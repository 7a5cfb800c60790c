"""
Tests for L{txsessions.stores.sqlitefile.epoch} and L{txsessions.stores.sqlitefile.walindex}:
what others write is noticed at one look.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from careless import TrustingStore
from scenes import COOKIE, asks, cookie, count, look
from sqlitetools import SID, create, newRecord, outcome, query, run, sidOf
from twisted.internet.defer import fail, gatherResults
from zope.interface.verify import verifyObject

from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ISessionEpoch
from txsessions.lifetime import LOGOUT
from txsessions.record import Change
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile import walindex
from txsessions.stores.sqlitefile.epoch import Epochs
from txsessions.testing import RecordingStore, resultOf
from txsessions.testing.shared.worker import ThreadlessWorker

WRITE = "UPDATE session SET sessionTimeout = sessionTimeout + 1"


@pytest_twisted.async_yield_fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    """
    A store with a session.
    """
    store = SQLiteStore(path)
    await store.createSession(newRecord())
    yield store
    await store.close()


def epochOf(store: SQLiteStore) -> Any:
    """
    The epoch as somebody sees it who has asked for all changes.
    """
    return store.epoch(store._changes)


def test_interface(path: Path) -> None:
    """
    The store says so; one that is not open knows nothing.
    """
    store = SQLiteStore(path)
    assert verifyObject(ISessionEpoch, store)
    assert epochOf(store) is None


@pytest_twisted.ensureDeferred
async def test_own(store: SQLiteStore, path: Path) -> None:
    """
    What the store writes itself ends no epoch, nor does what anybody reads.
    """
    epoch = epochOf(store)
    assert epoch is not None
    await create(store, 300)
    for number in range(3):
        await store.saveSession(Change(sidOf(number), set={"data:a": b"1"}, lastModified=5.0))
    await store.deleteSession(sidOf(4), LOGOUT)
    await store.claimExpired(10)
    await outcome(store.saveSession(Change(sidOf(4))))
    assert query(path, "SELECT count(*) FROM session") == [(300,)]
    await store.loadSession(sidOf(5))
    assert epochOf(store) == epoch


@pytest.mark.parametrize("operation", ["load", "save"])
@pytest_twisted.ensureDeferred
async def test_others(store: SQLiteStore, path: Path, operation: str) -> None:
    """
    What another program writes ends the epoch in the same instant; the next operation of
    the store begins another one.
    """
    for _ in range(3):
        epoch = epochOf(store)
        assert epoch is not None
        query(path, WRITE)
        assert epochOf(store) is None
        if operation == "load":
            await store.loadSession(SID)
        else:
            await store.saveSession(Change(SID, set={"data:a": b"1"}))
        later = epochOf(store)
        assert later is not None and later > epoch


@pytest_twisted.ensureDeferred
async def test_otherProcess(store: SQLiteStore, path: Path) -> None:
    """
    So does what another process writes, and one that is killed in the midst of it.
    """
    await store.enrol("mail")
    await store.deleteSession(SID, LOGOUT)
    assert epochOf(store) is not None
    await run("sqlitechild.py", "takeAndDie", str(path), "600", status=-9)
    assert epochOf(store) is None


@pytest_twisted.ensureDeferred
async def test_otherStore(store: SQLiteStore, path: Path) -> None:
    """
    Two stores in one process take turns, and each notices the other.
    """
    other = SQLiteStore(path)
    await other.loadSession(SID)
    for one, two in [(store, other), (other, store)] * 3:
        await one.saveSession(Change(SID, set={"data:a": b"1"}))
        assert epochOf(one) is not None
        assert epochOf(two) is None
    await other.close()


@pytest_twisted.ensureDeferred
async def test_betweenCommitAndLook(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What somebody writes who keeps no lock, right after a commit and before the look at
    what that has written, is not taken for the store's own.
    """
    committed = Epochs.committed

    def late(self: Epochs, before: bytes, hasWritten: bool) -> None:
        query(path, WRITE)
        committed(self, before, hasWritten)

    epoch = epochOf(store)
    monkeypatch.setattr(Epochs, "committed", late)
    await store.saveSession(Change(SID, set={"data:a": b"1"}))
    assert epochOf(store) != epoch
    # A look that does not count the commits finds nothing.
    epoch = epochOf(store)
    monkeypatch.setattr("txsessions.stores.sqlitefile.epoch.commitsBetween", lambda *_: 1)
    await store.saveSession(Change(SID, set={"data:a": b"2"}))
    assert epochOf(store) == epoch


@pytest_twisted.ensureDeferred
async def test_nothingWritten(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nor is it after a transaction that has written nothing, which SQLite does not count.
    """
    committed = Epochs.committed

    def late(self: Epochs, before: bytes, hasWritten: bool) -> None:
        query(path, WRITE)
        committed(self, before, hasWritten)

    epoch = epochOf(store)
    await store.claimExpired(10)
    assert epochOf(store) == epoch
    monkeypatch.setattr(Epochs, "committed", late)
    await store.claimExpired(10)
    assert epochOf(store) != epoch
    # One that takes each for one that has written finds nothing.
    epoch = epochOf(store)
    monkeypatch.setattr(
        Epochs, "committed", lambda self, before, hasWritten: late(self, before, True)
    )
    await store.claimExpired(10)
    assert epochOf(store) == epoch


@pytest_twisted.ensureDeferred
async def test_sameObject(store: SQLiteStore) -> None:
    """
    What goes through the same object, and is not the caller's, is another epoch.
    """
    epoch = store.epoch(0)
    await store.saveSession(Change(SID, set={"data:a": b"1"}))
    assert store.epoch(1) == epoch != store.epoch(0)
    await store.logInSession(Change(SID, sessionKey="anna"))
    assert store.epoch(2) == epoch != store.epoch(1)


@pytest_twisted.ensureDeferred
async def test_checkpoint(store: SQLiteStore, path: Path) -> None:
    """
    The -wal may begin anew meanwhile, by its own commits or by another program.
    """
    await store.saveSession(Change(SID, set={"data:a": b'"%s"' % (b"x" * 100_000)}))
    query(path, "PRAGMA wal_checkpoint(RESTART)")
    await store.saveSession(Change(SID, set={"data:a": b"1"}))
    epoch = epochOf(store)
    assert epoch is not None
    query(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    await store.saveSession(Change(SID, set={"data:a": b"2"}))
    assert epochOf(store) is not None
    assert (await store.loadSession(SID)).attributes == {"data:a": b"2"}


@pytest_twisted.ensureDeferred
async def test_closed(store: SQLiteStore) -> None:
    """
    Nothing is told of a file that is closed, or of one that was opened anew since.
    """
    epoch = epochOf(store)
    await store.close()
    assert epochOf(store) is None
    await store.loadSession(SID)
    assert epochOf(store) not in (None, epoch)


@pytest.mark.parametrize("broken", ["head", "file"])
@pytest_twisted.ensureDeferred
async def test_unknown(path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """
    A file whose head has a form that is not known, or that cannot be read, is told
    nothing of; everything works.
    """
    if broken == "head":
        monkeypatch.setattr(walindex, "BEGINNING", b"\\0\\0\\0\\0")
    else:
        monkeypatch.setattr(walindex, "_mapped", _refuse)
    store = SQLiteStore(path)
    await store.createSession(newRecord())
    for number in range(3):
        assert epochOf(store) is None
        await store.saveSession(Change(SID, set={"data:a": b"%d" % number}))
        assert (await store.loadSession(SID)).attributes == {"data:a": b"%d" % number}
    await store.close()


def _refuse(path: str) -> Any:
    """
    Stands for a file that cannot be read.
    """
    raise PermissionError(path)


LOCKED = """
import fcntl, os, struct, sys
lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 128, 1, 0)
with open(sys.argv[1], "rb+") as file:
    found = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, lock))
print("free" if found[0] == fcntl.F_UNLCK else found[4])
"""
"""
Says who holds the lock by which SQLite knows that a file is open (its "dead man switch").
"""


class TestRequests:
    """
    Sites of two processes, each with a store of its own on one file.
    """

    @pytest.fixture
    def scene(self, scene: Any, tmp_path: Path) -> Iterator[Any]:
        """
        Makes what stands for one process.
        """
        stores = []

        def make(makeStore: Any = SQLiteStore) -> Any:
            store = makeStore(tmp_path / "sessions.db")
            # So that all is done when a request is.
            store._worker = ThreadlessWorker(store._worker)
            stores.append(store)
            return scene(store, wrap=RecordingStore)

        yield make
        for store in stores:
            store.close()

    def browse(self, one: Any, two: Any) -> list[Any]:
        """
        What a browser sees that goes from one to the other, and is logged out there.
        """
        here = one.browser()
        for _ in range(4):
            one.get(here, count)
            one.get(here, look)
        there = two.browser(cookies=here.cookies)
        seen = [two.get(there, count).body, one.get(here, look).body]
        headers = cookie(here.cookies.get(COOKIE))
        two.get(there, lambda request: request.getSession().expire() or b"")
        return [*seen, one.get(one.browser(), look, headers=headers).body]

    def test_alone(self, scene: Any) -> None:
        """
        A session is loaded once, as long as nobody else writes.
        """
        it = scene()
        browser = it.browser()
        for number in range(5):
            assert it.get(browser, look).body == (b"%d" % number if number else b"none")
            it.get(browser, count)
        assert asks(it) == ["createSession", "loadSession"] + ["saveSession"] * 4

    def test_two(self, scene: Any) -> None:
        """
        What the other does is seen at once.
        """
        assert self.browse(scene(), scene()) == [b"5", b"5", b"none"]

    def test_behindItsBack(self, scene: Any) -> None:
        """
        What somebody saves in the same process, through the store, is seen too.
        """
        it = scene()
        browser = it.browser()
        for _ in range(3):
            it.get(browser, count)
        (session,) = it.site.sessions.values()
        resultOf(it.memory.saveSession(Change(session.sid, set={"data:n": b"7"})))
        assert it.get(browser, look).body == b"7"
        assert it.get(browser, count).body == b"8"

    def test_overHere(self, scene: Any) -> None:
        """
        Whether a session is over is said by the store, which may know of a touch.
        """
        it = scene()
        browser = it.browser()
        for _ in range(3):
            it.get(browser, count)
        (session,) = it.site.sessions.values()
        it.memory.loadSession = lambda *_: fail(StoreUnavailable("broken on purpose"))
        assert it.get(browser, look).body == b"3"
        session.lastModified -= 900
        assert it.get(browser, look).code == 503
        it.errors.flush("broken on purpose")

    def test_twoTrusting(self, scene: Any) -> None:
        """
        Not so with a store that does not look.
        """
        assert self.browse(scene(TrustingStore), scene()) != [b"5", b"5", b"none"]


class TestLocks:
    """
    To close a -shm file would take SQLite's locks away.
    """

    @pytest.fixture
    def holder(self, path: Path, tmp_path: Path) -> Iterator[Any]:
        """
        Who holds the lock.
        """
        script = tmp_path / "locked.py"
        script.write_text(LOCKED)

        async def holder() -> str:
            return (await run(str(script), f"{path}-shm")).strip()

        yield holder

    @pytest_twisted.ensureDeferred
    async def test_kept(self, store: SQLiteStore, path: Path, holder: Any) -> None:
        """
        When another store on the file is closed, this one keeps its locks.
        """
        other = SQLiteStore(path)
        await other.loadSession(SID)
        await other.close()
        walindex.letGo()
        assert await holder() == str(os.getpid())

    @pytest_twisted.ensureDeferred
    async def test_closedTooSoon(self, store: SQLiteStore, path: Path, holder: Any) -> None:
        """
        One that closes what it has opened loses them: that is what the test finds.
        """
        os.close(os.open(f"{path}-shm", os.O_RDONLY))
        assert await holder() == "free"

    @pytest_twisted.ensureDeferred
    async def test_letGo(self, tmp_path: Path) -> None:
        """
        Nothing stays open of files that nobody uses any more.
        """
        stores = [SQLiteStore(tmp_path / f"{number}.db") for number in range(5)]
        await gatherResults([store.setup() for store in stores])
        assert len(_open(tmp_path)) > 0
        for store in stores:
            await store.close()
        assert _open(tmp_path) == []


def _open(directory: Path) -> list[str]:
    """
    What this process has open in a directory.
    """
    paths = []
    for name in os.listdir("/dev/fd"):
        try:
            paths.append(os.readlink(f"/dev/fd/{name}"))
        except OSError:
            continue
    return [each for each in paths if each.startswith(str(directory))]
