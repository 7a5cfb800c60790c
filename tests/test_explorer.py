"""
Tests for L{txsessions.testing.explorer}: that it takes all orders, no order twice, and
tells what goes wrong so that one can read and repeat it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from explored import Overlap, ThreeWriters
from exploredcontrols import LosingStore
from twisted.internet.defer import Deferred

from txsessions.errors import SessionNotFound
from txsessions.record import Change
from txsessions.testing import resultOf
from txsessions.testing.explorer import (
    Actor,
    Exploration,
    InterleavingFailed,
    Scenario,
    actor,
    always,
    atTheEnd,
    explore,
)
from txsessions.testing.explorer import search as searching
from txsessions.testing.explorer.run import NeverEnds
from txsessions.testing.shared import SharedData, SharedMemory


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
