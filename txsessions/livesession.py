"""
A session as its site, its requests and its tracker see it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import iscoroutine
from typing import Any, Final, TypeVar
from weakref import ref

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import lifetime
from .bound import BoundConnections
from .clock import steady
from .duties import Duties
from .errors import SessionError, SessionNotFound
from .event import DESTROYED, REWORKED, SessionEvent
from .interfaces import ISessionObserver
from .storedsession import StoredSession
from .update import begin

T = TypeVar("T")

GONE: Final = object()
"""
Stands for a request that is done, so that nothing holds it.
"""

RETRY: Final = 5.0
"""
After how many seconds a store that could not answer is asked again on behalf of
a session whose time has come.
"""


SOON: Final = 1.0
"""
After how many seconds a store is told again of a touch of which it could not hear:
several times between the last call and the deadline.
"""


class LiveSession(StoredSession):
    """
    A session in the memory of a process: when it ends, who is told then, and who
    uses it.  What applications call is on top of this, in
    L{txsessions.Session}.

    @ivar isNew: Whether it began in a request that is not done yet, so that no
        browser can have its token.
    @ivar isLetGo: Whether its site knows it only as long as somebody holds it.
    @ivar reworker: The request whose response carries the new token, or L{GONE};
        C{None} if there is none, or if it is not known.
    @ivar ender: The request that ended it, or L{GONE}, as far as that is known.
    @ivar isTokenUnseen: Whether it got a new token that no request has brought
        back yet.
    @ivar _holders: Weak references to the requests that have asked for it and
        are not done, by their L{id}; C{None} for none.
    @ivar _isOver: Whether its time-out has ended it, and all were told.
    @ivar _isAskedToEnd: Whether somebody here has asked it to end.
    @ivar _expiry: What ends it at its deadline in this process.
    @ivar _watched: The time-outs by which that was last looked at.
    @ivar _bound: The connections that end with it; C{None} if there never was
        any.
    """

    ender: Any = None

    _log = Logger()
    _isAskedToEnd: bool = False
    _bound: BoundConnections | None = None

    def __init__(self, site: Any, uid: bytes | None, reactor: IReactorTime | None = None) -> None:
        """
        See L{StoredSession}.
        """
        super().__init__(site, uid, reactor)
        self.isNew = False
        self.isLetGo = False
        self.reworker: Any = None
        self.isTokenUnseen = False
        self._isOver = False
        self._holders: dict[int, ref[Any]] | None = None
        self._expiry: Duties | None = None
        self._watched: tuple[float, float | None] | None = None

    @property
    def holders(self) -> dict[int, Any]:
        """
        The requests that have asked for it and are not done, by their L{id}.
        One that became something else, such as a WebSocket, is never done, but
        counts only as long as there is something of it.
        """
        if self._holders is None:
            return {}
        there = {name: request() for name, request in self._holders.items()}
        for name in [name for name, request in there.items() if request is None]:
            del self._holders[name], there[name]
        return there

    def hold(self, request: Any) -> None:
        """
        A request has asked for it.
        """
        if self._holders is None:
            self._holders = {}
        self._holders[id(request)] = ref(request)

    def release(self, request: Any) -> None:
        """
        A request is done.  What it has changed of the time-outs counts from now
        on.
        """
        if self._holders is not None:
            self._holders.pop(id(request), None)
            if not self._holders:
                self._holders = None
        if self.reworker is request:
            self.reworker = GONE
        if self.ender is request:
            self.ender = GONE
        isNew, self.isNew = self.isNew, False
        if (
            (isNew or self._watched != (self.sessionTimeout, self.absoluteTimeout))
            and self.endReason is None
            and self._manager is not None
        ):
            self.watch()
            self._manager.wakeBy(lifetime.deadline(self))

    def touch(self) -> None:
        """
        See L{ISession.touch}.

        @raise AlreadyCalled: Its time is over, and its callbacks have run: by
            that a stock request knows that it needs a new session.
        """
        if self._isOver:
            raise AlreadyCalled
        now = self._seconds()
        self.lastModified = max(self.lastModified, now)

    def startCheckingExpiration(self) -> None:
        """
        End it at its deadline, which is C{sessionTimeout} seconds from now
        unless it is touched.
        """
        now = self._seconds()
        self.lastModified = now
        self.created = min(self.created, now)
        self.watch()

    def watch(self) -> None:
        """
        Watch the deadline.
        """
        if self._expiry is None:
            self._expiry = self._ownExpiry() or self.site.sessionExpiry
        self._watched = (self.sessionTimeout, self.absoluteTimeout)
        self._expiry.add(self.sid, lifetime.lastCall(self))

    def nextDuty(self) -> float | None:
        """
        When something has to be done for it, in seconds on its clock: it ends;
        or before the store ends it, the store has to hear of a touch.  C{None}
        when nothing is left to be done.
        """
        if self.endReason is not None and self._ending is None:
            return None
        end = lifetime.deadline(self)
        record = self._stored()
        if record is not None and lifetime.deadline(record) < end:
            return lifetime.lastCall(record)
        if self._bound is not None and self._bound.areActive():
            # Nothing puts off the absolute time-out.
            isIdle = end == self.lastModified + self.sessionTimeout
            return lifetime.lastCall(self) if isIdle else end
        return end

    def saveTouch(self) -> Deferred[None]:
        """
        Touch it, and save that at once.

        @return: As L{ISession.commit}.
        """
        self.touch()
        return self._track().touch()

    def settleTouch(self) -> Deferred[None]:
        """
        Tell the store of a touch that it does not know, because nobody will
        later.

        @return: A L{Deferred} that fires with L{None} when that is done, or
            cannot be.
        """
        record = self._stored()
        if record is None or self.lastModified <= record.lastModified:
            return succeed(None)
        return self._track().touch().addErrback(lambda failure: None)

    def isWorthStoring(self) -> bool:
        """
        See L{txsessions.tracked.Tracked}.  One that has connections has to be
        there when they are to be closed.
        """
        return super().isWorthStoring() or bool(self._bound)

    def isPlain(self) -> bool:
        """
        Whether all there is of it is in its record, so that it may be forgotten
        here until somebody asks for it.
        """
        return self.isStored() and not (
            self._callbacks
            or self._bound
            or not self._persistent().areAll()
            or self._observers()
            or self.sessionNamespaces
            or self.holders
            or self.isTokenUnseen
            or self._ending is not None
            or not self._track().isSaved()
            # The last, since Python keeps all attributes in a dict from then on.
            or self.__dict__.keys() - OWN
        )

    def renewToken(self) -> None:
        """
        See L{txsessions.tracked.Tracked}.
        """
        super().renewToken()
        self.watch()

    def reworked(self) -> None:
        """
        It has got another token: those of its components are told that observe
        it.
        """
        self._tellObservers(REWORKED)

    def ended(self, reason: str) -> None:
        """
        See L{txsessions.tracked.Tracked}.  Runs the callbacks.
        """
        super().ended(reason)
        if self._expiry is not None:
            self._expiry.discard(self.sid)
        if self._bound is not None:
            self._bound.close()
        callbacks = self._callbacks or []
        told = callbacks[:]
        callbacks.clear()
        for callback in told:
            self._tell(callback)
        if self._adapterCache:
            self._tellObservers(DESTROYED)
        self._isOver = reason in (lifetime.IDLE, lifetime.ABSOLUTE)

    def due(self) -> Deferred[None] | None:
        """
        There is something to be done for it.

        @return: A L{Deferred} that fires with L{None} when the store has heard
            of its touch; C{None} if there is nothing to wait for.
        """
        if self._bound is not None and self._bound.areActive() and self._isInTime():
            self.touch()
        reason = lifetime.endReason(self, self._seconds())
        if not self.isStored() and reason is None:
            self.watch()
        elif reason is not None and not self._isTracked():
            # One that was never tracked needs no tracker to end.
            self.ended(reason)
        elif reason is not None and not self.isStored():
            self._track().finish(reason)
        elif reason is not None:
            self.site.sessionDue(self)
        else:
            touched = self._track().touch()
            return touched.addCallbacks(lambda _: self.watch(), self._notTouched)
        return None

    def _isInTime(self) -> bool:
        """
        Whether a touch that comes now is not too late.
        """
        return lifetime.endReason(self, self._seconds()) is None

    def _notTouched(self, failure: Failure) -> None:
        """
        The store could not hear of a touch; unless it has ended the session it
        is told again.
        """
        if not failure.check(SessionNotFound) and self._expiry is not None:
            self._expiry.add(self.sid, self._seconds() + SOON)

    def _tell(self, callback: Callable[[], object]) -> None:
        """
        Call a callback, which may be an C{async def}; what goes wrong hurts no
        other.
        """
        try:
            result = callback()
        except Exception:
            self._notTold(Failure())
            return
        if result is not None and iscoroutine(result):
            Deferred.fromCoroutine(result).addErrback(self._notTold)

    def _notTold(self, failure: Failure) -> None:
        """
        A callback has failed.
        """
        self._log.failure("A callback at the end of session {sid} failed.", failure, sid=self.sid)

    def _observers(self) -> list[Any]:
        """
        Those of its components that observe it.
        """
        # One may be there for several interfaces.
        components = {id(component): component for component in self._adapterCache.values()}
        return [each for each in components.values() if ISessionObserver.providedBy(each)]

    def _tellObservers(self, type: str) -> None:
        """
        Tell those of its components that observe it what has happened.
        """
        observers = self._observers()
        if not observers:
            return
        event = SessionEvent(
            type,
            self.sid,
            self.sid,
            self.endReason,
            time=self._seconds(),
            record=self._stored(),
        )
        for observer in observers:
            self._tell(partial(self._inform, observer, event))

    def _inform(self, observer: Any, event: SessionEvent) -> None:
        """
        Tell one observer.
        """
        informing = begin(observer, event)
        if informing is not None:
            informing.addErrback(self._notInformed)

    def _notInformed(self, failure: Failure) -> None:
        """
        A component that observes the session has failed.
        """
        self._log.failure("An observer of session {sid} failed.", failure, sid=self.sid)

    def _ownExpiry(self) -> Duties | None:
        """
        What ends it at its deadline, if it measures time by another clock than
        its site.
        """
        if self._manager is not None and self._reactor is self.site.reactor:
            return None
        if self._reactor is None:
            raise SessionError("a session without a site and without a reactor cannot expire")
        return Duties(
            steady(self._reactor),
            lambda sid: self.nextDuty(),
            lambda sid: self.due(),
        )


OWN: Final = frozenset(
    (
        *vars(LiveSession(None, None)),
        *StoredSession.__annotations__,
        *LiveSession.__annotations__,
    )
)
"""
The attributes that a session may have to which nobody has added any.
"""
