"""
The publisher: passes events on to those who have subscribed, and keeps them from
hurting each other and whoever publishes.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final
from weakref import WeakSet

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from .feed import SessionFeed
from .observers import adapt, checkKinds, isSame
from .subscription import Subscription
from .update import TIMEOUT

MAXIMUM: Final = 1000
"""
How many events may wait for one observer: some hundred kilobytes.
"""

GRACE: Final = 10.0
"""
How long observers are waited for at the end, in seconds.
"""

LONGEST_WAIT: Final = 1.0
"""
How long whoever publishes much waits for the observers at the most, in seconds.
"""

SLICE: Final = 0.005
"""
After how many seconds of updates the reactor has its turn.
"""

BATCH: Final = 1000
"""
After how many updates it has its turn at the latest: where the clock stands
still, and more than the endings that a sweep brings in between.
"""


class EventPublisher:
    """
    Tells observers of events.

    Nothing of an observer ever runs while somebody publishes: the updates run
    in turns of their own, one at a time for each observer, and in the order of
    the events.  So whoever publishes waits for nobody, and an observer may do
    whatever it likes to sessions and subscriptions.

    @ivar hasSubscribers: Whether anybody wants to be told; if not, there is no
        need to make an event.
    @ivar _clock: The L{IReactorTime} that the updates run by.
    @ivar _subscriptions: In the order in which they were made; those whose
        update is under way stay when they have been given up.
    @ivar _ready: Those that can be told of something now.
    @ivar _call: The next turn, or C{None}.
    @ivar _behind: Those who wait until all have heard, each with the moment at
        which it waits no longer, in seconds on the clock.
    @ivar _feeds: Those who read the events one by one.
    @ivar _stopping: Those who wait for the end; C{None} unless it has been
        asked for.
    @ivar _grace: The delayed call that ends the wait.
    @ivar _isStopped: Whether nothing is published any more.
    @ivar _lost: How many events those were not told of who have left.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, maximum: int = MAXIMUM, timeout: float = TIMEOUT
    ) -> None:
        """
        @param clock: A reactor, or any other L{IReactorTime}.
        @param maximum: How many events may wait for one observer.
        @param timeout: How long an update may take, in seconds.
        """
        self.hasSubscribers = False
        self._clock = clock
        self._maximum = maximum
        self._timeout = timeout
        self._subscriptions: list[Subscription] = []
        self._ready: deque[Subscription] = deque()
        self._call: IDelayedCall | None = None
        self._behind: list[tuple[float, Deferred[None]]] = []
        self._feeds: WeakSet[SessionFeed] = WeakSet()
        self._stopping: list[Deferred[int]] | None = None
        self._grace: IDelayedCall | None = None
        self._isStopped = False
        self._lost = 0

    @property
    def dropped(self) -> int:
        """
        How many events observers were not told of, because there were too many
        for them or because of the end.
        """
        return self._lost + sum(each.dropped for each in self._subscriptions)

    def subscribe(self, observer: Any, *kinds: Any) -> None:
        """
        Tell an observer of what happens from now on.  To subscribe once more
        changes which kinds it is told of.

        @param observer: Anything that adapts to
            L{ISessionObserver<txsessions.interfaces.ISessionObserver>}.
        @param kinds: L{ISessionEvent}, or interfaces that extend it: which
            events it is told of; none: of all.
        @raise TypeError: That is no observer, or no kind of events.
        """
        checkKinds(kinds)
        subscription = self._find(observer)
        if subscription is None:
            subscription = Subscription(
                observer,
                adapt(observer),
                self._clock,
                maximum=self._maximum,
                timeout=self._timeout,
                ready=self._isReady,
            )
            self._subscriptions = [*self._subscriptions, subscription]
        subscription.kinds = kinds
        subscription.isActive = True
        self._count()

    def unsubscribe(self, observer: Any) -> None:
        """
        Tell an observer of nothing more, also not of what it has not heard
        yet.  What has not subscribed is no error.
        """
        subscription = self._find(observer)
        if subscription is not None:
            subscription.leave()
            self._forgetIfDone(subscription)
            self._count()
            self._finishIfDone()

    def feed(self, *kinds: Any, maximum: int = MAXIMUM) -> SessionFeed:
        """
        The events from now on, to be read one by one::

            async for event in publisher.feed():
                ...

        It ends when this is stopped.  Whoever reads no more need not say so.

        @param kinds: As for L{subscribe}.
        @param maximum: How many events may wait to be read; if there are more,
            the oldest are dropped.
        @raise TypeError: That is no kind of events.
        @raise ValueError: That is no number of them.
        """
        if not (isinstance(maximum, int) and maximum > 0):
            raise ValueError("the maximum of a feed is a whole number of events above 0")
        feed = SessionFeed(self.unsubscribe, maximum)
        if self._isStopped:
            feed.end()
            return feed
        self.subscribe(feed.inlet, *kinds)
        self._feeds.add(feed)
        return feed

    def publish(self, event: Any) -> None:
        """
        Tell all of an event, later.

        @param event: An L{ISessionEvent}.
        """
        if self._isStopped:
            return
        for subscription in self._subscriptions:
            if subscription.isActive:
                subscription.put(event)

    def whenHeard(self) -> Deferred[None]:
        """
        Wait until the observers have heard of what has been published, for
        whoever publishes more than they can hear.  One whose update takes its
        time is not waited for, and nobody for longer than L{LONGEST_WAIT}.

        @return: A L{Deferred} that fires with L{None}.
        """
        if not self._ready:
            return succeed(None)
        heard: Deferred[None] = Deferred()
        self._behind.append((self._clock.seconds() + LONGEST_WAIT, heard))
        return heard

    def start(self) -> None:
        """
        Publish again, after L{stop}.
        """
        self._isStopped = False
        self._count()

    def stop(self, grace: float = GRACE) -> Deferred[int]:
        """
        Let the observers hear of what has been published, but not for longer
        than C{grace} seconds; then publish nothing any more.

        @return: A L{Deferred} that fires with how many events could not be
            told.
        """
        done: Deferred[int] = Deferred()
        if self._stopping is not None:
            self._stopping.append(done)
            return done
        if self._isStopped:
            return succeed(0)
        self._stopping = [done]
        self._grace = self._clock.callLater(grace, self._finish)
        self._finishIfDone()
        return done

    def _find(self, observer: Any) -> Subscription | None:
        """
        The subscription of an observer.
        """
        for each in self._subscriptions:
            if isSame(each.observer, observer):
                return each
        return None

    def _count(self) -> None:
        """
        Note whether anybody wants to be told.
        """
        self.hasSubscribers = not self._isStopped and any(
            each.isActive for each in self._subscriptions
        )

    def _isReady(self, subscription: Subscription) -> None:
        """
        An update is done, or one can be begun.
        """
        if subscription.isIdle:
            self._forgetIfDone(subscription)
            self._finishIfDone()
            return
        self._ready.append(subscription)
        if self._call is None:
            self._call = self._clock.callLater(0.0, self._turn)

    def _turn(self) -> None:
        """
        Tell the observers in turn, each of one event at a time.
        """
        ready, end = self._ready, self._clock.seconds() + SLICE
        try:
            for _ in range(BATCH):
                if not ready:
                    break
                ready.popleft().tell()
                if self._clock.seconds() >= end:
                    break
        finally:
            self._call = self._clock.callLater(0.0, self._turn) if ready else None
            if self._behind:
                self._releaseWaiting()

    def _releaseWaiting(self) -> None:
        """
        Let those go on who have waited until all have heard, or too long.
        """
        now = self._clock.seconds()
        waiting, self._behind = self._behind, []
        for until, heard in waiting:
            if not self._ready or until <= now:
                heard.callback(None)
            else:
                self._behind.append((until, heard))

    def _forgetIfDone(self, subscription: Subscription) -> None:
        """
        Forget a subscription that was given up, when no update of it is under
        way.
        """
        if not subscription.isActive and subscription.isIdle:
            self._lost += subscription.dropped
            # A new list: the garbage collector may call this at any time, for a
            # feed that is gone, while somebody goes through the old one.
            self._subscriptions = [each for each in self._subscriptions if each is not subscription]

    def _finishIfDone(self) -> None:
        """
        Come to the end, if that has been asked for and all have heard.
        """
        if self._stopping is not None and all(each.isIdle for each in self._subscriptions):
            self._finish()

    def _finish(self) -> None:
        """
        Come to the end.
        """
        waiting, self._stopping = self._stopping or [], None
        self._isStopped = True
        self._count()
        for call in (self._grace, self._call):
            if call is not None and call.active():
                call.cancel()
        self._grace = self._call = None
        self._ready.clear()
        self._releaseWaiting()
        left = 0
        for subscription in self._subscriptions:
            left += self._end(subscription)
        for feed in list(self._feeds):
            self.unsubscribe(feed.inlet)
            feed.end()
        for done in waiting:
            done.callback(left)

    def _end(self, subscription: Subscription) -> int:
        """
        Come to the end with one observer.

        @return: How many events it was not told of.
        """
        left = subscription.stop()
        if left:
            self._log.error(
                "Stopping: observer {observer} was not told of {count} events",
                observer=subscription.name,
                count=left,
            )
        return left
