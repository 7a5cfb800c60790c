"""
The care for a store: what ends its sessions, who hears of that, and how it is let
go of.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary, WeakSet

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .couriers import Couriers
from .errors import StoreTimedOut, StoreUnavailable
from .event import CREATED, DESTROYED, REWORKED, SessionEvent
from .interfaces import (
    IConnectedStore,
    ISessionEpoch,
    ISessionNotices,
    ISessionStore,
    ISessionSweep,
)
from .limit import SessionLimit
from .managed import ManagedStore
from .patience import Patience, PatientStore
from .publisher import EventPublisher
from .record import Change, Record
from .stores.claim import Ending
from .stores.journal import eventIDOf
from .sweeper import Sweeper

GRACE: Final = 10.0
"""
How long a store that is to be let go of may take for each of the steps, in
seconds: twice as long as a write may take.
"""


ROOM: Final = 2.0
"""
How long a log-in waits for those sessions to end that have expired, in seconds:
less than a write may take.
"""


class Host(Protocol):
    """
    Where sessions of a manager are alive: a site.
    """

    def sessionEnded(self, sid: str, reason: str) -> object:
        """
        A session has ended, here or somewhere else; perhaps this is known.
        """

    def sessionChanged(self, sid: str) -> object:
        """
        Somebody else in this process has changed a session.
        """

    def endingsMissed(self) -> object:
        """
        Sessions may have ended elsewhere without a word of it.
        """

    def saveTouches(self) -> Deferred[None]:
        """
        Tell the store of the touches that it does not know, since it is about
        to end what it believes to be expired.

        @return: A L{Deferred} that fires with L{None} when that is done.
        """


class Custody:
    """
    Takes care of a store, on behalf of one manager.

    @ivar store: The store, which answers in time here.  A change that goes through
        it is one of the manager's own: whoever makes one calls L{changed}.
    @ivar publisher: Tells of what this process does to sessions.
    @ivar couriers: Tell durable observers of what ends in any process.
    @ivar isOwner: Whether the sessions of the store are alive in one place only,
        so that what is known there of a session is all there is to know.
    @ivar _epochs: Tells whether other processes have changed anything; C{None} if that
        cannot be told, or others in this process may have.
    @ivar _managed: The store, which tells of what it does.
    @ivar _users: All that take care of the same store, in this process.
    @ivar _hosts: Where sessions are alive.
    @ivar _unwatch: Ends the watch for endings in other processes; C{None}
        while there is none.
    @ivar _starts: How often it was started and not stopped.
    @ivar _stops: How many stops are under way.
    """

    _log = Logger()

    def __init__(self, store: Any, clock: IReactorTime, limit: SessionLimit | None) -> None:
        """
        @param store: An L{ISessionStore<txsessions.interfaces.ISessionStore>}.
        @param clock: An L{IReactorTime} that does not jump.
        @param limit: How many sessions one owner may have.
        """
        self._store = store
        self._clock = clock
        self._managed = ManagedStore(store, limit, self)
        self.store = PatientStore(self._managed, clock)
        self._grace = Patience(clock, GRACE)
        self._room = Patience(clock, ROOM)
        self.publisher = EventPublisher(clock)
        self.couriers = Couriers(store, clock)
        self.isOwner = not getattr(store, "isMultiprocessSafe", False)
        self._epochs: ISessionEpoch | None = ISessionEpoch(store, None)
        self._hosts: list[Host] = []
        self._unwatch: Callable[[], None] | None = None
        self._starts = 0
        self._stops = 0
        self._share()
        sweep = ISessionSweep(store, None)
        self._sweeper = (
            None if sweep is None else Sweeper(sweep, clock, self.ended, self._beforeSweep)
        )

    @property
    def isHeard(self) -> bool:
        """
        See L{txsessions.managed.Told}.
        """
        return self.publisher.hasSubscribers

    def epoch(self) -> Hashable | None:
        """
        See L{ISessionEpoch.epoch}; the caller is the manager.
        """
        return None if self._epochs is None else self._epochs.epoch(self._managed.changes)

    def join(self, host: Host) -> None:
        """
        Sessions are alive there from now on.
        """
        self._hosts.append(host)
        if len(self._hosts) > 1:
            self._disown()

    def start(self) -> None:
        """
        Begin to end what has expired, at the time at which it expires; and to
        hear of what ends in other processes.  While it is being stopped: after
        that.
        """
        self._starts += 1
        if self._starts == 1 and not self._stops:
            self._begin()

    @inlineCallbacks
    def stop(self):  # type: ignore[no-untyped-def]  # inlineCallbacks
        """
        Finish what is under way, and let go of the store, unless others have
        started it too.  A store that hangs is not waited for without end.

        @return: A L{Deferred} that fires with L{None} when all that was
            acknowledged is stored.
        """
        self._starts = max(0, self._starts - 1)
        if self._starts:
            return
        self._stops += 1
        try:
            yield self._end()
        finally:
            self._stops -= 1
            if self._starts and not self._stops:
                self._begin()

    def _begin(self) -> None:
        """
        Start.
        """
        self.publisher.start()
        self._watch()
        self.couriers.start()
        if self._sweeper is not None:
            self._sweeper.start()

    @inlineCallbacks
    def _end(self):  # type: ignore[no-untyped-def]  # inlineCallbacks
        """
        Stop.
        """
        if self._unwatch is not None:
            unwatch, self._unwatch = self._unwatch, None
            unwatch()
        if self._sweeper is not None:
            yield self._grace.wait(self._sweeper.stop()).addErrback(self._notDone)
        yield self._grace.wait(self.store.whenIdle()).addErrback(self._notDone)
        yield self.publisher.stop(GRACE)
        yield self.couriers.stop(GRACE)
        connected = IConnectedStore(self._store, None)
        if connected is not None and not any(each._starts for each in self._users):
            yield self._grace.wait(connected.close()).addErrback(self._notDone)

    def sweep(self) -> Deferred[None]:
        """
        End all that has expired by now.

        @return: A L{Deferred} that fires with L{None} when that is done, or
            when the store could not answer.
        """
        return succeed(None) if self._sweeper is None else self._sweeper.run()

    def makeRoom(self) -> Deferred[Any]:
        """
        See L{txsessions.managed.Told}.  The sweep may have to wait for a session
        that waits for this, so this does not wait without end.
        """
        return self._room.wait(self.sweep()).addErrback(lambda failure: failure.trap(StoreTimedOut))

    def wakeBy(self, time: float) -> None:
        """
        A session that was stored now expires at that time, in seconds on the
        clock.
        """
        if self._sweeper is not None:
            self._sweeper.wakeBy(time)

    def changed(self, sid: str) -> None:
        """
        A session was changed behind the back of those where it is alive.
        """
        for host in self._hosts:
            host.sessionChanged(sid)

    def created(self, record: Record) -> None:
        """
        See L{txsessions.managed.Told}.
        """
        self._publish(CREATED, record.sid, record)

    def reworked(self, change: Change) -> None:
        """
        See L{txsessions.managed.Told}.
        """
        self._publish(REWORKED, change.sid)

    def ended(self, ending: Ending) -> None:
        """
        See L{txsessions.managed.Told}.  Also called for each L{Ending} that a
        sweep brings in.
        """
        record = ending.record
        if self.publisher.hasSubscribers:
            self._publish(DESTROYED, record.sid, record, ending.reason)
        self._noticed(record.sid, ending.reason)

    def _share(self) -> None:
        """
        Where others in this process use the store as well, none of them is its
        owner.
        """
        self._users: WeakSet[Custody] = WeakSet()
        with suppress(TypeError):
            # Whatever cannot be a key there is taken to be used here only.
            self._users = _usersOf.setdefault(_innermost(self._store), self._users)
        self._users.add(self)
        if len(self._users) > 1:
            for each in self._users:
                each._disown()

    def _disown(self) -> None:
        """
        The sessions of the store are alive in other places as well.
        """
        self.isOwner, self._epochs = False, None
        if self._starts:
            self._watch()

    def _watch(self) -> None:
        """
        Hear of what ends elsewhere.
        """
        notices = None if self.isOwner else ISessionNotices(self._store, None)
        if notices is not None and self._unwatch is None:
            self._unwatch = notices.watchEndings(self._noticed, self._missed)

    def _publish(
        self, type: str, sid: str, record: Record | None = None, reason: str | None = None
    ) -> None:
        """
        Tell the observers.
        """
        now = self._clock.seconds()
        event = SessionEvent(
            type,
            sid,
            sid,
            reason,
            eventID=f"{eventIDOf(sid, now)}-{type}",
            time=now,
            record=record,
        )
        self.publisher.publish(event)

    def _noticed(self, sid: str, reason: str) -> None:
        """
        A session has ended; what goes wrong in one place hurts no other.
        """
        self.couriers.wake()
        for host in self._hosts:
            try:
                host.sessionEnded(sid, reason)
            except Exception:
                self._log.failure("Telling the end of session {sid} failed.", sid=sid)

    def _missed(self) -> None:
        """
        What ended in other processes may have gone unnoticed.
        """
        self.couriers.wake()
        for host in self._hosts:
            host.endingsMissed()

    def _beforeSweep(self) -> Deferred[Any]:
        """
        Wait until the store knows what it has to before it ends anything, and
        the observers of what was ended before.
        """
        waiting: list[Deferred[Any]] = [host.saveTouches() for host in self._hosts]
        if self.publisher.hasSubscribers:
            waiting.append(self.publisher.whenHeard())
        return waiting[0] if len(waiting) == 1 else DeferredList(waiting)

    def _notDone(self, failure: Failure) -> None:
        """
        The store could not finish in time; the process ends nevertheless.
        """
        failure.trap(StoreUnavailable)
        self._log.error("Stopping, although {error}.", error=failure.value)


_usersOf: WeakKeyDictionary[Any, WeakSet[Custody]] = WeakKeyDictionary()
"""
Who takes care of each store, in this process.
"""


def _innermost(store: Any) -> Any:
    """
    The store that others may use too, in whatever it is wrapped.
    """
    while ISessionStore.providedBy(getattr(store, "store", None)):
        store = store.store
    return store
