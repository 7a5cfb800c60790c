"""
What waits too long.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...errors import StoreTimedOut


class Overdue:
    """
    Fails Deferreds that have waited for a certain time.  Whoever has the answer for
    one of them must look whether it still waits.

    There is one delayed call, and a Deferred that has its answer is noticed when the
    next one comes: each costs no callback, and no other Deferred.

    @ivar _waiting: When each will have waited too long, in seconds on the clock, and
        what waits; in that order.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: deque[tuple[float, Deferred[Any]]] = deque()
        self._call: IDelayedCall | None = None

    def watch(self, answer: Deferred[Any]) -> None:
        """
        Watch one more.
        """
        self._forget()
        self._waiting.append((self._clock.seconds() + self._seconds, answer))
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._look)

    def rest(self) -> None:
        """
        Leave nothing behind, if nothing waits.
        """
        self._forget()
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _forget(self) -> None:
        """
        Forget those that have been longest here and have their answers.
        """
        waiting = self._waiting
        while waiting and waiting[0][1].called:
            waiting.popleft()

    def _look(self) -> None:
        """
        Fail those that have waited for too long.
        """
        self._call = None
        now = self._clock.seconds()
        late: list[Deferred[Any]] = []
        while self._waiting and self._waiting[0][0] <= now:
            late.append(self._waiting.popleft()[1])
        self._forget()
        if self._waiting:
            self._call = self._clock.callLater(self._waiting[0][0] - now, self._look)
        for answer in late:
            if not answer.called:
                text = f"the store has not answered for {self._seconds:g} seconds"
                answer.errback(StoreTimedOut(text))
