"""
A clock that does not jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IReactorTime)
class SteadyClock:
    """
    The time of a real reactor without its jumps.

    C{reactor.seconds} is wall time, so that a step of the system's clock would
    end all sessions at once, or keep them alive for as long as the step was
    wide.  This begins with the wall time and goes on with the monotonic one.

    @ivar _reactor: Whose C{callLater} it uses.
    @ivar _monotonic: Gives seconds that never jump.
    @ivar _offset: What to add to them, in seconds.
    """

    def __init__(
        self, reactor: IReactorTime, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reactor = reactor
        self._monotonic = monotonic
        self._offset = reactor.seconds() - monotonic()

    def seconds(self) -> float:
        """
        See L{IReactorTime.seconds}.
        """
        return self._monotonic() + self._offset

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> IDelayedCall:
        """
        See L{IReactorTime.callLater}.
        """
        return self._reactor.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """
        See L{IReactorTime.getDelayedCalls}.
        """
        return self._reactor.getDelayedCalls()


def steady(clock: IReactorTime) -> IReactorTime:
    """
    A clock that does not jump: a real reactor's time is made steady, any other
    clock (L{twisted.internet.task.Clock}) is its own master.
    """
    return SteadyClock(clock) if isinstance(clock, ReactorBase) else clock
