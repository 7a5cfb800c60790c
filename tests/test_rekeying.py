"""
Tests for L{txsessions.rekeying}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from test_encrypting_values import ATTRIBUTES, newRecord, sidOf
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txsessions.envelope import MARK, Envelopes, State, isSecret
from txsessions.errors import StoreUnavailable, StoreUnusable
from txsessions.keys import KeyRing
from txsessions.record import Change, Record
from txsessions.rekeying import BUSY, CURRENT, DAMAGED, GONE, PLAIN, REKEYED, UNKNOWN, Rekey
from txsessions.stores.encrypting import EncryptingStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import FailingStore, RecordingStore, WrappingStore, resultOf

OLD, NEW, LOST = (os.urandom(32) for _ in range(3))

RING = KeyRing(NEW, OLD)


class Scene:
    """
    A store in memory.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.inner = MemoryStore(self.clock)
        self.told: list[str] = []

    def make(self, number: int, *keys: bytes) -> None:
        """
        A session that is encrypted with the first of these keys, or not.
        """
        store = EncryptingStore(MemoryStore(self.clock), keys) if keys else None
        record = newRecord(number) if store is None else store._cipher.close(newRecord(number))
        assert resultOf(self.inner.createSession(record))

    def rekey(self, store: Any = None, ring: KeyRing = RING, **options: Any) -> dict[str, int]:
        """
        Encrypt all; the fates that there were.
        """
        work = Rekey(store or self.inner, ring, self.clock, self.told.append, **options)
        resultOf(Deferred.fromCoroutine(work.run()))
        return {fate: count for fate, count in work.counts.items() if count}

    def raw(self, number: int) -> Record:
        """
        What the store has.
        """
        record: Record = resultOf(self.inner.loadSession(sidOf(number)))
        return record

    def readable(self, number: int, *keys: bytes) -> bool:
        """
        Whether a session is there as it was for who has these keys.
        """
        found = resultOf(EncryptingStore(self.inner, keys).loadSession(sidOf(number)))
        return bool(found.attributes == ATTRIBUTES)


@pytest.fixture
def scene() -> Scene:
    """
    A store in memory.
    """
    return Scene()


def states(record: Record, ring: KeyRing = RING) -> set[State]:
    """
    The states of the values of a session.
    """
    envelopes = Envelopes(ring, os.urandom)
    return {envelopes.state(v) for name, v in record.attributes.items() if isSecret(name)}


def test_rekey(scene: Scene) -> None:
    """
    What is under an older key is encrypted with the newest, all else stays as it is; again, there
    is nothing to do.
    """
    for number in range(100):
        scene.make(number, OLD if number % 3 else NEW)
    before = scene.raw(1)
    assert scene.rekey() == {REKEYED: 66, CURRENT: 34}
    after = scene.raw(1)
    assert (after.version, after.lastModified) == (before.version + 1, before.lastModified)
    assert all(states(scene.raw(number)) == {State.CURRENT} for number in range(100))
    assert all(scene.readable(number, NEW) for number in range(100))
    assert scene.rekey() == {CURRENT: 100}
    assert scene.raw(1) == after
    assert scene.told == []


def test_parts(scene: Scene) -> None:
    """
    Of a session of which a part is current the other part is encrypted.
    """
    scene.make(1, OLD)
    store = EncryptingStore(scene.inner, (NEW, OLD))
    resultOf(store.saveSession(Change(sidOf(1), set={"data:a": ATTRIBUTES["data:a"]})))
    value = scene.raw(1).attributes["data:a"]
    assert scene.rekey() == {REKEYED: 1}
    assert scene.raw(1).attributes["data:a"] == value
    assert scene.readable(1, NEW)


def test_plain(scene: Scene) -> None:
    """
    What is not encrypted is left alone, and told, unless it is said that it be encrypted.
    """
    scene.make(1)
    scene.make(2, NEW)
    before = scene.raw(1)
    assert scene.rekey() == {PLAIN: 1, CURRENT: 1}
    assert scene.raw(1) == before
    assert len(scene.told) == 1 and "rekey --plain" in scene.told[0]
    assert scene.rekey(takesPlain=True) == {REKEYED: 1, CURRENT: 1}
    assert scene.readable(1, NEW)


def test_nothingToEncrypt(scene: Scene) -> None:
    """
    A session that keeps nothing is as it should be.
    """
    resultOf(scene.inner.createSession(newRecord(1, attributes={"fact:a": b"1"})))
    assert scene.rekey() == {CURRENT: 1}
    assert scene.raw(1).version == 1


def test_leftAlone(scene: Scene) -> None:
    """
    What cannot be decrypted stays as it is, is told in a line each, and keeps no other from being
    encrypted.
    """
    scene.make(1, LOST)
    scene.make(2, OLD)
    scene.make(3, OLD)
    value = scene.raw(2).attributes["data:a"]
    resultOf(scene.inner.saveSession(Change(sidOf(3), set={"data:a": value})))
    before = scene.raw(1), scene.raw(3)
    assert scene.rekey() == {UNKNOWN: 1, REKEYED: 1, DAMAGED: 1}
    assert (scene.raw(1), scene.raw(3)) == before
    assert sorted(sidOf(n) in line for n in (1, 3) for line in scene.told) == [
        False,
        False,
        True,
        True,
    ]
    assert not any("\n" in line for line in scene.told)


class Meddling(WrappingStore):
    """
    A store in which somebody is always faster, so many times.
    """

    def __init__(self, store: Any, meddle: Callable[[], Any], times: int) -> None:
        super().__init__(store)
        self._meddle = meddle
        self._times = times

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        Save, after somebody has meddled.
        """
        if self._times:
            self._times -= 1
            self._meddle()
        return super().saveSession(change)


@pytest.mark.parametrize(("times", "fate"), [(1, REKEYED), (9, REKEYED), (99, BUSY)])
def test_changedMeanwhile(scene: Scene, times: int, fate: str) -> None:
    """
    What others change at the same time is not lost: it is tried again on fresh data, though not
    for ever.
    """
    scene.make(1, OLD)
    count = 0

    def meddle() -> None:
        nonlocal count
        count += 1
        store = EncryptingStore(scene.inner, (OLD, NEW))
        resultOf(store.saveSession(Change(sidOf(1), set={"data:b": b"%d" % count})))

    assert scene.rekey(Meddling(scene.inner, meddle, times)) == {fate: 1}
    loaded = resultOf(EncryptingStore(scene.inner, (NEW, OLD)).loadSession(sidOf(1)))
    assert loaded.attributes == {**ATTRIBUTES, "data:b": b"%d" % count}
    assert bool(scene.told) == (fate == BUSY)


def test_control(scene: Scene) -> None:
    """
    The same finds one that overwrites what others have saved (broken on purpose).
    """

    class Careless(Meddling):
        def saveSession(self, change: Change) -> Deferred[int]:
            return super().saveSession(Change(change.sid, set=change.set))

    scene.make(1, OLD)

    def meddle() -> None:
        store = EncryptingStore(scene.inner, (OLD, NEW))
        resultOf(store.saveSession(Change(sidOf(1), set={"data:b": b"7"})))

    assert scene.rekey(Careless(scene.inner, meddle, 1)) == {REKEYED: 1}
    loaded = resultOf(EncryptingStore(scene.inner, (NEW, OLD)).loadSession(sidOf(1)))
    assert loaded.attributes["data:b"] != b"7"


def test_endedMeanwhile(scene: Scene) -> None:
    """
    A session that ends meanwhile stays dead.
    """
    scene.make(1, OLD)
    end = lambda: resultOf(scene.inner.deleteSession(sidOf(1)))  # noqa: E731
    assert scene.rekey(Meddling(scene.inner, end, 1)) == {GONE: 1}
    assert not resultOf(scene.inner.hasSession(sidOf(1)))


def test_resumed(scene: Scene) -> None:
    """
    One that was broken off leaves whole sessions, and the next one does what is left.
    """
    for number in range(200):
        scene.make(number, OLD)
    failing = FailingStore(scene.inner)
    failing.fail("saveSession", every=50)
    with pytest.raises(StoreUnavailable):
        scene.rekey(failing)
    done = sum(states(scene.raw(number)) == {State.CURRENT} for number in range(200))
    assert 0 < done < 200
    assert all(scene.readable(number, NEW, OLD) for number in range(200))
    assert scene.rekey() == {REKEYED: 200 - done, CURRENT: done}


def test_cannotBrowse(scene: Scene) -> None:
    """
    A store that cannot be browsed is told so.
    """
    with pytest.raises(StoreUnusable, match="cannot be browsed"):
        scene.rekey(store=object())


@pytest_twisted.ensureDeferred
async def test_fewBytesChange(tmp_path: Path) -> None:
    """
    In a file as well, what is rekeyed is all, and deltas are what is saved.
    """
    store = SQLiteStore(tmp_path / "sessions.db")
    closed = EncryptingStore(store, OLD)
    for number in range(300):
        await closed.createSession(newRecord(number))
    asked = RecordingStore(store)
    work = Rekey(asked, RING, reactor, print)
    await work.run()
    assert work.counts[REKEYED] == work.seen == 300
    saves = [call.arguments[0] for call in asked.calls if call.name == "saveSession"]
    secret = {name for name in ATTRIBUTES if isSecret(name)}
    assert all(change.set.keys() == secret and change.expectedVersion for change in saves)
    async for _, record in store.iterSessions():
        assert all(v.startswith(MARK) for n, v in record.attributes.items() if isSecret(n))
        assert states(record, KeyRing(NEW)) == {State.CURRENT}
    await store.close()
