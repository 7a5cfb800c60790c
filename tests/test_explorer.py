"""
Tests for L{txsessions.testing.explorer}: that it takes all orders, no order twice, and
tells what goes wrong so that one can read and repeat it.
"""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar

import pytest
from explored import SCENARIOS, Overlap, ThreeWriters
from exploredcontrols import LosingStore
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from zope.interface.verify import verifyObject

from txsessions.errors import SessionNotFound
from txsessions.interfaces import ISessionStore
from txsessions.record import Change
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf
from txsessions.testing.explorer import (
    Actor,
    Exploration,
    Gates,
    InterleavingFailed,
    Scenario,
    actor,
    always,
    atTheEnd,
    explore,
)
from txsessions.testing.explorer import search as searching
from txsessions.testing.explorer.run import NeverEnds
from txsessions.testing.explorer.scenario import spoken
from txsessions.testing.shared import NamedOperations, SharedData, SharedMemory
from txsessions.testing.shared.puppet import Puppet, inTurn


class Ending(ThreeWriters):
    """
    Three writers, who look how it ends.
    """

    ends: ClassVar[set[Any]] = set()

    @atTheEnd
    async def note(self) -> None:
        record = await self.truth.loadSession(self.record.sid)
        self.ends.add((tuple(record.attributes), tuple(sorted(self.outcomes.items()))))


class UnknownContents(SharedMemory):
    """
    A store of which nobody knows what is in it.
    """

    def contents(self) -> None:
        return None


def endings(data: SharedData) -> tuple[Exploration, set[Any]]:
    """
    Explore; and in which ways it ends.
    """
    kind = type("Ending", (Ending,), {"ends": set()})
    return resultOf(explore(kind, data)), kind.ends


class TestSearch:
    """
    Which orders are taken.
    """

    def test_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        What is not taken ends as something does that is: all ends are seen that are seen when
        each order is taken.
        """
        pruned, seen = endings(SharedMemory())
        slept, seenToo = endings(UnknownContents())
        monkeypatch.setattr(searching, "commute", lambda one, other: False)
        every, all = endings(UnknownContents())
        assert every.count == 90 and every.cut == 0
        assert pruned.count <= slept.count < every.count
        assert seen == seenToo == all and len(all) == 6
        assert pruned.isComplete and slept.isComplete and every.isComplete

    def test_limit(self) -> None:
        """
        There are no more runs than are allowed, and then it is not said that these were all.
        """
        found = resultOf(explore(Overlap, SharedMemory(), limit=10))
        assert found.count + found.cut == 10 and not found.isComplete

    def test_chance(self) -> None:
        """
        Chance is the same from the same seed, and finds what goes wrong.
        """
        found = [resultOf(explore(Overlap, SharedMemory(), runs=5, seed=3)) for _ in "ab"]
        assert found[0] == found[1] and found[0].count == 5 and found[0].seed == 3
        broken = SharedMemory(LosingStore)
        stories = set()
        for _ in "ab":
            with pytest.raises(InterleavingFailed) as caught:
                resultOf(explore(ThreeWriters, broken, runs=100, seed=3))
            stories.add(str(caught.value))
        assert len(stories) == 1

    def test_shortest(self) -> None:
        """
        The story that is told is as short as any.
        """
        lengths = []
        for shorten in (0, 10_000):
            with pytest.raises(InterleavingFailed) as caught:
                resultOf(explore(Late, SharedMemory(), shorten=shorten))
            lengths.append(len(caught.value.steps))
        assert lengths[0] >= lengths[1] == 2


class Late(Scenario):
    """
    Something is wrong as soon as both have begun to write.
    """

    async def begin(self) -> None:
        self.record = await self.newSession()
        self.writes: set[str] = set()

    def actors(self) -> list[Actor]:
        return [Actor(name, name, self.writing(name)) for name in "ab"]

    def writing(self, name: str) -> Any:
        """
        Somebody who saves three times.
        """

        async def write(store: Any) -> None:
            for number in range(3):
                change = Change(self.record.sid, set={f"data:{name}": b"%d" % number})
                await store.saveSession(change)
                self.writes.add(name)

        return write

    @always
    def oneWrites(self) -> None:
        assert len(self.writes) < 2, "both write"


class TestFailures:
    """
    What goes wrong besides.
    """

    def test_story(self) -> None:
        """
        The story says who does what with which result, and how to have it again.
        """
        with pytest.raises(InterleavingFailed) as caught:
            resultOf(explore(Late, SharedMemory()))
        assert str(caught.value).splitlines() == [
            "Late: both write",
            "  1. a saves the session (a=0): version 2",
            "  2. b saves the session (b=0): version 3",
            "To have it again: explore(..., choices='00')",
        ]
        with pytest.raises(InterleavingFailed, match="both write"):
            resultOf(explore(Late, SharedMemory(), choices="10"))
        assert resultOf(explore(Overlap, SharedMemory(), choices="0")).count == 1

    def test_waitsForEver(self) -> None:
        """
        An actor who waits for what nobody does is named.
        """

        class Stuck(Scenario):
            @actor()
            def requestA(self, store: Any) -> Deferred[None]:
                return Deferred()

        with pytest.raises(InterleavingFailed, match="request A waits") as caught:
            resultOf(explore(Stuck, SharedMemory()))
        assert isinstance(caught.value.error, NeverEnds)

    def test_actorFails(self) -> None:
        """
        An exception that nobody expects is a failure, one that is expected is an outcome.
        """

        class Ended(Scenario):
            async def begin(self) -> None:
                self.record = await self.newSession()
                await self.truth.deleteSession(self.record.sid)

            @actor("somebody")
            async def load(self, store: Any) -> Any:
                return await store.loadSession(self.record.sid)

        with pytest.raises(InterleavingFailed, match="somebody failed: SessionEnded"):
            resultOf(explore(Ended, SharedMemory()))

        class Expected(Ended):
            @actor("somebody", mayFail=SessionNotFound)
            async def load(self, store: Any) -> Any:
                return await store.loadSession(self.record.sid)

            @atTheEnd
            def failed(self) -> None:
                assert isinstance(self.outcomes["somebody"], SessionNotFound)

        assert resultOf(explore(Expected, SharedMemory())).count == 1

    def test_notTheSame(self) -> None:
        """
        A scenario that does something else in the same order is told so.
        """
        runs: list[int] = []

        class Fickle(Late):
            @always
            def oneWrites(self) -> None:
                """
                Fine.
                """

            async def begin(self) -> None:
                await super().begin()
                runs.append(1)

            def actors(self) -> list[Actor]:
                return super().actors()[: 1 + len(runs) % 2]

        with pytest.raises(LookupError, match="take its time from the clock"):
            resultOf(explore(Fickle, SharedMemory()))

    def test_checkWithoutText(self) -> None:
        """
        A check that says nothing is told of by its name.
        """

        class Wrong(Late):
            @always
            def oneWrites(self) -> None:
                raise AssertionError

        with pytest.raises(InterleavingFailed, match="it is not true that one writes"):
            resultOf(explore(Wrong, SharedMemory()))


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
