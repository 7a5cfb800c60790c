"""
A circuit breaker: who is known to be down is asked seldom.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

FAILURES: Final = 10
"""
After how many failures in a row it opens: more than a restarted server or one
bad connection causes.
"""

PAUSE: Final = 1.0
"""
How long it waits between two probes, in seconds: so soon it notices that all is
well again, and so little does it ask of a server that is coming up.
"""


class Breaker:
    """
    Decides whether to ask somebody who may be down.

    It is closed as long as there are answers; after so many failures in a row
    it opens, and then lets one probe through from time to time.  The first
    answer closes it.

    @ivar _failures: How many failures there were since the last answer.
    @ivar _probeAt: When the next probe may go, in seconds on the clock.
    """

    def __init__(self, clock: IReactorTime, failures: int = FAILURES, pause: float = PAUSE) -> None:
        """
        @param failures: After how many failures in a row it opens.
        @param pause: How long it waits between two probes, in seconds.
        """
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._probeAt = 0.0

    @property
    def isOpen(self) -> bool:
        """
        Whether nobody is asked but for probes.
        """
        return self._failures >= self._limit

    def admits(self) -> bool:
        """
        Whether to ask now.  When it is open that is a probe, and no other may
        go for a while.
        """
        if not self.isOpen:
            return True
        now = self._clock.seconds()
        # The second condition is for a clock that was set back.
        if self._probeAt - self._pause <= now < self._probeAt:
            return False
        self._probeAt = now + self._pause
        return True

    def answered(self) -> None:
        """
        Note an answer.
        """
        self._failures = 0

    def failed(self) -> None:
        """
        Note a failure.
        """
        self._failures += 1
        if self._failures == self._limit:
            self._probeAt = self._clock.seconds() + self._pause
