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
    Runs steps that return Deferreds, each when the one before it is done.  A
    step that can begin at once begins at once.

    @ivar isBusy: Whether a step is under way.
    """

    __slots__ = ("_waiting", "isBusy")

    def __init__(self) -> None:
        self.isBusy = False
        self._waiting: deque[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] | None = None

    def run(self, step: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Run the step when its turn comes.

        @return: A L{Deferred} that fires as that of the step does.
        """
        if not self.isBusy:
            return self._begin(step)
        if self._waiting is None:
            self._waiting = deque()
        done: Deferred[T] = Deferred()
        self._waiting.append((step, done))
        return done

    def _begin(self, step: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Run the step now.
        """
        self.isBusy = True
        return maybeDeferred(step).addBoth(self._end)

    def _end(self, result: T) -> T:
        """
        Let the next one begin.
        """
        self.isBusy = False
        if self._waiting:
            step, done = self._waiting.popleft()
            self._begin(step).chainDeferred(done)
        return result
