"""
One run of a scenario, in one order of its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ..shared.data import SharedData
from .gates import Gates
from .scenario import Actor, Scenario, spoken
from .step import BEGINNING, Step

MAXIMUM: Final = 1000
"""
How many steps a run has at the most: what takes more never ends.
"""


class NeverEnds(AssertionError):
    """
    An actor waits for what nobody does, or goes on without end.
    """


class ActorFailed(AssertionError):
    """
    An exception has come of an actor that should not.
    """


class Run:
    """
    One run.

    @ivar scenario: Who takes part.
    @ivar steps: What has happened so far.
    @ivar picks: For each of these, which of those that were possible it was.
    @ivar error: What was wrong in the end, or L{None}.
    @ivar isCut: Whether it was not followed to its end, because that is known.
    """

    def __init__(self, scenario: Scenario, data: SharedData, gates: Gates) -> None:
        self.scenario = scenario
        self.steps: list[Step] = []
        self.picks: list[int] = []
        self.error: Exception | None = None
        self.isCut = False
        self._data = data
        self._gates = gates
        self._pending: set[str] = set()
        self._failure: ActorFailed | None = None

    async def play(self, choose: Callable[[Run, list[Step]], int | None]) -> None:
        """
        Play it.

        @param choose: Called before each step with the steps that are possible;
            gives the place of the one that happens, or L{None}: what can come
            now is known.
        """
        gates = self._gates
        clock = Clock()
        clock.advance(self._data.now())
        gates.reset(clock)
        self.scenario.prepare(self._data, gates, clock)
        await self._data.begin(clock)
        try:
            await self._prepare()
            gates.isOpen = False
            await self._follow(choose)
            await self._drain()
        finally:
            gates.isOpen = True
            await self.scenario.close()
            await self._data.end(self.scenario.stores)

    def state(self) -> Any:
        """
        All on which depends what can happen from here on; C{None} if nobody
        knows.
        """
        contents = self._data.contents()
        if contents is None:
            return None
        waiting = [(step.name, step.actor, step.isPossible()) for step in self._gates.waiting]
        histories = sorted(self._gates.histories.items())
        return repr((contents, sorted(waiting), histories, self.scenario.clock.seconds()))

    async def _prepare(self) -> None:
        """
        Make ready what the actors find, and what their stores do only once.
        """
        await self.scenario.begin()
        for each in self.scenario.actors():
            self.scenario.ready(each.process)
        for store in self.scenario.stores:
            await self._data.warm(store)

    async def _follow(self, choose: Callable[[Run, list[Step]], int | None]) -> None:
        """
        Have all actors begin, and let steps happen until there are none.
        """
        try:
            self._start()
            while ready := self._gates.ready():
                pick = choose(self, ready)
                if pick is None:
                    self.isCut = True
                    return
                self.picks.append(pick)
                await self._do(ready[pick])
                await self._check(isAtTheEnd=False)
                if len(self.steps) >= MAXIMUM:
                    raise NeverEnds(f"it goes on after {MAXIMUM} steps")
            self._refuseWaiting()
            self._gates.isOpen = True
            await self._check(isAtTheEnd=True)
        except Exception as e:
            self.error = e

    async def _do(self, step: Step) -> None:
        """
        Let a step happen.
        """
        before = self.scenario.clock.seconds()
        self.steps.append(step)
        await self._gates.open(step)
        self._settle()
        step.isTime = self.scenario.clock.seconds() != before

    def _start(self) -> None:
        """
        Have all actors begin.  Those that share a process do so in any order.
        """
        actors = self.scenario.actors()
        processes = [each.process for each in actors]
        for each in actors:
            with self._gates.during(each.name, BEGINNING):
                if processes.count(each.process) > 1:
                    self._gates.step(each.process, partial(self._act, each))
                else:
                    self._act(each)
        self._settle()

    def _act(self, who: Actor) -> None:
        """
        Have an actor begin.
        """

        def done(result: Any) -> None:
            self._pending.discard(who.name)
            self.scenario.outcomes[who.name] = result
            if isinstance(result, Failure):
                self.scenario.outcomes[who.name] = result.value
                if not result.check(*who.mayFail):
                    self._failure = self._failure or _failed(who, result)

        self._pending.add(who.name)
        maybeDeferred(who.act, self.scenario.store(who.process)).addBoth(done)

    def _settle(self) -> None:
        """
        Let those go on who only wait for the next turn of the reactor.
        """
        clock = self.scenario.clock
        for _ in range(MAXIMUM):
            if not any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
                return
            clock.advance(0)

    async def _check(self, isAtTheEnd: bool) -> None:
        """
        Look whether all is as it has to be.
        """
        if self._failure is not None:
            raise self._failure
        for check in self.scenario.checks(isAtTheEnd):
            try:
                await maybeDeferred(check)
            except AssertionError as e:
                if str(e):
                    raise
                raise AssertionError(f"it is not true that {spoken(check.__name__)}") from e

    def _refuseWaiting(self) -> None:
        """
        See to it that nobody waits any more.
        """
        waiting = sorted({*self._pending, *(step.actor for step in self._gates.waiting)})
        if waiting:
            raise NeverEnds(f"nothing is left to happen, but {', '.join(waiting)} waits")

    async def _drain(self) -> None:
        """
        Let happen whatever is left, so that nothing stays behind.
        """
        for _ in range(MAXIMUM):
            ready = self._gates.ready()
            if not ready:
                return
            await self._gates.open(ready[0])
            self._settle()


def _failed(who: Actor, failure: Failure) -> ActorFailed:
    """
    The error for an exception that should not have come of an actor.
    """
    error = ActorFailed(f"{who.name} failed: {type(failure.value).__name__}, {failure.value}")
    error.__cause__ = failure.value
    return error
