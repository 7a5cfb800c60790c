"""
The gates of one run: where the primitive steps of all processes wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ...stores.wrapping import Call
from .step import LOCAL, READING, Step

NOTHING = Call("works")
"""
What a step is about that belongs to no operation.
"""

WAIT = "wait"
"""
The step of who waits for others, and will look again.
"""


class Gates:
    """
    Lets steps wait, and lets them happen one by one.

    @ivar isOpen: Whether steps happen at once.
    @ivar waiting: Those that wait, in the order in which they came.
    @ivar histories: For each process a digest of all that it has been told, and
        when.
    """

    def __init__(self) -> None:
        self.reset(Clock())

    def reset(self, clock: Clock) -> None:
        """
        Begin a run, with all gates open.
        """
        self._clock = clock
        self.isOpen = True
        self.waiting: list[Step] = []
        self.histories: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._looked: dict[str, int] = {}
        self._actor = ""
        self._call = NOTHING

    def step(
        self,
        process: str,
        proceed: Callable[[], Any],
        what: str = "",
        *,
        place: str | None = None,
        isPossible: Callable[[], bool] = lambda: True,
    ) -> Deferred[Any]:
        """
        Have something happen when its turn has come.

        @param process: The process that does it.
        @param proceed: Does it; may return a L{Deferred}.
        @param what: Which part of the operation it is.
        @param place: What it is confined to; C{None}: what its operation is.
        @param isPossible: Whether it can happen now.
        @return: A L{Deferred} that fires with what has come of it.
        """
        if self.isOpen:
            return maybeDeferred(proceed)
        call = self._call
        number = self._numbers[process] = self._numbers.get(process, -1) + 1
        if place is None and call.name in LOCAL:
            place = call.sid
        isRead = call.name in READING
        step = Step(process, number, self._actor, call, what, place, isRead, proceed, isPossible)
        self.waiting.append(step)
        return step.done

    def pause(self, process: str, proceed: Callable[[], Any]) -> Deferred[Any]:
        """
        Have something go on that waits for others, and looks again and again: it
        may look again when another process has done a step since it did the last
        time, or when nothing else is left to happen.

        @return: As L{step}.
        """
        before = self._looked.get(process, -1)

        def look() -> Any:
            self._looked[process] = self._others(process)
            return proceed()

        return self.step(process, look, WAIT, isPossible=lambda: self._others(process) > before)

    @contextmanager
    def during(self, actor: str | None = None, call: Call | None = None) -> Iterator[None]:
        """
        For a context, all steps are for this actor, and parts of this operation.
        """
        before = self._actor, self._call
        self._actor = self._actor if actor is None else actor
        self._call = self._call if call is None else call
        try:
            yield
        finally:
            self._actor, self._call = before

    def ready(self) -> list[Step]:
        """
        Those that wait and can happen now.
        """
        ready = [step for step in self.waiting if step.isPossible()]
        return ready or [step for step in self.waiting if step.what == WAIT]

    async def open(self, step: Step) -> None:
        """
        Let a step happen, and whoever waits for it go on.
        """
        self.waiting.remove(step)
        with self.during(step.actor, step.call):
            try:
                step.answer = await maybeDeferred(step.proceed)
            except Exception as e:
                step.answer = e
        self._note(step)
        with self.during(step.actor, step.call):
            if not step.done.called:
                step.done.callback(
                    Failure(step.answer) if isinstance(step.answer, Exception) else step.answer
                )

    def _others(self, process: str) -> int:
        """
        How many steps other processes have done.
        """
        return sum(count for name, count in self._done.items() if name != process)

    def _note(self, step: Step) -> None:
        """
        Note what a process is told.
        """
        self._done[step.process] = self._done.get(step.process, 0) + 1
        told = step.number, self._clock.seconds(), canonical(step.answer)
        text = repr((self.histories.get(step.process), told))
        self.histories[step.process] = sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """
    Something whose text form is the same for equal values and another for others.
    """
    if isinstance(value, Exception):
        return type(value).__name__, str(value)
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return type(value).__name__, [canonical(getattr(value, each.name)) for each in fields]
    if isinstance(value, list | tuple):
        return [canonical(each) for each in value]
    if hasattr(value, "items"):
        return sorted((repr(key), repr(canonical(each))) for key, each in value.items())
    return value
