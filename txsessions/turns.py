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
    Runs steps that return Deferreds, or are done when they return, each when the one before it is done.  A
    step that can begin at once begins at once.

    @ivar isBusy: Whether a step is under way.
    """

    __slots__ = ("_waiting", "isBusy")

    def __init__(self) -> None:
        self.isBusy = False
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] | None = None

    def now(self, step: Callable[[], Deferred[T] | T]) -> Deferred[T] | T:
        """
        Run a step that can begin at once, because none is under way.

        @return: What the step returned.
        """
        self.isBusy = True
        try:
            result = step()
        except BaseException:
            self._end(None)
            raise
        if isinstance(result, Deferred):
            return result.addBoth(self._end)
        return self._end(result)

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

    def _end(self, result: T) -> T:
        """
        Let the next one begin.
        """
        self.isBusy = False
        if self._waiting:
            step, done = self._waiting.popleft()
            self.run(step).chainDeferred(done)
        return result
