"""
The exploration of a scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any, Final, TypeAlias

import attrs
from twisted.internet.defer import Deferred

from ..shared.data import SharedData
from .gates import Gates
from .run import Run
from .scenario import Scenario
from .search import ByChance, Everything, Replay, written
from .story import InterleavingFailed

SHORTEN: Final = 200
"""
How many more runs may look for a shorter story when there is one.
"""


@attrs.frozen
class Exploration:
    """
    What was explored.

    @ivar count: How many orders were followed to their end.
    @ivar cut: How many runs were not, because what would have come was known.
    @ivar steps: How many steps have happened in all runs together.
    @ivar isComplete: Whether these are all orders that differ.
    @ivar seed: Where the chance began; C{None} if there was none.
    """

    count: int
    cut: int
    steps: int
    isComplete: bool
    seed: int | None = None


Choose: TypeAlias = Callable[[Run, Any], "int | None"]


def explore(
    scenario: Callable[[], Scenario],
    data: SharedData,
    *,
    limit: int | None = None,
    runs: int | None = None,
    seed: int = 0,
    choices: str | None = None,
    shorten: int = SHORTEN,
) -> Deferred[Exploration]:
    """
    Play a scenario in every order of its primitive steps that makes a
    difference.

    @param scenario: Makes an instance for each run: the class, as a rule.
    @param data: What the processes share.
    @param limit: How many runs there are at the most; the exploration is not
        complete then.
    @param runs: Take so many orders by chance, where there are too many to take
        all.
    @param seed: Where the chance begins.
    @param choices: Take only this order, from an L{InterleavingFailed}.
    @param shorten: How many further runs may look for a shorter story when an
        order has failed.
    @return: A L{Deferred} that fires with an L{Exploration}: has fired already,
        where no store has to be waited for; and fails with
        L{InterleavingFailed} when an order comes out wrong, of those that were
        found with one of the shortest stories.
    """
    explorer = Explorer(scenario, data, shorten)
    if choices is not None:
        return Deferred.fromCoroutine(explorer.replay(choices))
    if runs is not None:
        return Deferred.fromCoroutine(explorer.wander(runs, seed))
    return Deferred.fromCoroutine(explorer.search(limit))


class Explorer:
    """
    Plays runs of one scenario.

    @ivar worst: The run that failed with the shortest story so far.
    """

    def __init__(
        self, scenario: Callable[[], Scenario], data: SharedData, shorten: int = SHORTEN
    ) -> None:
        self.worst: Run | None = None
        self._scenario = scenario
        self._data = data
        self._shorten = shorten
        self._gates = Gates()
        self._count = 0
        self._cut = 0
        self._steps = 0

    async def replay(self, choices: str) -> Exploration:
        """
        Take one order.
        """
        await self._play(Replay(choices).choose)
        return self._told(False, None)

    async def wander(self, runs: int, seed: int) -> Exploration:
        """
        Take some orders by chance.
        """
        left = runs
        for number in range(runs):
            if not left:
                break
            isFirst = self.worst is None
            await self._play(ByChance(Random(f"{seed} {number}")).choose)
            left = self._left(left, isFirst)
        return self._told(False, seed)

    async def search(self, limit: int | None) -> Exploration:
        """
        Take all orders.
        """
        everything = Everything()
        left = -1 if limit is None else limit
        isComplete = False
        while left:
            isFirst = self.worst is None
            await self._play(everything.choose)
            if self.worst is not None:
                everything.longest = len(self.worst.steps)
            if not everything.advance():
                isComplete = True
                break
            left = self._left(left, isFirst)
        return self._told(isComplete, None)

    def _left(self, left: int, isFirst: bool) -> int:
        """
        How many runs there may still be: few, once there is a story.
        """
        if isFirst and self.worst is not None:
            return min(left - 1, self._shorten) if left > 0 else self._shorten
        return left - 1

    async def _play(self, choose: Choose) -> None:
        """
        Play one run.
        """
        run = Run(self._scenario(), self._data, self._gates)
        await run.play(choose)
        if isinstance(run.error, LookupError):
            raise run.error
        self._steps += len(run.steps)
        if run.isCut:
            self._cut += 1
        else:
            self._count += 1
        if run.error is not None and (self.worst is None or _length(run) < _length(self.worst)):
            self.worst = run

    def _told(self, isComplete: bool, seed: int | None) -> Exploration:
        """
        What was explored.

        @raise InterleavingFailed: Something has come out wrong.
        """
        worst = self.worst
        if worst is None:
            return Exploration(self._count, self._cut, self._steps, isComplete, seed)
        assert worst.error is not None
        scenario = worst.scenario
        title = scenario.title or type(scenario).__name__
        raise InterleavingFailed(title, worst.steps, written(worst), worst.error) from worst.error


def _length(run: Run) -> tuple[int, int]:
    """
    How long the story of a run is: steps, and how often another goes on.
    """
    actors = [step.actor for step in run.steps]
    return len(actors), sum(a != b for a, b in pairwise(actors))
