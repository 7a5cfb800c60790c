"""
The time of a server, as the clock of this process reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.python.runtime import seconds

INTERVAL: Final = 10.0
"""
How often the clocks are compared, in seconds.  Two that nobody corrects are a
millisecond apart after that time, at the worst.
"""


class ServerTime:
    """
    How far the server's time is ahead of a clock.

    A comparison cannot say that exactly, only that it lies between two bounds:
    the server read its clock at some moment between the question and the
    answer.  The difference that is in use is kept as long as it lies between
    them and is moved no further than they ask for.  So clocks that agree are
    taken to agree, and a time comes back from the server as it went there.

    @ivar _clock: Gives the clock; C{None} stands for the system's.
    @ivar _difference: What to add to a time of the clock, in seconds.
    @ivar _compared: The clock that was compared, and when.
    """

    def __init__(
        self,
        clock: Callable[[], IReactorTime | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._difference = 0.0
        self._compared: tuple[IReactorTime | None, float] | None = None

    def isStale(self) -> bool:
        """
        Whether it is time to compare again.
        """
        if self._compared is None:
            return True
        clock, when = self._compared
        return clock is not self._clock() or self._monotonic() >= when + INTERVAL

    def now(self) -> float:
        """
        The present on the clock, in seconds.
        """
        clock = self._clock()
        return seconds() if clock is None else clock.seconds()

    def compare(self, before: float, server: float, after: float) -> None:
        """
        The server's time was C{server} at a moment between two times of the
        clock.
        """
        self._compared = (self._clock(), self._monotonic())
        if before <= after:
            self._difference = min(max(self._difference, server - after), server - before)

    def toServer(self, time: float) -> float:
        """
        A time of the clock as one of the server, in seconds.
        """
        return time + self._difference

    def fromServer(self, time: float) -> float:
        """
        A time of the server as one of the clock, in seconds.
        """
        if not self._difference:
            return time
        # Adding and taking away again costs the last bits; microseconds stay.
        return round(time - self._difference, 6)
