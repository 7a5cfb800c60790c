"""
A feed: events that are read one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred
from zope.interface import implementer

from .interfaces import ISessionObserver


@implementer(ISessionObserver)
class Inlet:
    """
    Where a feed hears of events.  It keeps the feed alive only as long as
    somebody waits for the next event; if the feed is gone, it leaves.

    @ivar waiting: The feed, if somebody waits.
    """

    def __init__(self, feed: SessionFeed, leave: Callable[[Inlet], object]) -> None:
        self.waiting: SessionFeed | None = None
        self._feed = ref(feed, lambda _: leave(self))

    def update(self, event: Any) -> None:
        """
        See L{ISessionObserver.update}.
        """
        feed = self._feed()
        if feed is not None:
            feed._add(event)


class SessionFeed:
    """
    An asynchronous iterator of events, for one reader.

    @ivar inlet: What is subscribed.
    @ivar dropped: How many events were not read in time.
    @ivar _leave: Gives the subscription up.
    @ivar _events: Those that wait to be read.
    @ivar _next: Who waits for the next one; C{None} if nobody does.
    @ivar _hasEnded: Whether no more will come.
    """

    def __init__(self, leave: Callable[[Inlet], object], maximum: int) -> None:
        self.inlet = Inlet(self, leave)
        self.dropped = 0
        self._leave = leave
        self._events: deque[Any] = deque()
        self._maximum = maximum
        self._next: Deferred[None] | None = None
        self._hasEnded = False

    def __aiter__(self) -> SessionFeed:
        return self

    async def __anext__(self) -> Any:
        """
        The next event.

        @raise StopAsyncIteration: No more will come.
        @raise RuntimeError: Somebody else waits for it.
        """
        while not self._events:
            if self._hasEnded:
                raise StopAsyncIteration
            if self._next is not None:
                raise RuntimeError("somebody else is reading this feed: make one for each reader")
            self._next = Deferred()
            self.inlet.waiting = self
            try:
                await self._next
            finally:
                self._next = self.inlet.waiting = None
        return self._events.popleft()

    def close(self) -> None:
        """
        Read no more.  What waits to be read is forgotten; whoever waits for the
        next event is told that there is none.
        """
        self._events.clear()
        self._leave(self.inlet)
        self.end()

    def end(self) -> None:
        """
        No more events will come; those that are there can be read.
        """
        self._hasEnded = True
        self._wake()

    def _add(self, event: Any) -> None:
        """
        An event to be read; if there are too many, the oldest is dropped.
        """
        if self._hasEnded:
            return
        if len(self._events) >= self._maximum:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        """
        Let whoever waits look again.
        """
        if self._next is not None and not self._next.called:
            self._next.callback(None)
