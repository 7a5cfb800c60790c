"""
Which order comes next: all of them, one after the other; some by chance; or one
that was written down.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import attrs

from .run import Run
from .step import Name, Step, commute

DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
"""
How a choice is written down.  Nobody explores more steps that wait at once.
"""


class Replay:
    """
    An order that was written down; then whatever comes first.
    """

    def __init__(self, choices: str) -> None:
        self._choices = choices

    def choose(self, run: Run, ready: list[Step]) -> int | None:
        """
        See L{Run.play}.
        """
        place = len(run.steps)
        pick = DIGITS.index(self._choices[place]) if place < len(self._choices) else 0
        if pick >= len(ready):
            raise LookupError("these choices are those of another scenario")
        return pick


class ByChance:
    """
    Any order.
    """

    def __init__(self, random: Random) -> None:
        self._random = random

    def choose(self, run: Run, ready: list[Step]) -> int | None:
        """
        See L{Run.play}.
        """
        return self._random.randrange(len(ready))


@attrs.define(eq=False)
class Fork:
    """
    A state from which it can go on in several ways.

    @ivar ready: The steps that are possible.
    @ivar asleep: Those after which nothing comes that would not come without:
        they were tried before, and commute with all that has happened since.
    @ivar tried: Those that were tried from here.
    @ivar pick: The place of the one that is being tried.
    """

    ready: list[Step]
    asleep: dict[Name, Step]
    tried: dict[Name, Step] = attrs.field(factory=dict)
    pick: int = 0

    def isSpent(self) -> bool:
        """
        Whether nothing is left to be tried.
        """
        return all(step.name in self.asleep or step.name in self.tried for step in self.ready)

    def turn(self, process: str | None) -> None:
        """
        Try another one; rather one of this process, so that the story does not
        jump to and fro.
        """
        left = [
            place
            for place, step in enumerate(self.ready)
            if step.name not in self.asleep and step.name not in self.tried
        ]
        same = [place for place in left if self.ready[place].process == process]
        self.pick = (same or left)[0]

    def asleepAfter(self) -> dict[Name, Step]:
        """
        Those that are asleep after the one that is being tried.
        """
        chosen = self.ready[self.pick]
        others = {**self.asleep, **self.tried}
        return {name: step for name, step in others.items() if commute(step, chosen)}


class Everything:
    """
    All orders that differ, depth first, each run from the beginning.

    Two orders that differ in nothing but that steps change places which
    commute are one (sleep sets, after Godefroid); and what comes after a state
    in which the same was seen before is known.

    @ivar longest: How many steps a run may have; C{None}: any number.
    @ivar known: How many runs were cut, because what comes is known.
    """

    def __init__(self) -> None:
        self.longest: int | None = None
        self._path: list[Fork] = []
        self._seen: dict[Any, list[frozenset[Name]]] = {}

    def choose(self, run: Run, ready: list[Step]) -> int | None:
        """
        See L{Run.play}.
        """
        depth = len(run.steps)
        if depth < len(self._path):
            return self._again(self._path[depth], ready)
        if self.longest is not None and depth >= self.longest:
            return None
        asleep = self._path[-1].asleepAfter() if self._path else {}
        fork = Fork(list(ready), asleep)
        if fork.isSpent() or self._isKnown(run.state(), asleep):
            return None
        fork.turn(run.steps[-1].process if run.steps else None)
        self._path.append(fork)
        return fork.pick

    def advance(self) -> bool:
        """
        Turn to the next order.

        @return: Whether there is one.
        """
        while self._path:
            fork = self._path[-1]
            chosen = fork.ready[fork.pick]
            fork.tried[chosen.name] = chosen
            if not fork.isSpent():
                before = self._path[-2] if len(self._path) > 1 else None
                fork.turn(before.ready[before.pick].process if before else None)
                return True
            self._path.pop()
        return False

    def _again(self, fork: Fork, ready: list[Step]) -> int:
        """
        The same choice as before.
        """
        if [step.name for step in ready] != [step.name for step in fork.ready]:
            raise LookupError(
                "the scenario does something else in the same order; it must take its time from "
                "the clock and its chance from random() of the scenario: there was "
                f"{listed(fork.ready)}, and now there is {listed(ready)}"
            )
        # These are the ones that happen now.
        fork.ready = list(ready)
        return fork.pick

    def _isKnown(self, state: Any, asleep: dict[Name, Step]) -> bool:
        """
        Whether all that can come after this state has been tried, or will be;
        otherwise it is noted.
        """
        if state is None:
            return False
        now = frozenset(asleep)
        before = self._seen.setdefault(hash(state), [])
        if any(names <= now for names in before):
            return True
        before.append(now)
        return False


def written(run: Run) -> str:
    """
    The order of a run, written down.
    """
    return "".join(DIGITS[pick] for pick in run.picks)


def listed(steps: list[Step]) -> str:
    """
    Some steps, in words.
    """
    texts = [f"{step.actor} {step.call.name} [{step.what}] {step.number}" for step in steps]
    return "; ".join(texts) or "nothing"
