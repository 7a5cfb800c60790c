"""
Tests for what a L{SessionManager<txsessions.SessionManager>} does with sessions, on every store of
ours, with and without keys.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from backends import BACKENDS
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions import SessionManager
from txsessions.errors import (
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    SessionTooLarge,
    StoreUnavailable,
    TooManySessions,
)
from txsessions.lifetime import ABSOLUTE, IDLE, LOGOUT, REVOKED
from txsessions.size import SizeLimits
from txsessions.stores import openStore
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, RecordingStore, resultOf

KEYS = {"plain": None, "keys": [bytes(range(32)), b"k" * 32]}
OWNERS = ["anna", "a:b", "élodie", "session:anna:*", "", "x" * 300, "\U0001f600"]


@pytest_twisted.async_yield_fixture(
    scope="module", params=["memory", "json", "sqlite", "redis", "postgres"]
)
async def place(request: Any, tmp_path_factory: Any) -> AsyncIterator[Callable[[], str]]:
    """
    Where the stores of a module's tests are: gives the text of a new one.
    """
    kind = request.param
    directory: Path = tmp_path_factory.mktemp(kind)
    if kind not in BACKENDS:
        separate = {"memory": "memory", "json": "json:{}", "sqlite": "sqlite:{}.db"}[kind]
        yield lambda: separate.format(directory / uuid4().hex)
        return
    server, text = BACKENDS[kind](directory)
    await server.start()
    word = "prefix" if kind == "redis" else "schema"
    yield lambda: f"{text}:{word}=t{uuid4().hex}"
    await server.kill()
    getattr(server, "remove", lambda: None)()


@pytest_twisted.async_yield_fixture(params=list(KEYS))
async def make(request: Any, place: Callable[[], str]) -> AsyncIterator[Callable[..., Any]]:
    """
    Makes managers over one store, as several workers have them.
    """
    text, made = place(), []
    only = openStore(text) if text == "memory" else None

    def makeManager(**options: Any) -> SessionManager:
        manager = SessionManager(
            openStore(text) if only is None else only,
            keys=KEYS[request.param],
            encryptData=request.param == "keys",
            **options,
        )
        made.append(manager)
        return manager

    yield makeManager
    for manager in made:
        await manager.stop()


async def failing(operation: Deferred[Any]) -> Any:
    """
    What an operation fails with.
    """
    try:
        result = await operation
    except Exception as e:
        return e
    raise AssertionError(f"it gave {result!r}")


class TestEveryStore:
    """
    What holds on all stores.
    """

    @pytest_twisted.ensureDeferred
    async def test_oneLife(self, make: Any) -> None:
        """
        A session is created, read, changed, reworked and deleted, by any worker.
        """
        one, other = make(), make()
        id = await one.create("anna", {"cart": ["apple"], "n": 1})
        assert isinstance(id, str)
        assert await other.get(id) == {"cart": ["apple"], "n": 1}
        assert await other.update(id, {"n": 2, "new": None}) is None
        assert await one.get(id) == {"cart": ["apple"], "n": 2, "new": None}
        new = await one.rework(id)
        assert new != id
        assert isinstance(await failing(other.get(id)), SessionNotFound)
        assert (await other.get(new))["n"] == 2
        assert await other.delete(new) is None
        for operation in (one.get(new), one.update(new, {}), one.rework(new), one.delete(new)):
            error = await failing(operation)
            assert isinstance(error, SessionEnded) and error.reason == LOGOUT

    @pytest_twisted.ensureDeferred
    async def test_emptyIsData(self, make: Any) -> None:
        """
        A session with nothing in it is one, also without an owner.
        """
        manager = make()
        for owner in ("anna", None):
            assert await manager.get(await manager.create(owner, {})) == {}

    @pytest_twisted.ensureDeferred
    async def test_owners(self, make: Any) -> None:
        """
        An owner is any text; it never shows in an id, and finds its own sessions only.
        """
        manager = make(notes=["device"])
        for owner in OWNERS:
            ids = [await manager.create(owner, {"device": n, "pin": 4711}) for n in range(2)]
            assert len(owner) < 3 or all(owner not in id for id in ids)
        for owner in OWNERS:
            found = await manager.find(owner)
            assert [handle.notes for handle in found] == [{"device": 0}, {"device": 1}]
            assert all(handle.authenticatedAt is not None for handle in found)
        assert await manager.find("anna ") == []

    @pytest_twisted.ensureDeferred
    async def test_clear(self, make: Any) -> None:
        """
        All sessions of an owner end, but for one if that is wanted; others live on.
        """
        one, other = make(), make()
        ids = [await one.create("anna", {}) for _ in range(3)]
        berta = await one.create("berta", {})
        mine = (await one.find("anna"))[1].sid
        assert await other.clear("anna", exceptFor=mine) == 2
        alive = [await one.get(id, default=None) for id in ids]
        assert sorted(map(str, alive)) == ["None", "None", "{}"]
        assert await other.clear("anna") == 1
        assert [handle.sid for handle in await one.find("anna")] == []
        error = await failing(one.get(ids[0]))
        assert isinstance(error, SessionEnded) and error.reason == REVOKED
        assert await one.get(berta) == {}

    @pytest_twisted.ensureDeferred
    async def test_nothingThere(self, make: Any) -> None:
        """
        Where there is nothing that is SessionNotFound; whoever does not want to know need not.
        """
        manager = make()
        stranger = os.urandom(32).hex()
        for operation in (
            manager.get(stranger),
            manager.update(stranger, {"a": 1}),
            manager.delete(stranger),
            manager.rework(stranger),
            manager.clear("nobody"),
        ):
            assert type(await failing(operation)) is SessionNotFound
        assert await manager.get(stranger, default=None) is None
        assert await manager.delete(stranger, missingOk=True) is None
        assert await manager.clear("nobody", missingOk=True) == 0
        assert await manager.find("nobody") == []
        assert await manager.revoke("0" * 32) is False

    @pytest_twisted.ensureDeferred
    async def test_revoke(self, make: Any) -> None:
        """
        What a list shows can be ended, and opens nothing.
        """
        manager = make()
        id = await manager.create("anna", {"a": 1})
        [handle] = await manager.find("anna")
        assert isinstance(await failing(manager.get(handle.sid)), SessionNotFound)
        assert await manager.revoke(handle.sid) is True
        assert await manager.get(id, default="gone") == "gone"

    @pytest_twisted.ensureDeferred
    async def test_concurrentUpdates(self, make: Any) -> None:
        """
        Updates of different keys by two workers all survive.
        """
        workers = [make(), make()]
        id = await workers[0].create(None, {})
        await DeferredList(
            [workers[n % 2].update(id, {f"key {n}": n}) for n in range(20)], fireOnOneErrback=True
        )
        assert await workers[0].get(id) == {f"key {n}": n for n in range(20)}

    @pytest_twisted.ensureDeferred
    async def test_updateNeverRevives(self, make: Any) -> None:
        """
        Of updates that run beside a delete none brings the session back.
        """
        workers = [make(), make()]
        id = await workers[0].create("anna", {"a": 0})
        operations = [workers[n % 2].update(id, {"a": n}) for n in range(10)]
        operations.insert(5, workers[0].delete(id))
        await DeferredList(operations, consumeErrors=True)
        assert isinstance(await failing(workers[1].get(id)), SessionNotFound)
        assert await workers[1].find("anna") == []

    @pytest_twisted.ensureDeferred
    async def test_badData(self, make: Any) -> None:
        """
        What cannot be kept is refused, and nothing is changed.
        """
        manager = make()
        id = await manager.create("anna", {"a": 1})
        for data in ({"a": {1, 2}}, {"a": "x" * 70_000}, {"b": float("nan")}):
            assert isinstance(await failing(manager.update(id, data)), InvalidSessionData)
            assert isinstance(await failing(manager.create("berta", data)), InvalidSessionData)
        assert isinstance(await failing(manager.update(id, {1: 2})), TypeError)
        assert await manager.get(id) == {"a": 1}
        assert await manager.find("berta") == []

    @pytest_twisted.ensureDeferred
    async def test_cap(self, make: Any) -> None:
        """
        Of parallel log-ins over two workers never more than the cap are alive, and the last live.
        """
        workers = [make(maxSessionsPerKey=3), make(maxSessionsPerKey=3)]
        done: list[str] = []
        creating = [
            workers[n % 2].create("anna", {"n": n}).addCallback(done.append) for n in range(20)
        ]
        everything = DeferredList(creating, consumeErrors=True)
        while not everything.called:
            assert len(await workers[0].find("anna")) <= 3
        await everything
        assert len(await workers[0].find("anna")) == 3
        alive = [id for id in done if await workers[1].get(id, default=None) is not None]
        assert len(alive) == 3

    @pytest_twisted.ensureDeferred
    async def test_refusing(self, make: Any) -> None:
        """
        If nobody makes room one more is refused, and leaves nothing; then there is room again.
        """
        manager = make(maxSessionsPerKey=2, onExceed="refuse")
        ids = [await manager.create("anna", {}) for _ in range(2)]
        error = await failing(manager.create("anna", {}))
        assert isinstance(error, TooManySessions) and error.maximum == 2
        assert len(await manager.find("anna")) == 2
        await manager.create("berta", {})
        await manager.delete(ids[0])
        await manager.create("anna", {})

    @pytest_twisted.ensureDeferred
    async def test_idFactory(self, make: Any) -> None:
        """
        Ids of one's own form open their sessions; one that is taken is not given again.
        """
        given = iter(["one", "one", "öne", "zwei:2"])
        manager = make(idFactory=lambda: next(given))
        ids = [await manager.create(None, {"n": n}) for n in range(3)]
        assert [await manager.get(id) for id in ids] == [{"n": 0}, {"n": 1}, {"n": 2}]
        new = await manager.rework(ids[1])
        assert await manager.get(new) == {"n": 1}
        assert await manager.get(ids[1], default=None) is None

    @pytest_twisted.ensureDeferred
    async def test_spoiled(self, make: Any) -> None:
        """
        No id with one character changed, cut off or added opens anything.
        """
        manager = make()
        id = await manager.create("anna", {"a": 1})
        wrong = [id[:-1], id + "a", id.upper(), "", " " + id, id + "\n", id * 20, "é" * 64]
        wrong += [id[:n] + ("a" if id[n] != "a" else "b") + id[n + 1 :] for n in range(len(id))]
        for each in wrong:
            if each != id:
                assert await manager.get(each, default=None) is None, each
        assert await manager.get(id) == {"a": 1}
        assert await manager.get(id.encode()) == {"a": 1}


def failureOf(deferred: Deferred[Any]) -> Failure:
    """
    What an operation, which is done, has failed with.
    """
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    [failure] = failures
    return failure


class Setting:
    """
    A manager over a store in memory, on a clock of the test.
    """

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.inside = MemoryStore()
        self.store = FailingStore(RecordingStore(self.inside))
        self.manager = SessionManager(self.store, self.clock, **options)


class TestTimes:
    """
    How long sessions live.
    """

    def test_finite(self) -> None:
        """
        A session ends 15 minutes after it was last used, if nobody says otherwise.
        """
        it = Setting()
        id = resultOf(it.manager.create("anna", {}))
        it.clock.advance(899)
        assert resultOf(it.manager.get(id)) == {}
        it.clock.advance(899)
        assert resultOf(it.manager.get(id)) == {}
        it.clock.advance(900)
        error = failureOf(it.manager.get(id)).value
        assert isinstance(error, SessionEnded) and error.reason == IDLE
        assert resultOf(it.manager.find("anna")) == []

    def test_absolute(self) -> None:
        """
        However busy it is, and with whatever new ids, it ends at its absolute time-out.
        """
        it = Setting(sessionTimeout=100, absoluteTimeout=250)
        id = resultOf(it.manager.create("anna", {}))
        for _ in range(4):
            it.clock.advance(60)
            id = resultOf(it.manager.rework(id))
        it.clock.advance(9)
        assert resultOf(it.manager.get(id)) == {}
        it.clock.advance(1)
        assert failureOf(it.manager.get(id)).value.reason == ABSOLUTE

    def test_withoutTouch(self) -> None:
        """
        Whoever only looks does not keep it alive.
        """
        it = Setting(sessionTimeout=100)
        id = resultOf(it.manager.create("anna", {}))
        for _ in range(9):
            it.clock.advance(11)
            assert resultOf(it.manager.get(id, touch=False)) == {}
        it.clock.advance(1)
        assert resultOf(it.manager.get(id, default=None)) is None

    def test_swept(self) -> None:
        """
        A manager that was started ends sessions at their time.
        """
        it = Setting(sessionTimeout=100)
        it.manager.start()
        resultOf(it.manager.create("anna", {}))
        it.clock.advance(99.5)
        assert len(it.inside._records) == 1
        it.clock.advance(0.5)
        assert not it.inside._records
        resultOf(it.manager.stop())
        assert not it.clock.getDelayedCalls()


class TestMistakes:
    """
    What goes wrong.
    """

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"maxSessionsPerKey": 0}, "maxSessionsPerKey"),
            ({"maxSessionsPerKey": True}, "maxSessionsPerKey"),
            ({"maxSessionsPerKey": 1, "onExceed": "shrug"}, "onExceed"),
            ({"sessionTimeout": 0}, "sessionTimeout"),
            ({"absoluteTimeout": -1}, "absoluteTimeout"),
            ({"reworkInterval": float("nan")}, "reworkInterval"),
            ({"encryptData": True}, "keys"),
            ({"keys": b"k" * 32, "plainUntil": "2026-12-31"}, "plainUntil"),
            ({"plainUntil": 5.0}, "plainUntil"),
            ({"keys": b"short"}, "32"),
        ],
    )
    def test_options(self, options: dict[str, Any], text: str) -> None:
        """
        An option without sense is refused at once, by name.
        """
        with pytest.raises(ValueError, match=text):
            SessionManager(MemoryStore(), Clock(), **options)

    def test_owner(self) -> None:
        """
        An owner is a text.
        """
        it = Setting()
        assert failureOf(it.manager.create(4711, {})).check(TypeError)  # type: ignore[arg-type]

    def test_repeats(self) -> None:
        """
        A source that repeats itself is an error, and never shares a session.
        """
        it = Setting(idFactory=lambda: "same")
        id = resultOf(it.manager.create("anna", {"a": 1}))
        assert failureOf(it.manager.create("berta", {"a": 2})).check(SessionError)
        assert resultOf(it.manager.get(id)) == {"a": 1}
        assert len(it.inside._records) == 1

    def test_badFactory(self) -> None:
        """
        What is no id is an error that says so.
        """
        for made in (b"", None, 5, "x" * 2000):
            it = Setting(idFactory=lambda made=made: made)
            assert "idFactory" in str(failureOf(it.manager.create(None, {})).value)

    def test_noEntropy(self) -> None:
        """
        A source of randomness that fails fails the request; nothing else is tried.
        """

        def entropy(number: int) -> bytes:
            raise OSError("no randomness")

        it = Setting(entropy=entropy)
        assert failureOf(it.manager.create("anna", {})).check(OSError)
        assert not it.inside._records
        it = Setting()
        id = resultOf(it.manager.create("anna", {}))
        it.manager.tokens._entropy = entropy
        assert failureOf(it.manager.rework(id)).check(OSError)
        assert resultOf(it.manager.get(id)) == {}

    def test_forged(self) -> None:
        """
        With keys, what we did not seal costs no look at the store.
        """
        it = Setting(keys=b"k" * 32)
        id = resultOf(it.manager.create("anna", {}))
        recording = it.store.store
        before = recording.count()
        for forged in (os.urandom(32).hex(), "", "A" * 108, id[:-4] + "AAAA", "x" * 100_000):
            assert resultOf(it.manager.get(forged, default=None)) is None
        assert recording.count() == before
        assert resultOf(it.manager.get(id)) == {}

    def test_rotation(self) -> None:
        """
        A new key logs nobody out: ids of the old one open until it is taken away.
        """
        it = Setting(keys=b"o" * 32)
        id = resultOf(it.manager.create("anna", {}))
        both = SessionManager(it.inside, it.clock, keys=[b"n" * 32, b"o" * 32])
        assert resultOf(both.get(id)) == {}
        new = resultOf(both.rework(id))
        assert resultOf(SessionManager(it.inside, it.clock, keys=b"n" * 32).get(new)) == {}
        assert resultOf(it.manager.get(new, default=None)) is None

    def test_unavailable(self) -> None:
        """
        A store that cannot answer is never "no session".
        """
        it = Setting()
        id = resultOf(it.manager.create("anna", {}))
        it.store.fail()
        for operation in (
            it.manager.get(id, default=None),
            it.manager.delete(id, missingOk=True),
            it.manager.clear("anna", missingOk=True),
            it.manager.find("anna"),
            it.manager.create("anna", {}),
        ):
            assert failureOf(operation).check(StoreUnavailable)
        it.store.mend()
        assert resultOf(it.manager.get(id)) == {}

    def test_limits(self) -> None:
        """
        How large a session may grow can be set; over the limit what is stored stays as it is.
        """
        it = Setting(
            limits=SizeLimits(maximumBytes=100, maximumAttributes=3, maximumName=20, maximumDepth=2)
        )
        id = resultOf(it.manager.create(None, {"a": [[1]]}))
        for data in (
            {"a": "x" * 100},
            {"b": 1, "c": 1, "d": 1},
            {"n" * 16: 1},
            {"a": [[[1]]]},
        ):
            assert failureOf(it.manager.update(id, data)).check(SessionTooLarge)
        assert resultOf(it.manager.get(id)) == {"a": [[1]]}
        for wrong in ({"maximumBytes": 0}, {"maximumDepth": 10_000}, {"maximumName": "9"}):
            with pytest.raises(ValueError, match="maximum"):
                SizeLimits(**wrong)
