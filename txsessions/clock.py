"""
A clock that does not jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from .given import givenClock

JUMP: Final = 1.0
"""
By how many seconds the system's clock has to be off, compared with the last
look at it, to have been set and not just corrected a little.
"""


@implementer(IReactorTime)
class SteadyClock:
    """
    The time of a real reactor without its jumps.

    C{reactor.seconds} is wall time, so that a step of the system's clock would
    end all sessions at once, or keep them alive for as long as the step was
    wide.  This begins with the wall time and goes on with the monotonic one.

    The reactor runs its delayed calls by the wall time nevertheless.  So when
    this is asked for the time and notices that the system's clock was set, it
    moves those that were made through it.

    @ivar _reactor: Whose C{callLater} it uses.
    @ivar _monotonic: Gives seconds that never jump.
    @ivar _offset: What to add to them, in seconds.
    @ivar _ahead: By how many seconds the wall time was ahead of this one when
        it was last looked at.
    @ivar _calls: Delayed calls that were made through it; some may be done.
    @ivar _limit: How many there have to be for those that are done to be
        sorted out.
    """

    def __init__(
        self, reactor: IReactorTime, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reactor = reactor
        self._monotonic = monotonic
        self._offset = reactor.seconds() - monotonic()
        self._ahead = 0.0
        self._calls: list[IDelayedCall] = []
        self._limit = 16

    def seconds(self) -> float:
        """
        See L{IReactorTime.seconds}.
        """
        now = self._monotonic() + self._offset
        ahead = self._reactor.seconds() - now
        if abs(ahead - self._ahead) > JUMP:
            self._move(ahead - self._ahead)
            self._ahead = ahead
        return now

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> IDelayedCall:
        """
        See L{IReactorTime.callLater}.
        """
        self.seconds()
        call = self._reactor.callLater(delay, callable, *args, **kwargs)
        self._calls.append(call)
        if len(self._calls) > self._limit:
            self._calls = [each for each in self._calls if each.active()]
            self._limit = 2 * len(self._calls) + 16
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """
        See L{IReactorTime.getDelayedCalls}.
        """
        return self._reactor.getDelayedCalls()

    def _move(self, seconds: float) -> None:
        """
        Move the delayed calls, because the system's clock was set.
        """
        self._calls = [call for call in self._calls if call.active()]
        for call in self._calls:
            call.delay(seconds)


def steady(clock: IReactorTime) -> IReactorTime:
    """
    A clock that does not jump: a real reactor's time is made steady, any other
    clock (L{twisted.internet.task.Clock}) is its own master.

    @raise TypeError: It is no clock.
    """
    return SteadyClock(clock) if isinstance(clock, ReactorBase) else givenClock(clock)
