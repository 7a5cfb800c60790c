"""
Things that are to be done at their time, with one timer for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from .deadlines import Deadlines

BATCH: Final = 250
"""
How many things are done in one turn of the reactor: so many callbacks of 0.1
milliseconds take half of the 50 milliseconds that the reactor may be held.
"""


SLICE: Final = 0.0003
"""
After how many seconds the reactor has its turn, even if a batch is not done.  A
request takes some turns: with this its time is less than doubled by a million
endings; with shorter ones these take longer, and it gains nothing.
"""

CHUNK: Final = 5
"""
How many things are done between two looks at the clock.
"""

TRIP_SLICE: Final = 0.005
"""
As L{SLICE}, where each batch costs a way to a thread or a server and back, or a
commit: there shorter ones would take several times as long in all.
"""

TRIP_CHUNK: Final = 25
"""
How many things are done at the least, where that is so.
"""


class Duties:
    """
    Does something for each name when its time has come.

    There is one delayed call, set to the earliest time; when nothing is left to
    be done there is none.  Many that fall due at once are done in batches, one
    in each turn of the reactor.

    @ivar _clock: The L{IReactorTime} of the times.
    @ivar _timeOf: Called with a name; gives the time at which it is due now.
    @ivar _do: Called with a name that is due; may return a L{Deferred} that
        does not fail.
    @ivar _call: The delayed call, or C{None}.
    @ivar _at: For when the delayed call was meant, in seconds on the clock.
    @ivar _isStopped: Whether nothing is to be done until further notice.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        timeOf: Callable[[str], float | None],
        do: Callable[[str], object],
    ) -> None:
        """
        @param timeOf: Called with a name; gives the time in seconds at which it
            is due now, or C{None} when there is nothing to do for it any more.
        """
        self._clock = clock
        self._deadlines = Deadlines(self._timeNow)
        self._timeOf = timeOf
        self._do = do
        self._call: IDelayedCall | None = None
        self._at = 0.0
        self._isStopped = False

    def add(self, name: str, time: float) -> None:
        """
        Do it for this name at that time.  A time that moves later need not be
        told; it is looked up.
        """
        self._deadlines.add(name, time)
        if self._call is None or time < self._at:
            self._arm()

    def discard(self, name: str) -> None:
        """
        Do nothing for this name.
        """
        self._deadlines.discard(name)
        if not self._deadlines:
            self._disarm()

    def stop(self) -> None:
        """
        Leave no delayed call behind, and do nothing until L{start} is called.
        """
        self._isStopped = True
        self._disarm()

    def start(self) -> None:
        """
        Do what is due, and what will be, after L{stop}.
        """
        self._isStopped = False
        self._arm()

    def _disarm(self) -> None:
        """
        Cancel the delayed call.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _arm(self) -> None:
        """
        Set the delayed call to the earliest time.
        """
        self._disarm()
        earliest = self._deadlines.next()
        if earliest is not None and not self._isStopped:
            self._at = earliest
            self._call = self._clock.callLater(
                max(0.0, earliest - self._clock.seconds()), self._run
            )

    @inlineCallbacks
    def catchUp(self) -> Any:
        """
        Do what is due already, before its delayed call has come, and wait for
        it.

        @return: A L{Deferred} that fires with L{None} when it is done.
        """
        while self._isDue():
            results = self._run()
            yield DeferredList([each for each in results if isinstance(each, Deferred)])
            if self._isDue():
                yield deferLater(self._clock, 0.0)

    def _isDue(self) -> bool:
        """
        Whether something may be due.
        """
        earliest = self._deadlines.next()
        return earliest is not None and earliest <= self._clock.seconds()

    def _run(self) -> list[Any]:
        """
        Do one batch of what is due.

        @return: What that has returned.
        """
        self._disarm()
        results: list[Any] = []
        now = self._clock.seconds()
        for _ in range(BATCH // CHUNK):
            due = self._deadlines.popDue(now, CHUNK)
            results += [self._doOne(name) for name in due]
            if self._clock.seconds() >= now + SLICE:
                break
        self._arm()
        return results

    def _timeNow(self, name: str) -> float | None:
        """
        When a name is due.  What goes wrong hurts no other; it is not asked again.
        """
        try:
            return self._timeOf(name)
        except Exception:
            self._log.failure("The time of session {sid} is not known.", sid=name)
            return None

    def _doOne(self, name: str) -> Any:
        """
        Do it for one name; what goes wrong hurts no other.
        """
        try:
            return self._do(name)
        except Exception:
            self._log.failure("A duty of session {sid} failed.", sid=name)
            return None
