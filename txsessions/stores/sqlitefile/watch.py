"""
Whoever wants to hear of endings, and the look at the file once a second by
which those of other processes are seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import StoreUnavailable
from ..watchers import Watchers
from .look import Look

INTERVAL: Final = 1.0
"""
How long to rest after a look, in seconds: a look that sees nothing new costs a
fiftieth of a millisecond.
"""

_log = Logger()


class Watch:
    """
    Tells of endings.  It looks only while somebody wants to hear of them.

    All methods are for the reactor's thread, but for L{isOn}.

    @ivar _look: Looks at what is new: called with the position, up to which
        all is known, and with the moment after which all is new if there is
        none.
    @ivar _now: Gives the present, in seconds on the store's clock.
    @ivar _timer: Gives what waits for the next look.
    @ivar _watchers: Who wants to hear.
    @ivar _position: Up to where all is known; C{None}: nothing is.
    @ivar _since: A little before the watch began, since the clocks of processes
        may differ, in seconds on the store's clock.
    @ivar _told: What is beyond the position, and was told already.
    @ivar _call: The next look; C{None} while one is under way.
    @ivar _round: Counts the watches, so that what comes of a look of a former
        one is known to.
    """

    def __init__(
        self,
        look: Callable[[int | None, float], Deferred[Look]],
        now: Callable[[], float],
        timer: Callable[[], IReactorTime],
    ) -> None:
        self._look = look
        self._now = now
        self._timer = timer
        self._watchers = Watchers()
        self._position: int | None = None
        self._since = 0.0
        self._told: set[int] = set()
        self._call: IDelayedCall | None = None
        self._round = 0

    @property
    def isOn(self) -> bool:
        """
        Whether anybody wants to hear.
        """
        return bool(self._watchers)

    def begin(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings<txsessions.interfaces.ISessionNotices.watchEndings>}.
        """
        isFirst = not self._watchers
        stop = self._watchers.watch(ended, missed)
        if isFirst:
            self._since = self._now() - INTERVAL
            self._lookNow()

        def leave() -> None:
            stop()
            if not self._watchers:
                self._stop()

        return leave

    def tell(self, endings: Sequence[tuple[int, str, str]]) -> None:
        """
        Tell of endings that are new: their numbers, C{sid}s and reasons.
        """
        for number, sid, reason in endings:
            if self.isOn and number not in self._told:
                self._told.add(number)
                self._watchers.ended(sid, reason)

    def end(self) -> None:
        """
        Forget who wants to hear.
        """
        self._watchers = Watchers()
        self._stop()

    def _stop(self) -> None:
        """
        Look no more.
        """
        self._round += 1
        self._position = None
        self._told.clear()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _lookNow(self) -> None:
        """
        Look at what is new.
        """
        self._call = None
        found = self._look(self._position, self._since)
        found.addCallbacks(self._seen, self._notSeen, (self._round,), {}, (self._round,), {})
        found.addErrback(lambda failure: _log.failure("cannot tell of endings", failure))

    def _seen(self, found: Look, round: int) -> None:
        """
        Tell what a look has found, and look again: at once if there is more.
        """
        if round != self._round:
            return
        self.tell(found.ended)
        if found.isMissing:
            # What was told may have been in a file that was here before.
            self._told.clear()
            self._watchers.missed()
        if round != self._round:
            return
        self._position = found.position
        self._told = {number for number in self._told if number > found.position}
        if found.isMore:
            self._lookNow()
        else:
            self._rest()

    def _notSeen(self, failure: Failure, round: int) -> None:
        """
        Look again later; what was not seen will be seen then.
        """
        if not failure.check(StoreUnavailable):
            _log.failure("cannot look at what has ended", failure)
        if round == self._round:
            self._rest()

    def _rest(self) -> None:
        """
        Look again in a while.
        """
        self._call = self._timer().callLater(INTERVAL, self._lookNow)
