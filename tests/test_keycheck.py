"""
Tests for L{txsessions.stores.keycheck}: a wrong key is no bad record.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from test_encrypting_values import ATTRIBUTES, newRecord, sidOf
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions.envelope import PlainValue
from txsessions.errors import SessionNotFound, StoreUnavailable, UnknownKey
from txsessions.lifetime import LOGOUT
from txsessions.record import Change, Record
from txsessions.stores.encrypting import EncryptingStore
from txsessions.stores.keycheck import LOOKED, PAUSE
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import FailingStore, GatedStore, RecordingStore, resultOf

OLD, NEW, WRONG = (os.urandom(32) for _ in range(3))


class Scene:
    """
    A store in memory with some sessions that were encrypted with the old key.
    """

    def __init__(self, count: int = 3) -> None:
        self.clock = Clock()
        self.inner = MemoryStore(self.clock)
        self.right = self.worker(OLD)
        self.records = [newRecord(number) for number in range(count)]
        for record in self.records:
            assert resultOf(self.right.createSession(record))

    def worker(self, *keys: bytes, around: Any = None, **options: Any) -> EncryptingStore:
        """
        The store as a process has it that has these keys.
        """
        return EncryptingStore(around or self.inner, keys, **options)

    def content(self) -> dict[str, Record]:
        """
        All that is in the store.
        """
        return dict(self.inner._records)


def operations(store: EncryptingStore) -> Iterator[Callable[[], Deferred[Any]]]:
    """
    All that could change or show a session.
    """
    sid = sidOf(1)
    yield lambda: store.loadSession(sid)
    yield lambda: store.hasSession(sid)
    yield lambda: store.createSession(newRecord(99))
    yield lambda: store.saveSession(Change(sid, set={"data:a": b"1"}))
    yield lambda: store.saveSession(Change(sid, lastModified=5.0))
    yield lambda: store.deleteSession(sid, LOGOUT)
    yield lambda: store.findSessions("anna")
    yield lambda: store.claimExpired(10)
    yield lambda: store.logInSession(Change(sid, sessionKey="zoe"))
    yield lambda: store.endSessions("anna")
    yield lambda: store.deleteOldSessions(0)
    yield lambda: store.takeEndings("audit", 10, 60.0)

    async def browse() -> None:
        async for _ in store.iterSessions():
            pass

    yield lambda: Deferred.fromCoroutine(browse())


def test_wrongKey() -> None:
    """
    A process with a wrong key can do nothing, and nothing is changed, also where sessions have
    expired; with the right key all is there.
    """
    scene = Scene()
    resultOf(scene.right.enrol("audit"))
    before = scene.content()
    scene.clock.advance(1000)
    wrong = scene.worker(WRONG)
    for operation in operations(wrong):
        for _ in range(2):
            with pytest.raises(UnknownKey, match="add it to the keys"):
                resultOf(operation())
    assert scene.content() == before
    assert [resultOf(scene.right.loadSession(record.sid)) for record in scene.records] == (
        scene.records
    )
    assert len(resultOf(scene.right.claimExpired(10)).endings) == 3


@pytest_twisted.ensureDeferred
async def test_wrongKeyInFile(tmp_path: Path) -> None:
    """
    In a file not a byte is changed that means anything.
    """
    path = tmp_path / "sessions.db"

    def dump() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return list(connection.iterdump())

    right = EncryptingStore(SQLiteStore(path), OLD)
    await right.enrol("audit")
    for number in range(3):
        await right.createSession(newRecord(number))
    before = dump()
    wrong = EncryptingStore(SQLiteStore(path), WRONG)
    for operation in operations(wrong):
        with pytest.raises(UnknownKey):
            await operation()
    assert dump() == before
    assert len((await right.claimExpired(10)).endings) == 3
    assert dump() != before
    await wrong.close()
    await right.close()


def test_eachAlone() -> None:
    """
    That is so whichever operation is the first one.
    """
    scene = Scene()
    before = scene.content()
    count = len(list(operations(scene.right)))
    for number in range(count):
        operation = list(operations(scene.worker(WRONG)))[number]
        with pytest.raises(UnknownKey):
            resultOf(operation())
    assert scene.content() == before


def test_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same finds a process that does not look (broken on purpose).
    """
    scene = Scene()
    before = scene.content()
    careless = scene.worker(WRONG)
    careless._check._isSettled = True
    for operation in operations(careless):
        operation().addErrback(lambda failure: failure.trap(UnknownKey, SessionNotFound))
    assert scene.content() != before


def test_setup() -> None:
    """
    A store can be made ready, and an observer enrolled, whatever the keys.
    """
    wrong = Scene().worker(WRONG)
    resultOf(wrong.setup())
    resultOf(wrong.enrol("audit"))
    resultOf(wrong.dismiss("audit"))


def test_emptyStore() -> None:
    """
    A store in which nothing is encrypted takes any key.
    """
    scene = Scene(0)
    resultOf(scene.inner.createSession(newRecord(1, attributes={"fact:a": b"1"})))
    assert resultOf(scene.worker(WRONG).createSession(newRecord(2)))


def test_looksOnce() -> None:
    """
    One look is enough, which is at some records and no more; where it shows a wrong key, the
    next one comes after a while, and lets through what was mended.
    """
    scene = Scene(0)
    asked = RecordingStore(scene.inner)
    right = scene.worker(OLD, around=asked)
    for number in range(LOOKED + 10):
        resultOf(right.createSession(newRecord(number)))
    assert asked.count("iterSessions") == 1
    wrong = scene.worker(WRONG, around=asked)
    for moment, looks in ((0.0, 2), (PAUSE - 1, 2), (1.0, 3)):
        scene.clock.advance(moment)
        for _ in range(5):
            with pytest.raises(UnknownKey):
                resultOf(wrong.hasSession(sidOf(1)))
        assert asked.count("iterSessions") == looks
    for record in list(scene.content()):
        resultOf(scene.inner.deleteSession(record))
    scene.clock.advance(PAUSE)
    assert resultOf(wrong.createSession(newRecord(5000)))


def test_inOrder() -> None:
    """
    What waits for the first look is done in the order in which it was asked for, and what that
    leads to comes after it.
    """
    scene = Scene(1)
    gated = GatedStore(scene.inner, "iterSessions")
    worker = scene.worker(OLD, around=gated)
    order: list[Any] = []

    def note(result: Any) -> None:
        order.append(result)
        if len(order) == 1:
            worker.saveSession(Change(sidOf(0), set={"data:b": b"9"})).addCallback(order.append)

    worker.saveSession(Change(sidOf(0), set={"data:b": b"7"})).addCallback(note)
    loading = worker.loadSession(sidOf(0))
    worker.saveSession(Change(sidOf(0), set={"data:b": b"8"})).addCallback(order.append)
    assert order == []
    gated.openAll()
    assert order == [2, 3, 4]
    assert resultOf(loading).attributes["data:b"] == b"7"
    assert resultOf(worker.loadSession(sidOf(0))).attributes["data:b"] == b"9"


def test_down() -> None:
    """
    While the store is down, that is what is said; the next operation looks again.
    """
    scene = Scene()
    failing = FailingStore(scene.inner)
    worker = scene.worker(OLD, around=failing)
    failing.fail()
    for operation in operations(worker):
        with pytest.raises(StoreUnavailable):
            resultOf(operation())
    failing.mend()
    assert resultOf(worker.loadSession(sidOf(1))) == scene.records[1]


def test_rotation() -> None:
    """
    A new key that all processes know before one of them puts it in front, and an old one that
    is taken away when nothing is encrypted with it any more, are not noticed by any session.
    """
    scene = Scene(20)
    for before, after in (((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW, OLD))):
        workers = scene.worker(*before), scene.worker(*after)
        for number in range(20):
            change = Change(sidOf(number), set={name: b"5" for name in ATTRIBUTES if ":" in name})
            resultOf(workers[number % 2].saveSession(change))
            for worker in workers:
                assert resultOf(worker.loadSession(sidOf(number))).attributes["data:a"] == b"5"
    last = scene.worker(NEW)
    for number in range(20):
        assert resultOf(last.loadSession(sidOf(number))).attributes["data:a"] == b"5"


class TestPlainUntil:
    """
    From plain to encrypted, for a while.
    """

    @pytest.fixture(autouse=True)
    def plain(self) -> None:
        """
        A session that is not encrypted.
        """
        self.scene = Scene(0)
        resultOf(self.scene.inner.createSession(newRecord(1)))

    def test_read(self) -> None:
        """
        Until then plain values are read, one that is saved is encrypted, and the others stay as
        they are.
        """
        store = self.scene.worker(OLD, plainUntil=1000.0)
        assert resultOf(store.loadSession(sidOf(1))) == newRecord(1)
        resultOf(store.saveSession(Change(sidOf(1), set={"data:a": b"7"})))
        raw = resultOf(self.scene.inner.loadSession(sidOf(1))).attributes
        assert raw["data:a"].startswith(b'"txs1.') and raw["data:b"] == ATTRIBUTES["data:b"]
        loaded = resultOf(store.loadSession(sidOf(1)))
        assert loaded.attributes == {**ATTRIBUTES, "data:a": b"7"}

    def test_noLonger(self) -> None:
        """
        A moment before it is so, and at that moment no more: the line says what to do.
        """
        store = self.scene.worker(OLD, plainUntil=1000.0)
        self.scene.clock.advance(999.999)
        assert resultOf(store.loadSession(sidOf(1))) == newRecord(1)
        self.scene.clock.advance(0.001)
        with pytest.raises(PlainValue, match="rekey --plain"):
            resultOf(store.loadSession(sidOf(1)))
        assert resultOf(self.scene.inner.loadSession(sidOf(1))) == newRecord(1)

    def test_never(self) -> None:
        """
        Without such a moment nothing plain is read, nothing is changed, and nothing ends.
        """
        store = self.scene.worker(OLD)
        before = self.scene.content()
        self.scene.clock.advance(1000)
        for operation in operations(store):
            failed = operation()
            with pytest.raises(UnknownKey, match="rekey --plain"):
                resultOf(failed)
        assert self.scene.content() == before

    def test_notAnotherKey(self) -> None:
        """
        It opens the door to plain values and to nothing else.
        """
        resultOf(self.scene.worker(NEW, plainUntil=9.0).createSession(newRecord(2)))
        store = self.scene.worker(OLD, plainUntil=1000.0)
        with pytest.raises(UnknownKey):
            resultOf(store.loadSession(sidOf(2)))


def test_failuresAreFresh() -> None:
    """
    An error that is said often does not grow.
    """
    wrong = Scene().worker(WRONG)
    caught: list[Failure] = []
    for _ in range(3):
        wrong.loadSession(sidOf(1)).addErrback(caught.append)
    assert len({id(failure.value) for failure in caught[1:]}) == 2
