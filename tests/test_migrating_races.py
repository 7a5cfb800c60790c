"""
Tests for L{txsessions.stores.migrating}: every order of the steps of two processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions.errors import SessionEnded
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MOVED, MigratingStore
from txsessions.testing import GatedStore
from txsessions.testing.contract.logins import logIn

SID = "0123456789abcdef" * 2
OTHERS = ("a" * 32, "b" * 32)


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


def twoLogIns(world: World) -> None:
    """
    Both processes let another session of the owner in, who may have but one.
    """
    for number, sid in enumerate(OTHERS):
        world.new.createSession(newRecord(sid=sid))
        change = Change(sid, sessionKey="anna")
        world.call(sid, world.processes[number].logInSession(change, SessionLimit(1)))


def oneIsLeft(world: World) -> None:
    """
    Each of the others had to make room, and was given once.
    """
    evicted = [ending for answer in world.answers.values() for ending in answer.evicted]
    left = liveOnes(world)
    assert len(left) == 1
    assert sorted([*(ending.record.sid for ending in evicted), *left]) == sorted([SID, *OTHERS])


def logInAndClear(world: World) -> None:
    """
    One process ends all sessions of the owner while the other lets one in that came
    before, and one saves.
    """
    world.old.createSession(newRecord(sid=OTHERS[0]))
    world.clock.advance(10)
    change = logIn(newRecord(sid=OTHERS[0]), at=5.0)
    world.call("log-in", world.processes[1].logInSession(change))
    world.call("end", world.processes[0].endSessions("anna"))


def allHaveEnded(world: World) -> None:
    """
    No session of the owner lives, and each that he had was given once.
    """
    assert liveOnes(world) == []
    given = [ending.record.sid for ending in world.answers["end"]]
    isLate = isinstance(world.answers["log-in"], Failure)
    assert sorted(given) == sorted([SID] if isLate else [SID, OTHERS[0]])


def liveOnes(world: World) -> list[str]:
    """
    The live sessions of the owner, as a third process sees them.
    """
    found: list[Any] = []
    MigratingStore(world.new, world.old).findSessions("anna").addCallback(found.extend)
    return [record.sid for record in found]


class NewCountingStore(MigratingStore):
    """
    Broken on purpose: it counts the sessions of the new store only.
    """

    async def _logIn(self, change: Change, limit: Any) -> Any:
        """
        Let a session in.
        """
        return await self._change(change.sid, lambda: self._new.logInSession(change, limit))


class NewClearingStore(MigratingStore):
    """
    Broken on purpose: it looks at the old store when it has ended all in the new one.
    """

    async def _endAll(self, sessionKey: str, reason: str, exceptFor: str | None) -> list[Any]:
        """
        End all sessions of an owner.
        """
        endings = list(await self._new.endSessions(sessionKey, reason, exceptFor))
        for record in await self._old.findSessions(sessionKey):
            ending = await self._endOwned(record.sid, sessionKey, reason)
            endings += [] if ending is None else [ending]
        return endings


def moveAndClear(world: World) -> None:
    """
    One process ends all sessions of the owner while the other saves one of them.
    """
    world.call("log-in", world.processes[1].saveSession(Change(SID, set={"data:b": b"1"})))
    world.call("end", world.processes[0].endSessions("anna"))


def hasEnded(world: World) -> None:
    """
    It lives no more, and was given once.
    """
    assert liveOnes(world) == []
    assert [ending.record.sid for ending in world.answers["end"]] == [SID]


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
            (twoLogIns, oneIsLeft),
            (logInAndClear, allHaveEnded),
            (moveAndClear, hasEnded),
        ],
    )
    def test_everyOrder(self, begin: Any, judge: Any) -> None:
        """
        In no order a key is lost, an end is given twice or not at all, an ended
        session lives, or an owner has too many.
        """
        count, wrong = troubles(MigratingStore, begin, judge)
        assert wrong == 0
        assert count > 20

    @pytest.mark.parametrize(
        ("broken", "begin", "judge"),
        [
            (CopyingStore, twoSaves, bothKept),
            (ForgettingStore, saveAndEnd, isDead),
            (NewCountingStore, twoLogIns, oneIsLeft),
            (NewClearingStore, moveAndClear, hasEnded),
        ],
    )
    def test_broken(self, broken: Any, begin: Any, judge: Any) -> None:
        """
        The same finds a store that copies too much, one that ends a session in
        one of the stores only, one that counts in one, and one that looks at
        them in the wrong order.
        """
        assert troubles(broken, begin, judge)[1] > 0
