"""
Tests for L{txsessions.stores.storage}.
"""

from __future__ import annotations

import random
import runpy
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from servers import RedisServer
from twisted.internet.defer import DeferredList
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txsessions.errors import CorruptRecord, StoreUnavailable
from txsessions.interfaces import (
    IRecordedStorage,
    ISessionStorage,
    ISessionStore,
    ISessionSweep,
)
from txsessions.lifetime import IDLE
from txsessions.ownid import OWN_ID, ownIDOf
from txsessions.record import Record
from txsessions.stores import StoreStorage, ToldStore, openStore
from txsessions.stores import storage as module
from txsessions.stores.memory import MemoryStore
from txsessions.stores.remembrance import RETENTION
from txsessions.stores.storage import LIVES, TIMEOUT, sidsOf
from txsessions.testing import FailingStore, GatedStore, RecordingStore, resultOf
from txsessions.token import sidOf

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "own_store.py"))
IDS = [0, 1, -1, 2**63, -(2**63), b"", b"\0", b"\1", b"1", b"\xff" * 2000, b"0123456789abcdef" * 4]


async def atOnce(function: Callable[[Any], Any], ids: list[Any]) -> list[Any]:
    """
    The results of calls for all these ids at the same time.
    """
    outcomes = await DeferredList([function(sessionID) for sessionID in ids], consumeErrors=True)
    return [result for _, result in outcomes]


class StoragePromises:
    """
    What every store owes as a storage.  The fixture C{store} gives an empty one.
    """

    @pytest.fixture
    def storage(self, store: Any) -> Any:
        """
        The storage in the store.
        """
        return ISessionStorage(store)

    @pytest_twisted.ensureDeferred
    async def test_life(self, storage: Any) -> None:
        """
        A session is there from its creation until it is destroyed, and each tells whether it
        was the one that did it.
        """
        assert verifyObject(ISessionStorage, storage)
        assert await storage.hasSession(5) is False
        assert await storage.destroySession(5) is False
        assert await storage.createSession(5) is True
        assert await storage.createSession(5) is False
        assert await storage.hasSession(5) is True
        assert await storage.destroySession(5) is True
        assert await storage.destroySession(5) is False
        assert await storage.hasSession(5) is False

    @pytest_twisted.ensureDeferred
    async def test_ids(self, storage: Any) -> None:
        """
        Numbers of either sign and bytes of any kind are ids, each of a session of its own.
        """
        assert await atOnce(storage.createSession, IDS) == [True] * len(IDS)
        for sessionID in IDS:
            assert await storage.destroySession(sessionID) is True
            expected = [other in IDS[IDS.index(sessionID) + 1 :] for other in IDS]
            assert await atOnce(storage.hasSession, IDS) == expected

    @pytest_twisted.ensureDeferred
    async def test_again(self, storage: Any) -> None:
        """
        An id comes again after its end, although the store remembers the end; but not more
        often than the store is asked for, and who tries is told what to do.
        """
        for _ in range(LIVES):
            assert await storage.createSession(b"again") is True
            assert await storage.createSession(b"again") is False
            assert await storage.hasSession(b"again") is True
            assert await storage.destroySession(b"again") is True
            assert await storage.hasSession(b"again") is False
        with pytest.raises(StoreUnavailable, match="use another one, or wait"):
            await storage.createSession(b"again")
        assert await storage.createSession(b"another") is True

    @pytest_twisted.ensureDeferred
    async def test_concurrency(self, storage: Any, store: Any) -> None:
        """
        Of many who create, or destroy, a session at the same time, exactly one did it, also
        when it has been before, and through adapters of their own.
        """
        other = ISessionStorage(store)
        for _ in range(3):
            created = await atOnce(lambda each: each.createSession(-7), [storage, other] * 4)
            assert sorted(created) == [False] * 7 + [True]
            destroyed = await atOnce(lambda each: each.destroySession(-7), [storage, other] * 4)
            assert sorted(destroyed) == [False] * 7 + [True]
            assert await other.hasSession(-7) is False


class TestInMemory(StoragePromises):
    """
    A store in memory is a storage.
    """

    @pytest.fixture
    def store(self) -> Any:
        """
        An empty store.
        """
        return MemoryStore()


class TestInFiles(StoragePromises):
    """
    Stores in files, and one of three methods, are storages.
    """

    @pytest_twisted.async_yield_fixture(params=["json:{}/j", "sqlite:{}/s", "example"])
    async def store(self, request: Any, tmp_path: Path) -> AsyncIterator[Any]:
        """
        An empty store.
        """
        if request.param == "example":
            yield EXAMPLE["FileStore"](tmp_path)
            return
        store = openStore(request.param.format(tmp_path))
        await store.setup()
        yield store
        await store.close()


class TestInRedis(StoragePromises):
    """
    A store on a Redis is a storage.
    """

    @pytest_twisted.async_yield_fixture
    async def store(self, run: Any, tmp_path: Path) -> AsyncIterator[Any]:
        """
        An empty store.
        """
        server = await run(RedisServer(tmp_path))
        store = openStore(f"redis:host=127.0.0.1:port={server.port}")
        yield store
        await store.close()


class TestInPostgres(StoragePromises):
    """
    A store on a PostgreSQL is a storage.
    """

    @pytest_twisted.async_yield_fixture
    async def store(self, make: Any) -> AsyncIterator[Any]:
        """
        An empty store.
        """
        store = make()
        await store.setup()
        yield store


class TestTold(StoragePromises):
    """
    A store that tells a storage is a storage.
    """

    @pytest.fixture
    def store(self) -> Any:
        """
        An empty store.
        """
        return ToldStore(StoreStorage(MemoryStore()))


@pytest.fixture
def clock() -> Clock:
    """
    A clock that shows a usual time.
    """
    clock = Clock()
    clock.advance(1e9)
    return clock


class TestHandles:
    """
    What a store knows of an id.
    """

    @given(st.lists(st.integers() | st.binary(), unique_by=lambda each: (type(each), each)))
    def test_distinct(self, ids: list[Any]) -> None:
        """
        No two ids, nor two lives of one, have a handle in common; an id's own handle as a
        token is another one too.
        """
        sids = [sid for sessionID in ids for sid in sidsOf(sessionID)]
        sids += [sidOf(sessionID) for sessionID in ids if isinstance(sessionID, bytes)]
        assert len(set(sids)) == len(sids)

    def test_stable(self) -> None:
        """
        The handles are the same in every process and version.
        """
        assert sidsOf(-1)[0] == "267999d92d72a4ac97d6a5a443c3d897"

    @pytest.mark.parametrize("method", ["createSession", "hasSession", "destroySession"])
    def test_otherTypes(self, method: str) -> None:
        """
        What is no id is an error that says what is one, and does not repeat it.
        """
        storage = StoreStorage(MemoryStore())
        with pytest.raises(TypeError, match=r"^a session ID is an int or bytes, and no str$"):
            resultOf(getattr(storage, method)("secret"))

    def test_record(self, clock: Clock) -> None:
        """
        The record of a session has its id and opens to no token; it lives for a month, or as
        long as is said.
        """
        for options, timeout in (({}, TIMEOUT), ({"sessionTimeout": 60.0}, 60.0)):
            store = MemoryStore(clock)
            resultOf(StoreStorage(store, **options).createSession(b"token"))
            record = resultOf(store.loadSession(sidsOf(b"token")[0]))
            assert (record.verifier, record.sessionKey) == (bytes(32), None)
            assert record.attributes == {OWN_ID: b'"bytes:746f6b656e"'}
            assert record.created == record.lastModified == clock.seconds()
            assert (record.sessionTimeout, record.absoluteTimeout) == (timeout, None)
        assert TIMEOUT == 30 * 24 * 3600

    @given(st.integers() | st.binary())
    def test_ownID(self, sessionID: Any) -> None:
        """
        The record gives the id back as it was, however large a number is.
        """
        for each in (sessionID, 2**20000 + 1, -(2**20000)):
            record = StoreStorage(MemoryStore())._recordOf(each, "0" * 32)
            assert ownIDOf(record) == each and type(ownIDOf(record)) is type(each)

    @pytest.mark.parametrize("text", [b'"int:zz"', b'"bytes:1"', b"1", b'"x:1"', b"\xff", b'"int:'])
    def test_noOwnID(self, text: bytes) -> None:
        """
        What somebody else has written there is no id, and no trouble.
        """
        record = Record("0" * 32, bytes(32), 0.0, 0.0, 1.0, attributes={OWN_ID: text})
        assert ownIDOf(record) is None

    def test_records(self) -> None:
        """
        Who asks for it gets the record of the session that has begun or ended, once.
        """
        storage = IRecordedStorage(MemoryStore())
        assert verifyObject(IRecordedStorage, storage)
        record = resultOf(storage.beginSession(7))
        assert (record.sid, ownIDOf(record)) == (sidsOf(7)[0], 7)
        assert resultOf(storage.beginSession(7)) is None
        assert resultOf(storage.endSession(7)) == record
        assert resultOf(storage.endSession(7)) is None


class TestTime:
    """
    What becomes of a session that nobody destroys, and of ends that are forgotten.
    """

    def test_expires(self, clock: Clock) -> None:
        """
        It ends when the store is swept at its time, not before, and may then come again.
        """
        store = MemoryStore(clock)
        storage = StoreStorage(store, 60.0)
        resultOf(storage.createSession(1))
        clock.advance(59.9)
        assert not resultOf(ISessionSweep(store).claimExpired(9)).endings
        assert resultOf(storage.hasSession(1))
        clock.advance(0.1)
        (ending,) = resultOf(ISessionSweep(store).claimExpired(9)).endings
        assert (ending.record.sid, ending.reason) == (sidsOf(1)[0], IDLE)
        assert not resultOf(storage.hasSession(1))
        assert resultOf(storage.createSession(1)) is True

    def test_forgotten(self, clock: Clock) -> None:
        """
        A later life goes on when the end of an earlier one is forgotten: it is there, it is
        not created again, and one destroys it.
        """
        store = MemoryStore(clock)
        storage = StoreStorage(store)
        for _ in range(3):
            resultOf(storage.createSession(1))
            resultOf(storage.destroySession(1))
        assert resultOf(storage.createSession(1))
        forget(store, clock)
        assert resultOf(store.loadSession(sidsOf(1)[0])) is None
        assert resultOf(storage.hasSession(1)) is True
        assert resultOf(storage.createSession(1)) is False
        assert resultOf(storage.destroySession(1)) is True
        assert resultOf(storage.hasSession(1)) is False
        assert resultOf(storage.createSession(1)) is True


def forget(store: Any, clock: Clock) -> None:
    """
    Let the store forget all ends.
    """
    clock.advance(RETENTION)
    store.claimExpired(1)


class Hasty(StoreStorage):
    """
    Broken on purpose: it does not look whether another life began at the same moment.
    """

    async def _create(self, sessionID: Any) -> Any:
        if await self._has(sessionID):
            return None
        return await self._begin(sessionID, sidsOf(sessionID))


class Blind(StoreStorage):
    """
    Broken on purpose: it takes the first life that is free without looking at the others.
    """

    async def _create(self, sessionID: Any) -> Any:
        return await self._begin(sessionID, sidsOf(sessionID))


class Greedy(StoreStorage):
    """
    Broken on purpose: it looks first and destroys then, and takes that for its own doing.
    """

    async def _destroy(self, sessionID: Any) -> Any:
        was = await self._has(sessionID)
        await super()._destroy(sessionID)
        return was or None


def balances(
    kind: Callable[[Any], Any], methods: list[str], forgets: bool, seeds: int
) -> Iterator[int]:
    """
    For calls at the same time whose operations happen in a random order, many times: by how
    much those that succeeded are not what is there afterwards.
    """
    for seed in range(seeds):
        chance = random.Random(seed)
        clock = Clock()
        store = MemoryStore(clock)
        resultOf(StoreStorage(store).createSession(1))
        resultOf(StoreStorage(store).destroySession(1))
        gated = GatedStore(store)
        calls = [getattr(kind(gated), method)(1) for method in methods]
        # Ends matter when a number is taken, so that is when they are forgotten.
        left = chance.randint(1, 4) if forgets else 0
        while gated.gates:
            gate = chance.choice(gated.gates)
            gate.open()
            if gate.name == "createSession":
                left -= 1
                if left == 0:
                    forget(store, clock)
        signs = [1 if method == "createSession" else -1 for method in methods]
        done = sum(sign * resultOf(call) for sign, call in zip(signs, calls, strict=True))
        yield done - any(resultOf(store.hasSession(sid)) for sid in sidsOf(1))


CREATIONS = ["createSession"] * 3
MIXED = ["createSession", "destroySession", "createSession", "destroySession"]


class TestEveryOrder:
    """
    Several processes that create and destroy the same id.
    """

    @pytest.fixture(autouse=True)
    def fewLives(self, monkeypatch: Any) -> None:
        """
        As many lives as these need, so that more of the orders are bad ones.
        """
        monkeypatch.setattr(module, "LIVES", 6)

    @pytest.mark.parametrize("methods", [CREATIONS, MIXED])
    @pytest.mark.parametrize("forgets", [False, True])
    def test_balance(self, methods: list[str], forgets: bool) -> None:
        """
        There are as many creations as destructions, and one more if the session is there, also
        when the store forgets an end in the midst.
        """
        assert set(balances(StoreStorage, methods, forgets, 300)) == {0}

    @pytest.mark.parametrize(
        ("kind", "methods"), [(Hasty, CREATIONS), (Blind, CREATIONS), (Greedy, MIXED)]
    )
    def test_broken(self, kind: Any, methods: list[str]) -> None:
        """
        The test before finds out what is broken on purpose.
        """
        assert any(balances(kind, methods, True, 300))


class TestFailures:
    """
    A store that cannot answer.
    """

    @pytest.mark.parametrize("method", ["createSession", "hasSession", "destroySession"])
    def test_unavailable(self, method: str) -> None:
        """
        Nobody is told that a session is there, or is not, when the store cannot know.
        """
        store = FailingStore(MemoryStore())
        storage = ISessionStorage(store)
        store.fail()
        with pytest.raises(StoreUnavailable):
            resultOf(getattr(storage, method)(1))
        store.mend()
        assert resultOf(storage.hasSession(1)) is False

    def test_oneLife(self) -> None:
        """
        One life that cannot be read hides no other, but nobody is told that there is none.
        """
        memory = MemoryStore()
        storage = StoreStorage(memory)
        for _ in range(2):
            resultOf(storage.createSession(1))
            resultOf(storage.destroySession(1))
        store = FailingStore(memory)
        store.fail("hasSession", every=3, error=lambda: CorruptRecord("0" * 32, "torn"))
        with pytest.raises(CorruptRecord):
            resultOf(StoreStorage(store).hasSession(1))
        resultOf(storage.createSession(1))
        store.fail("hasSession", every=2, error=lambda: CorruptRecord("0" * 32, "torn"))
        assert resultOf(StoreStorage(store).hasSession(1)) is True

    def test_cheap(self) -> None:
        """
        For the first life of an id the store is asked once whether it is there, and once to
        end it.
        """
        store = RecordingStore(MemoryStore())
        storage = ISessionStorage(store)
        resultOf(storage.createSession(1))
        store.calls.clear()
        resultOf(storage.hasSession(1))
        resultOf(storage.destroySession(1))
        assert [call.name for call in store.calls] == ["hasSession", "deleteSession"]


def test_adapter() -> None:
    """
    What is a storage already is one, and what is no store is none.
    """
    storage = StoreStorage(MemoryStore())
    assert ISessionStorage(storage) is storage
    assert ISessionStorage(ISessionStore(storage)) is not storage
    with pytest.raises(TypeError):
        ISessionStorage(object())
