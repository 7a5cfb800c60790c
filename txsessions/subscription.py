"""
A subscription: what one observer has still to be told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

from twisted.internet.defer import Deferred, QueueOverflow
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .update import Waiting, begin

QUIET: Final = 10.0
"""
How long nothing is logged of an observer that fails, after it has been, in
seconds.
"""


class Subscription:
    """
    Tells one observer of events, one after the other.

    @ivar observer: What has been subscribed, as it was.
    @ivar name: What it is called in the log.
    @ivar kinds: The interfaces of the events that it wants; none: all events.
    @ivar isActive: Whether it is to be told of any more.
    @ivar dropped: How many events it was not told of, because there were too
        many for it.
    @ivar _adapted: The observer as L{ISessionObserver}.
    @ivar _queue: The events that it has still to be told of.
    @ivar _maximum: How many these may be.
    @ivar _waiting: The update that is under way, if it takes its time.
    @ivar _isTelling: Whether an update is under way.
    @ivar _isBurst: Whether events are being dropped, which has been logged.
    @ivar _loggedAt: When it was last logged that the observer failed.
    @ivar _unlogged: How often it has failed since.
    @ivar _ready: Called when there is something to be told and no update under
        way, and when there is nothing left.
    """

    _log = Logger()

    def __init__(
        self,
        observer: Any,
        adapted: Any,
        clock: IReactorTime,
        *,
        maximum: int,
        timeout: float,
        ready: Callable[[Subscription], object],
    ) -> None:
        """
        @param observer: What has been subscribed.
        @param adapted: The same as L{ISessionObserver}.
        @param timeout: How long an update may take, in seconds.
        """
        self.observer = observer
        self.name = nameOf(observer)
        self.kinds: Sequence[Any] = ()
        self.isActive = True
        self.dropped = 0
        self._adapted = adapted
        self._clock = clock
        self._maximum = maximum
        self._timeout = timeout
        self._ready = ready
        # It drops the oldest by itself.
        self._queue: deque[Any] = deque(maxlen=maximum)
        self._waiting: Waiting | None = None
        self._isTelling = False
        self._isBurst = False
        self._loggedAt = -inf
        self._unlogged = 0

    @property
    def isIdle(self) -> bool:
        """
        Whether there is nothing to be told, and no update under way.
        """
        return not self._isTelling and not self._queue

    def put(self, event: Any) -> None:
        """
        Tell the observer of an event as soon as it has heard of those before.
        If there are too many, the oldest is dropped: what comes last says how
        things are.
        """
        if self.kinds and not any(kind.providedBy(event) for kind in self.kinds):
            return
        wasIdle = self.isIdle
        if len(self._queue) == self._maximum:
            self._drop()
        self._queue.append(event)
        if wasIdle:
            self._ready(self)

    def tell(self) -> None:
        """
        Tell the observer of the event whose turn it is.
        """
        if self.isIdle or self._isTelling:
            return
        event = self._queue.popleft()
        self._isTelling = True
        try:
            answer = begin(self._adapted, event)
        except Exception:
            self._told(Failure())
            return
        except BaseException:
            self._told(None)
            raise
        if answer is None:
            self._told(None)
        else:
            self._wait(answer)

    def leave(self) -> None:
        """
        Tell the observer of nothing more.  An update that is under way is let
        finish.
        """
        self.isActive = False
        self._queue.clear()

    def stop(self) -> int:
        """
        Tell the observer of nothing more, and cancel what it is doing.

        @return: How many events it was not told of.
        """
        left = len(self._queue)
        self._queue.clear()
        self.dropped += left
        if self._waiting is not None:
            self._waiting.cancel()
        return left

    def _wait(self, answer: Deferred[Any]) -> None:
        """
        Wait for the observer.
        """
        waiting = Waiting(answer, self._clock, self._timeout, self._told)
        if self._isTelling:
            self._waiting = waiting

    def _told(self, failure: Failure | None) -> None:
        """
        An update is done.
        """
        self._waiting = None
        self._isTelling = False
        if failure is not None:
            if failure.check(QueueOverflow):
                self._drop()
            else:
                self._tellFailure(failure)
        elif not self._queue:
            self._isBurst = False
        self._ready(self)

    def _tellFailure(self, failure: Failure) -> None:
        """
        Log that the observer has failed, unless that has been done just now.
        """
        now = self._clock.seconds()
        if now < self._loggedAt + QUIET:
            self._unlogged += 1
            return
        before = f" (and {self._unlogged} times before)" if self._unlogged else ""
        self._log.failure("Observer {observer} failed" + before, failure, observer=self.name)
        self._loggedAt, self._unlogged = now, 0

    def _drop(self) -> None:
        """
        Count an event that the observer is not told of; say so once, until it
        has caught up.
        """
        self.dropped += 1
        if not self._isBurst:
            self._isBurst = True
            self._log.warn(
                "Observer {observer} is too slow: it is not told of everything ({dropped} events "
                "dropped so far)",
                observer=self.name,
                dropped=self.dropped,
            )


def nameOf(observer: Any) -> str:
    """
    What to call an observer in a log: where it is defined, and nothing of what
    is in it.
    """
    named = observer if hasattr(observer, "__qualname__") else type(observer)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)
