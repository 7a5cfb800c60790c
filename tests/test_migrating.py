"""
Tests for L{txsessions.stores.migrating}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions.errors import SessionEnded, SessionNotFound, StoreUnavailable
from txsessions.interfaces import IConnectedStore, ISessionSweep
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.record import Change, Record
from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MOVED, MigratingStore
from txsessions.testing import FailingStore, GatedStore
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    DurableJournalContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)

SID = "0123456789abcdef" * 2


class MigratingContract(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
):
    """
    Two stores are one.
    """

    storeClass: Callable[[Any, Any], Any] = MigratingStore

    def makeStore(self) -> Any:
        """
        Two empty stores.
        """
        self.pair = MemoryStore(self.clock), MemoryStore(self.clock)
        return self.storeClass(*self.pair)

    async def concurrentStore(self, store: Any) -> Any:
        """
        As another process would see the same two stores.
        """
        return self.storeClass(*self.pair)


class TestNew(MigratingContract):
    """
    A migrating store keeps the promises for new sessions.
    """


class OldFirst(MigratingStore):
    """
    A migrating store whose sessions all began in the old one.
    """

    async def _create(self, record: Record) -> bool:
        """
        Create it as the application did before the migration.
        """
        if await self._new.hasSession(record.sid):
            return False
        try:
            await self._new.loadSession(record.sid)
        except SessionEnded:
            return False
        isNew: bool = await self._old.createSession(record)
        return isNew


class TestOld(MigratingContract):
    """
    A migrating store keeps the promises for sessions that are in the old store.
    """

    storeClass = OldFirst


class TestFiles(
    StoreContract,
    SweepContract,
    IndexContract,
    ConnectedContract,
    DurabilityContract,
    AvailabilityContract,
    CorruptionContract,
):
    """
    A migrating store keeps the promises over stores that can be closed, fail
    and be damaged.
    """

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Any) -> None:
        """
        A directory for each test.
        """
        self.directory = tmp_path

    def makeStore(self) -> Any:
        """
        Two stores in files.
        """
        new = JSONStore(self.directory / "new", clock=self.clock)
        return OldFirst(new, JSONStore(self.directory / "old", clock=self.clock))

    async def concurrentStore(self, store: Any) -> Any:
        """
        As another process would see the same two stores.
        """
        return self.makeStore()

    async def reopen(self, store: Any) -> Any:
        """
        Close both, and open both.
        """
        await store.close()
        return self.makeStore()

    async def breakStore(self, store: Any) -> None:
        """
        Take both directories away.
        """
        for name in ("new", "old"):
            (self.directory / name).rename(self.directory / f"{name}.away")

    async def mendStore(self, store: Any) -> None:
        """
        Put both directories back.
        """
        for name in ("new", "old"):
            (self.directory / f"{name}.away").rename(self.directory / name)

    async def damageSession(self, store: Any, sid: str) -> None:
        """
        Cut the file short, in whichever store it is.
        """
        for name in ("new", "old"):
            path = self.directory / name / sid[:2] / f"{sid}.json"
            if path.exists():
                path.write_bytes(path.read_bytes()[:100])


def newRecord(**facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 100.0}
    return Record(**{"sid": SID, "verifier": bytes(32), **usual, **facts})


class World:
    """
    Two processes over two stores, whose every step waits for the test.
    """

    def __init__(self, storeClass: Callable[[Any, Any], Any]) -> None:
        self.clock = Clock()
        self.new, self.old = MemoryStore(self.clock), MemoryStore(self.clock)
        self.gates: list[tuple[Any, Any]] = []
        self.processes = [storeClass(self._gated(n, "new"), self._gated(n, "old")) for n in (0, 1)]
        self.answers: dict[str, Any] = {}

    def _gated(self, process: int, name: str) -> GatedStore:
        """
        A store as one process sees it.
        """
        gated = GatedStore(getattr(self, name))
        gated.gates = self.gates  # type: ignore[assignment]  # one list for all
        return gated

    def call(self, name: str, answer: Deferred[Any]) -> None:
        """
        Note what comes of a call.
        """
        answer.addBoth(lambda result: self.answers.__setitem__(name, result))


def schedules(run: Callable[[Callable[[int], int]], None]) -> int:
    """
    Run something in every order in which it can happen.

    @param run: Called again and again with a function that chooses: it takes
        how many ways there are, and gives the number of one.
    @return: How many orders there are.
    """
    path: list[list[int]] = []
    count = 0
    while True:
        place = 0

        def choose(ways: int) -> int:
            nonlocal place
            if place == len(path):
                path.append([0, ways])
            assert path[place][1] == ways, "it does not do the same things each time"
            place += 1
            return path[place - 1][0]

        run(choose)
        count += 1
        while path and path[-1][0] == path[-1][1] - 1:
            path.pop()
        if not path:
            return count
        path[-1][0] += 1


def troubles(storeClass: Callable[[Any, Any], Any], begin: Any, judge: Any) -> tuple[int, int]:
    """
    How many of all orders there are, and how many end as they must not.

    @param begin: Called with a L{World}; starts what happens at the same time.
    @param judge: Called with the world when all is done; raises when it is
        wrong.
    """
    wrong = 0

    def run(choose: Callable[[int], int]) -> None:
        nonlocal wrong
        world = World(storeClass)
        world.old.createSession(newRecord(attributes={"data:a": b"0"}, sessionKey="anna"))
        begin(world)
        while world.gates:
            world.gates[choose(len(world.gates))].open()  # type: ignore[attr-defined]
        try:
            judge(world)
        except Exception:
            wrong += 1

    return schedules(run), wrong


def loaded(world: World) -> Any:
    """
    The record as a third process sees it, or the class of the error.
    """
    answers: list[Any] = []
    MigratingStore(world.new, world.old).loadSession(SID).addBoth(answers.append)
    (answer,) = answers
    return answer.type if isinstance(answer, Failure) else answer


def twoSaves(world: World) -> None:
    """
    Both processes save another key.
    """
    for number, process in enumerate(world.processes):
        change = Change(SID, set={f"data:{number}": b"1"})
        world.call(f"save {number}", process.saveSession(change))


def bothKept(world: World) -> None:
    """
    Both saves were made, one after the other, in the new store alone.
    """
    assert sorted(world.answers.values()) == [2, 3]
    assert loaded(world).attributes == {"data:a": b"0", "data:0": b"1", "data:1": b"1"}
    assert SID not in world.old._records


def saveAndEnd(world: World) -> None:
    """
    One process saves while the other ends the session.
    """
    change = Change(SID, set={"data:b": b"1"})
    world.call("save", world.processes[0].saveSession(change))
    world.call("end", world.processes[1].deleteSession(SID, LOGOUT))


def isDead(world: World) -> None:
    """
    The session has ended in both stores, and its last record was given once.
    """
    assert isinstance(world.answers["end"], Record)
    save = world.answers["save"]
    if isinstance(save, Failure):
        assert save.check(SessionEnded)
        assert "data:b" not in world.answers["end"].attributes
    else:
        assert world.answers["end"].attributes["data:b"] == b"1"
    assert loaded(world) is SessionEnded
    assert (world.new._records, world.old._records) == ({}, {})


def touchAndSweep(world: World) -> None:
    """
    One process touches the session in time, which is late, and the other sweeps.
    """
    world.clock.advance(100)
    world.call("save", world.processes[0].saveSession(Change(SID, lastModified=99.0)))
    world.call("end", world.processes[1].claimExpired(10))


def livesOrIsTold(world: World) -> None:
    """
    Either the touch was made and the session lives, or it was refused and the
    end was told.
    """
    save, claim = world.answers["save"], world.answers["end"]
    if isinstance(save, Failure):
        assert save.check(SessionEnded)
        assert [ending.reason for ending in claim.endings] == [IDLE]
        assert loaded(world) is SessionEnded
    else:
        assert claim.endings == []
        assert loaded(world).lastModified == 99.0


def twoEnds(world: World) -> None:
    """
    Both processes end the session.
    """
    for number, process in enumerate(world.processes):
        world.call(f"end {number}", process.deleteSession(SID, LOGOUT))


def givenOnce(world: World) -> None:
    """
    The last record was given to one of them.
    """
    assert sorted(answer is None for answer in world.answers.values()) == [False, True]
    assert loaded(world) is SessionEnded


class CopyingStore(MigratingStore):
    """
    Broken on purpose: it copies from the old store whatever the new one says.
    """

    async def _save(self, change: Change) -> int:
        """
        Copy, then save.
        """
        record = await self._old.loadSession(change.sid)
        if record is not None:
            if not await self._new.createSession(record):
                await self._new.deleteSession(change.sid)
                self._new.store._ends._reasons.pop(change.sid, None)
                await self._new.createSession(record)
            await self._old.deleteSession(change.sid, MOVED)
        version: int = await self._new.saveSession(change)
        return version


class ForgettingStore(MigratingStore):
    """
    Broken on purpose: it ends each session where it finds it.
    """

    async def _delete(self, sid: str, reason: str) -> Record | None:
        """
        End it in the new store or in the old one.
        """
        record: Record | None = await self._new.deleteSession(sid, reason)
        return record or await self._old.deleteSession(sid, reason)


class TestRaces:
    """
    Every order of the steps of two processes.
    """

    @pytest.mark.parametrize(
        ("begin", "judge"),
        [
            (twoSaves, bothKept),
            (saveAndEnd, isDead),
            (touchAndSweep, livesOrIsTold),
            (twoEnds, givenOnce),
        ],
    )
    def test_everyOrder(self, begin: Any, judge: Any) -> None:
        """
        In no order a key is lost, an end is given twice or not at all, or an
        ended session lives.
        """
        count, wrong = troubles(MigratingStore, begin, judge)
        assert wrong == 0
        assert count > 20

    @pytest.mark.parametrize(
        ("broken", "begin", "judge"),
        [(CopyingStore, twoSaves, bothKept), (ForgettingStore, saveAndEnd, isDead)],
    )
    def test_broken(self, broken: Any, begin: Any, judge: Any) -> None:
        """
        The same finds a store that copies too much, and one that ends a session
        in one of the stores only.
        """
        assert troubles(broken, begin, judge)[1] > 0


@pytest.fixture
def pair() -> Iterator[Any]:
    """
    A clock, a new store, an old store, and both as one.
    """
    clock = Clock()
    new, old = MemoryStore(clock), MemoryStore(clock)
    yield clock, new, old, MigratingStore(new, old)


class TestMigration:
    """
    What is where, and when.
    """

    @pytest_twisted.ensureDeferred
    async def test_readingMovesNothing(self, pair: Any) -> None:
        """
        A session that is only read stays where it is.
        """
        _, new, old, both = pair
        await old.createSession(newRecord(sessionKey="anna"))
        assert await both.loadSession(SID) == newRecord(sessionKey="anna")
        assert await both.hasSession(SID) is True
        assert len(await both.findSessions("anna")) == 1
        assert [sid async for sid, _ in both.iterSessions()] == [SID]
        assert list(new._records) == []

    @pytest_twisted.ensureDeferred
    async def test_writingMoves(self, pair: Any) -> None:
        """
        A session moves at its first write, with all that it had, and nothing is
        left behind.
        """
        _, new, old, both = pair
        record = newRecord(attributes={"data:a": b"1"}, version=7, absoluteTimeout=1e6)
        await old.createSession(record)
        assert await both.saveSession(Change(SID, set={"data:b": b"2"}, expectedVersion=7)) == 8
        assert (await new.loadSession(SID)).attributes == {"data:a": b"1", "data:b": b"2"}
        assert (await new.loadSession(SID)).absoluteTimeout == 1e6
        assert await old.hasSession(SID) is False

    @pytest_twisted.ensureDeferred
    async def test_newSessionsAreNew(self, pair: Any) -> None:
        """
        A new session begins in the new store, and not under a handle of the old.
        """
        _, new, old, both = pair
        await old.createSession(newRecord())
        assert await both.createSession(newRecord()) is False
        other = newRecord(sid="f" * 32)
        assert await both.createSession(other) is True
        assert await new.hasSession(other.sid)
        assert not await old.hasSession(other.sid)

    @pytest_twisted.ensureDeferred
    async def test_crashWhileMoving(self, pair: Any) -> None:
        """
        A session that a crash left in both stores is that of the new one, and
        the copy disappears with its end, untold.
        """
        clock, new, old, both = pair
        await old.createSession(newRecord(sessionKey="anna"))
        await new.createSession(newRecord(sessionKey="bert"))
        await both.saveSession(Change(SID, set={"data:a": b"1"}, lastModified=50.0))
        assert await both.findSessions("anna") == []
        assert len(await both.findSessions("bert")) == 1
        assert [record.sessionKey async for _, record in both.iterSessions()] == ["bert"]
        clock.advance(100)
        assert (await both.claimExpired(10)).endings == []
        assert await old.hasSession(SID) is False
        assert await both.hasSession(SID) is True
        clock.advance(50)
        assert len((await both.claimExpired(10)).endings) == 1

    @pytest_twisted.ensureDeferred
    async def test_endsBoth(self, pair: Any) -> None:
        """
        A session that a crash left in both stores ends in both, for good.
        """
        clock, new, old, both = pair
        await old.createSession(newRecord(sessionTimeout=1e6))
        await new.createSession(newRecord(sessionTimeout=1e6))
        assert await both.deleteSession(SID) is not None
        clock.advance(3601)
        await both.claimExpired(1)
        assert await both.loadSession(SID) is None
        with pytest.raises(SessionNotFound):
            await both.saveSession(Change(SID, set={"data:a": b"1"}))

    @pytest_twisted.ensureDeferred
    async def test_endedBefore(self, pair: Any) -> None:
        """
        What had ended in the old store is ended, and why is known.
        """
        _, _, old, both = pair
        await old.createSession(newRecord())
        await old.deleteSession(SID, LOGOUT)
        for answer in (
            both.loadSession(SID),
            both.saveSession(Change(SID, set={"data:a": b"1"})),
        ):
            with pytest.raises(SessionEnded) as caught:
                await answer
            assert caught.value.reason == LOGOUT
        assert await both.deleteSession(SID) is None
        assert await both.createSession(newRecord()) is False

    @pytest_twisted.ensureDeferred
    async def test_oneIsDown(self, pair: Any) -> None:
        """
        While either store is down nobody is told that there is no session, and
        nothing that was claimed is lost.
        """
        clock, new, old, _ = pair
        await old.createSession(newRecord())
        for down in (0, 1):
            stores = [FailingStore(new), FailingStore(old)]
            both = MigratingStore(*stores)
            stores[down].fail()
            for answer in (
                both.loadSession(SID),
                both.hasSession(SID),
                both.createSession(newRecord(sid="f" * 32)),
                both.saveSession(Change(SID, set={"data:a": b"1"})),
                both.deleteSession(SID),
                both.findSessions("anna"),
                both.claimExpired(10),
            ):
                with pytest.raises(StoreUnavailable):
                    await answer
            assert await old.hasSession(SID)
        clock.advance(100)
        stores = [FailingStore(new), FailingStore(old)]
        both = MigratingStore(*stores)
        stores[0].fail("createSession")
        with pytest.raises(StoreUnavailable):
            await both.claimExpired(10)
        stores[0].mend()
        assert len((await both.claimExpired(10)).endings) == 1

    def test_provides(self, pair: Any) -> None:
        """
        It can do what both stores can, and be closed if either can.
        """
        both = pair[3]
        assert ISessionSweep.providedBy(both)
        assert not IConnectedStore.providedBy(both)
        assert IConnectedStore.providedBy(MigratingStore(JSONStore("never-opened"), pair[2]))
        assert both.isMultiprocessSafe is False
        both.clock = clock = Clock()
        assert pair[1].clock is pair[2].clock is both.clock is clock
