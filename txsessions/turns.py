"""
One step after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


class Turns:
    """
    Runs steps, each when the one before it is done.  A step returns a
    L{Deferred}, or it is done when it returns.  One that can begin at once
    begins at once.

    @ivar isBusy: Whether a step is under way.
    """

    __slots__ = ("_waiting", "isBusy")

    def __init__(self) -> None:
        self.isBusy = False
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] | None = None

    def now(self, step: Callable[..., Deferred[T] | T], *args: Any) -> Deferred[T] | T:
        """
        Run a step that can begin at once, because none is under way.

        @param args: What to call it with.
        @return: What the step returned.
        """
        self.isBusy = True
        try:
            result = step(*args)
        except BaseException:
            self._nextStep()
            raise
        if isinstance(result, Deferred):
            return result.addBoth(self._stepDone)
        if self._waiting:
            self._nextStep()
        else:
            self.isBusy = False
        return result

    def run(self, step: Callable[[], Deferred[T] | T]) -> Deferred[T]:
        """
        Run the step when its turn comes.

        @return: A L{Deferred} that fires as that of the step does.
        """
        if not self.isBusy:
            done: Deferred[T] = maybeDeferred(lambda: self.now(step))  # type: ignore[call-overload]
            return done
        if self._waiting is None:
            self._waiting = deque()
        later: Deferred[T] = Deferred()
        self._waiting.append((step, later))
        return later

    def _stepDone(self, result: T) -> T:
        """
        A step that took its time is done.
        """
        self._nextStep()
        return result

    def _nextStep(self) -> None:
        """
        Let those begin that wait, one after the other.  In a loop, because
        many may be done as soon as they begin.
        """
        while self._waiting:
            step, later = self._waiting.popleft()
            answer: Deferred[Any] = maybeDeferred(step)
            isDone = answer.called and not answer.paused
            answer.chainDeferred(later)
            if not isDone:
                answer.addBoth(self._stepDone)
                return
        self.isBusy = False
