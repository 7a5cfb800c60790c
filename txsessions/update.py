"""
One update of an observer.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .errors import ObserverTimedOut

TIMEOUT: Final = 30.0
"""
How long an update may take, in seconds: what has not been done then, over a
network too, will not be done.
"""

_log = Logger()


def begin(observer: Any, event: Any) -> Deferred[Any] | None:
    """
    Tell an observer of an event.

    @return: What to wait for; C{None} if it is done.
    @raise Exception: Whatever the observer raises.
    """
    result = observer.update(event)
    if result is None:
        return None
    if iscoroutine(result):
        result = Deferred.fromCoroutine(result)
    return result if isinstance(result, Deferred) else None


class Waiting:
    """
    An update that takes its time, but not too long.

    @ivar _deferred: What the observer has returned.
    @ivar _done: Called once, with C{None} or the L{Failure}; C{None} when that
        has been done.
    @ivar _call: The end of the patience, if it has not come.
    """

    __slots__ = ("_call", "_deferred", "_done")

    def __init__(
        self,
        deferred: Deferred[Any],
        clock: IReactorTime,
        seconds: float,
        done: Callable[[Failure | None], object],
    ) -> None:
        """
        @param seconds: How long to wait at the most.
        """
        self._deferred = deferred
        self._done: Callable[[Failure | None], object] | None = done
        self._call: IDelayedCall | None = None
        deferred.addCallbacks(self._succeeded, self._failed)
        if self._done is not None:
            self._call = clock.callLater(seconds, self._giveUp, seconds)

    def cancel(self) -> None:
        """
        Wait no longer.  What the observer is doing is cancelled.
        """
        self._finish(None)
        self._cancelUpdate()

    def _giveUp(self, seconds: float) -> None:
        """
        The patience has come to its end.
        """
        self._call = None
        self._finish(Failure(ObserverTimedOut(seconds)))
        self._cancelUpdate()

    def _cancelUpdate(self) -> None:
        """
        Cancel what the observer is doing, as far as it lets itself be.
        """
        try:
            self._deferred.cancel()
        except Exception:
            _log.failure("An observer could not be cancelled.")

    def _succeeded(self, result: object) -> None:
        """
        The observer is done.
        """
        self._finish(None)

    def _failed(self, failure: Failure) -> None:
        """
        The observer has failed.  If nobody waits any more, it was cancelled.
        """
        self._finish(failure)

    def _finish(self, failure: Failure | None) -> None:
        """
        Say what has become of it, if nobody has done so, and leave no delayed
        call behind.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        done, self._done = self._done, None
        if done is not None:
            done(failure)
