"""
The subject: sessions by ids of the caller's own, and those who observe them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .claims import Claims
from .clock import steady
from .couriers import Couriers
from .errors import StoreUnavailable
from .event import CREATED, DESTROYED, SessionEvent
from .feed import SessionFeed
from .given import given
from .interfaces import (
    IConnectedStore,
    IRecordedStorage,
    ISessionNotices,
    ISessionStorage,
    ISessionSweep,
)
from .lifetime import LOGOUT, deadline
from .ownid import handleOf, ownIDOf
from .ownstorage import OwnStorage
from .patience import Patience
from .publisher import MAXIMUM, EventPublisher
from .record import Record
from .stores.claim import Ending
from .stores.journal import eventIDOf
from .stores.lines import Lines
from .sweeper import Sweeper

ANSWER_TIMEOUT: Final = 10.0
"""
How long a storage may take, in seconds: it may ask its store several times.
"""

GRACE: Final = 10.0
"""
How long each of the steps may take at the end, in seconds.
"""


class SessionSubject:
    """
    Keeps which sessions there are in a storage, and tells observers when one is
    created and when it is destroyed.

    There is one event for each real change, published when the storage has
    confirmed it: of many who destroy a session at the same time one succeeds.
    The events of one id come in the order of its changes.  A change of which
    the storage does not say whether it was made is not told, unless it says so
    later.

    What the subject is not asked to do it cannot tell of: what another process
    destroys in the same store hears an observer with a name, and nobody else.

    @ivar _storage: Gives records, where it has any, for C{True}.
    @ivar _lines: The calls for one id wait for each other.
    @ivar _claims: The sweep of the store, if it has one.
    @ivar _sweeper: Ends the sessions whose time is up; C{None} if nothing does.
    @ivar _count: How many events there have been.
    @ivar _isStarted: Whether it is at work.
    @ivar _unwatch: Ends the watch for endings in other processes.
    """

    _log = Logger()

    def __init__(self, storage: Any, clock: IReactorTime | None = None) -> None:
        """
        @param storage: Anything that adapts to L{ISessionStorage}, as every
            L{ISessionStore<txsessions.interfaces.ISessionStore>} does.  A store
            should be the subject's own: it ends all that expires in it.
        @param clock: A reactor, or any other L{IReactorTime}; C{None}: the
            global reactor.
        @raise TypeError: That is no storage, or no clock.
        """
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self._clock = steady(clock)
        self._storage: Any = given(ISessionStorage, storage)
        self._store: Any = None
        if not IRecordedStorage.providedBy(self._storage):
            self._storage = OwnStorage(self._storage)
        else:
            self._store = self._storage.store
            if self._store.clock is None:
                self._store.clock = self._clock
        self._publisher = EventPublisher(self._clock)
        self._couriers = Couriers(self._store, self._clock)
        self._lines = Lines()
        self._patience = Patience(self._clock, ANSWER_TIMEOUT)
        self._grace = Patience(self._clock, GRACE)
        sweep = ISessionSweep(self._store, None)
        self._claims = None if sweep is None else Claims(sweep)
        self._sweeper = (
            None
            if self._claims is None
            else Sweeper(self._claims, self._clock, self._expired, self._publisher.whenHeard)
        )
        self._count = 0
        self._isStarted = False
        self._unwatch: Callable[[], None] | None = None

    def subscribe(self, observer: Any, *kinds: Any, name: str | None = None) -> None:
        """
        Tell an observer of what happens from now on.  To subscribe once more
        changes which kinds it is told of.

        @param observer: Anything that adapts to
            L{ISessionObserver<txsessions.interfaces.ISessionObserver>}.
        @param kinds: L{ISessionEvent<txsessions.interfaces.ISessionEvent>}, or
            interfaces that extend it: which events it is told of; none: of all.
        @param name: Makes it a durable observer, which is told of endings only:
            of each at least once, whichever processes die, as long as this is
            started in any process.
        @raise TypeError: That is no observer or no kind; or it has a name, and
            what the sessions are kept in has no journal.
        """
        if name is None:
            self._publisher.subscribe(observer, *kinds)
        else:
            self._couriers.subscribe(observer, name, *kinds)
            self._watch()

    def unsubscribe(self, observer: Any) -> None:
        """
        Tell an observer of nothing more.  What has not subscribed is no error.
        """
        self._publisher.unsubscribe(observer)
        self._couriers.unsubscribe(observer)

    def feed(self, *kinds: Any, maximum: int = MAXIMUM) -> SessionFeed:
        """
        See L{EventPublisher.feed}.
        """
        return self._publisher.feed(*kinds, maximum=maximum)

    def createSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        Create a session.

        @return: A L{Deferred} that fires with L{True} when it is new, and with
            L{False} when there is one; and fails as the storage does, with
            L{StoreUnavailable} when the storage cannot answer, or with
            L{TypeError} when that is no id.
        """
        return self._inLine(sessionID, self._create)

    def hasSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        Whether there is such a session.

        @return: A L{Deferred} that fires with a L{bool}; and fails as
            L{createSession} does.
        """
        return self._inLine(sessionID, self._has)

    def destroySession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        Destroy a session.

        @return: A L{Deferred} that fires with L{True} when this has destroyed
            it, and with L{False} when there is none; and fails as
            L{createSession} does.
        """
        return self._inLine(sessionID, self._destroy)

    def start(self) -> None:
        """
        End what expires, at its time, if the sessions are kept in a store that
        can; and tell the durable observers.
        """
        self._isStarted = True
        self._publisher.start()
        self._couriers.start()
        self._watch()
        if self._sweeper is not None:
            self._sweeper.start()

    def stop(self) -> Deferred[None]:
        """
        Finish what is under way, let the observers hear of it, and let go of
        the store.  Nothing is waited for without end.

        @return: A L{Deferred} that fires with L{None}.
        """
        return Deferred.fromCoroutine(self._stop())

    def _watch(self) -> None:
        """
        Hear at once of what ends in other processes, if there is a durable
        observer to be told.
        """
        notices = ISessionNotices(self._store, None)
        if not self._isStarted or self._couriers.isEmpty or notices is None:
            return
        if self._unwatch is None:
            wake = self._couriers.wake
            self._unwatch = notices.watchEndings(lambda sid, reason: wake(), wake)

    def _inLine(
        self, sessionID: int | bytes, step: Callable[[Any], Awaitable[bool]]
    ) -> Deferred[bool]:
        """
        Do something with an id when all that came before it is done.
        """
        try:
            handle = handleOf(sessionID)
        except TypeError:
            return fail()
        return self._patience.wait(self._lines.call(handle, lambda: step(sessionID)))

    async def _create(self, sessionID: int | bytes) -> bool:
        """
        Create a session, and tell of it.
        """
        new = await self._storage.beginSession(sessionID)
        if not new:
            return False
        if self._claims is not None:
            # What is under way may have the end of this id's session before.
            await self._claims.settled()
        if self._sweeper is not None:
            self._sweeper.wakeBy(deadline(new))
        self._publish(CREATED, sessionID, None, new)
        return True

    async def _has(self, sessionID: int | bytes) -> bool:
        """
        Look for a session.
        """
        return bool(await self._storage.hasSession(sessionID))

    async def _destroy(self, sessionID: int | bytes) -> bool:
        """
        Destroy a session, and tell of it.
        """
        last = await self._storage.endSession(sessionID)
        if not last:
            return False
        self._publish(DESTROYED, sessionID, LOGOUT, last)
        self._couriers.wake()
        return True

    def _expired(self, ending: Ending) -> None:
        """
        A session has ended because its time was up, if it is one of ours.
        """
        sessionID = ownIDOf(ending.record)
        if sessionID is not None:
            self._publish(DESTROYED, sessionID, ending.reason, ending.record)
        self._couriers.wake()

    def _publish(
        self, type: str, sessionID: int | bytes, reason: str | None, record: Record | bool
    ) -> None:
        """
        Tell of a change, if anybody wants to know.
        """
        if not self._publisher.hasSubscribers:
            return
        now = self._clock.seconds()
        known = record if isinstance(record, Record) else None
        sid = None if known is None else known.sid
        self._count += 1
        eventID = f"{eventIDOf(sid or handleOf(sessionID), now)}-{self._count:x}"
        self._publisher.publish(SessionEvent(type, sessionID, sid, reason, eventID, now, known))

    async def _stop(self) -> None:
        """
        See L{stop}.
        """
        self._isStarted = False
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        if self._sweeper is not None:
            await self._within(self._sweeper.stop())
        await self._within(self._lines.whenIdle())
        await DeferredList([self._publisher.stop(), self._couriers.stop()])
        connected = IConnectedStore(self._store, None)
        if connected is not None:
            await self._within(connected.close())

    async def _within(self, step: Deferred[Any]) -> None:
        """
        Wait for a step at the end, but not for too long.
        """
        await self._grace.wait(step).addErrback(self._notDone)

    def _notDone(self, failure: Failure) -> None:
        """
        The storage could not finish in time; the process ends nevertheless.
        """
        failure.trap(StoreUnavailable)
        self._log.error("Stopping, although {error}.", error=failure.value)
