"""
Tests for L{txsessions.testing.explorer}: who takes part, with which stores, and what is a
step.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from explored import SCENARIOS
from test_explorer import Late, UnknownContents
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from zope.interface.verify import verifyObject

from txsessions.errors import SessionNotFound
from txsessions.interfaces import ISessionStore
from txsessions.record import Change
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf
from txsessions.testing.explorer import (
    Gates,
    InterleavingFailed,
    Scenario,
    actor,
    always,
    atTheEnd,
    explore,
)
from txsessions.testing.explorer.scenario import spoken
from txsessions.testing.shared import NamedOperations, SharedMemory
from txsessions.testing.shared.puppet import Puppet, inTurn


class TestActors:
    """
    Who takes part.
    """

    def test_oneProcess(self) -> None:
        """
        Actors who share a process begin in any order, and share what is in it.
        """
        firsts = set()

        class Shared(Scenario):
            async def begin(self) -> None:
                self.began: list[str] = []

            @actor(process="one")
            def first(self, store: Any) -> None:
                self.began.append("first")

            @actor(process="one")
            def second(self, store: Any) -> None:
                self.began.append("second")

            @atTheEnd
            def note(self) -> None:
                firsts.add(self.began[0])
                assert len(self.stores) == 1

        resultOf(explore(Shared, UnknownContents()))
        assert firsts == {"first", "second"}

    def test_time(self) -> None:
        """
        Time stands still unless an actor makes it pass; what is due at once is done.
        """

        class Timed(Scenario):
            @actor()
            async def request(self, store: Any) -> None:
                before = self.clock.seconds()
                await store.hasSession("0" * 32)
                await deferLater(self.clock, 0)
                assert self.clock.seconds() == before
                self.clock.advance(5)
                assert self.clock.seconds() == before + 5

        assert resultOf(explore(Timed, SharedMemory())).count == 1

    def test_timePasses(self) -> None:
        """
        What others do before and after an actor has made time pass is not the same.
        """
        seen = set()

        class Passing(Scenario):
            async def begin(self) -> None:
                self.records = [await self.newSession() for _ in range(2)]
                self.times: list[float] = []

            @actor()
            async def waiter(self, store: Any) -> None:
                await store.loadSession(self.records[0].sid)
                self.clock.advance(60)

            @actor()
            async def looker(self, store: Any) -> None:
                for _ in range(2):
                    await store.loadSession(self.records[1].sid)
                    self.times.append(self.clock.seconds())

            @atTheEnd
            def note(self) -> None:
                seen.add(tuple(moment - self.clock.seconds() for moment in self.times))

        assert resultOf(explore(Passing, SharedMemory())).isComplete
        assert seen == {(-60.0, -60.0), (-60.0, 0.0), (0.0, 0.0)}

    def test_store(self) -> None:
        """
        The store of a process provides what the store inside provides, and says that others
        may use the same sessions.
        """

        class Looking(Scenario):
            @actor()
            def request(self, store: Any) -> None:
                assert verifyObject(ISessionStore, store)
                assert store.isMultiprocessSafe

        resultOf(explore(Looking, SharedMemory()))

    def test_names(self) -> None:
        """
        An actor is called as people would write the name of the method.
        """
        names = {"requestA": "request A", "logOut": "log out", "sweep": "sweep", "tab2": "tab2"}
        assert {name: spoken(name) for name in names} == names

    def test_chance(self) -> None:
        """
        What a process draws by chance is the same in each run.
        """
        drawn = set()

        class Drawing(Late):
            @always
            def oneWrites(self) -> None:
                drawn.add(self.random("a").random() if not self._drawn() else None)

            def _drawn(self) -> bool:
                self.seen = getattr(self, "seen", 0) + 1
                return self.seen > 1

        resultOf(explore(Drawing, SharedMemory()))
        assert len(drawn) == 2


class StepwiseStore(MemoryStore):
    """
    Saves in two steps: broken on purpose.
    """

    step: Any = staticmethod(lambda what, proceed: succeed(proceed()))

    def saveSession(self, change: Change) -> Deferred[int]:
        async def save() -> int:
            record = await self.step("read", lambda: self._records.get(change.sid))
            if record is None:
                raise SessionNotFound(change.sid)
            await self.step("write", lambda: self._records.update({change.sid: record}))
            return await super(StepwiseStore, self).saveSession(change)

        return Deferred.fromCoroutine(save())


class SharedSteps(SharedMemory):
    """
    Lets the steps of one's own store wait.
    """

    def open(self) -> Any:
        return copy(self._store)

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        store.step = lambda what, proceed: gates.step(process, proceed, what)
        return NamedOperations(store, process, gates)


def test_ownSteps() -> None:
    """
    The steps of one's own store are told of by their names.
    """
    with pytest.raises(InterleavingFailed, match=r"\[write\]"):
        resultOf(explore(SCENARIOS["three writers"], SharedSteps(StepwiseStore)))


class SharedPauses(SharedMemory):
    """
    A store on which one can wait for others.
    """

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        gated = super().gated(store, process, gates)
        gated.pause = lambda: gates.pause(process, lambda: None)
        return gated


def test_waitsInLine() -> None:
    """
    Who looks again and again does not do so for ever before others have their turn; and who
    waits for what never comes is named.
    """
    looks: list[int] = []

    class Waiting(Scenario):
        isOpen = True

        async def begin(self) -> None:
            self.record = await self.newSession()
            self.looks = 0

        @actor()
        async def waiter(self, store: Any) -> None:
            while await store.hasSession(self.record.sid):
                self.looks += 1
                await store.pause()

        @actor()
        async def other(self, store: Any) -> None:
            for _ in range(2):
                await store.loadSession(self.record.sid)
            if self.isOpen:
                await store.deleteSession(self.record.sid)

        @atTheEnd
        def note(self) -> None:
            looks.append(self.looks)

    assert resultOf(explore(Waiting, SharedPauses())).isComplete
    assert set(looks) == {0, 1, 2, 3}

    class Vain(Waiting):
        isOpen = False

    with pytest.raises(InterleavingFailed, match="goes on after"):
        resultOf(explore(Vain, SharedPauses(), limit=1))


def test_puppet() -> None:
    """
    A function in a thread goes on step by step, and what it raises is told.
    """
    waiting: list[Any] = []

    def function() -> Any:
        first = inTurn("first", lambda: 1)
        return first + inTurn("second", lambda: 1 / 0)

    puppet = Puppet(function, lambda pause, go: waiting.append((pause.what, go)))
    done = puppet.start()
    for what in ("first", "second"):
        assert waiting[-1][0] == what and not done.called
        answer = waiting[-1][1]()
    assert isinstance(answer, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        resultOf(done)
    assert inTurn("alone", lambda: 3) == 3


def test_clockOfStores() -> None:
    """
    All stores of a run have the clock of the scenario.
    """

    class Looking(Scenario):
        @actor()
        def request(self, store: Any) -> None:
            assert store.clock is self.clock is self.truth.clock
            assert isinstance(self.clock, Clock)

    resultOf(explore(Looking, SharedMemory()))
