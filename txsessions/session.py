"""
The live session: the object that an application touches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.runtime import seconds
from twisted.web import server
from zope.interface import implementer

from . import lifetime
from .clock import steady
from .components import PersistentComponents
from .data import SessionData
from .duties import Duties
from .errors import CookieTooLate, SessionEnded, SessionError, SessionNotFound
from .interfaces import ISession
from .record import NOTHING, UNCHANGED, Record, Unchanged
from .token import reworked, sidOf
from .tracked import Part
from .tracker import Tracker

if TYPE_CHECKING:
    from zope.interface.interface import InterfaceClass

T = TypeVar("T")

RETRY: Final = 5.0
"""
After how many seconds a store that could not answer is asked again on behalf of
a session whose time has come.
"""

currentRequest: ContextVar[Any] = ContextVar("currentRequest", default=None)
"""
The request on whose behalf code runs: in its handler, and in the coroutines and
C{inlineCallbacks} that began there.  It tells whose response carries the cookie
of a rework or a log-out.
"""


@implementer(ISession)
class Session(server.Session):
    """
    A session.  See L{ISession}, and L{twisted.web.server.Session} for what is
    as in stock Twisted.

    @ivar audience: L{txsessions.token.SECURE} if its token travels over HTTPS
        only, L{txsessions.token.INSECURE} if not; C{None} until a request has
        used it.
    @ivar isNew: Whether it began in a request that is not done yet, so that no
        browser can have its token.
    @ivar isLate: Whether it began in a request that was late: the browser has,
        or is about to get, another token than the one it sent.  Then it is
        stored, and the browser told of it, only if there is something in it.
    @ivar holders: The requests that have asked for it and are not done, by
        their L{id}.
    @ivar reworker: The request whose response carries the new token; C{None} if
        there is none, or if it is not known.
    @ivar ender: The request that ended it, as far as that is known.
    @ivar isTokenUnseen: Whether it got a new token that no request has brought
        back yet.
    @ivar _isOver: Whether its time-out has ended it, and all were told.
    @ivar _ending: What waits for the end that the store has not confirmed yet;
        C{None} when none is under way.
    @ivar _unended: Why C{expire} was to end it, and could not.
    @ivar _expiry: What ends it at its deadline in this process.
    @ivar _watched: The time-outs by which that was last looked at.
    @ivar _plainSize: How many attributes an instance has to which nobody added
        any.
    """

    sessionTimeout: float = 900  # type: ignore[assignment]  # stock says int
    absoluteTimeout: float | None = None

    _log = Logger()

    def __init__(self, site: Any, uid: bytes | None, reactor: IReactorTime | None = None) -> None:
        """
        @param site: The L{Site<txsessions.Site>} it belongs to; with C{None} it
            lives in memory only.
        @param uid: The token.
        @param reactor: What it measures time by; C{None}: the site's reactor.
        """
        Componentized.__init__(self)
        if reactor is None and site is not None:
            reactor = site.reactor
        self._reactor = reactor
        self.site = site
        self.uid = uid
        self.audience: bytes | None = None
        self.sessionKey: str | None = None
        self.endReason: str | None = None
        self.expireCallbacks: list[Callable[[], object]] = []
        self.sessionNamespaces: dict[Any, Any] = {}
        self.isNew = False
        self.isLate = False
        self.holders: dict[int, Any] = {}
        self.reworker: Any = None
        self.ender: Any = None
        self.isTokenUnseen = False
        self._isOver = False
        self._sid: str | None = None
        self._data: SessionData | None = None
        self._components: PersistentComponents | None = None
        self._ending: list[Deferred[None]] | None = None
        self._unended: str | None = None
        self._expiry: Duties | None = None
        self._watched: tuple[float, float | None] | None = None
        self._tracker: Tracker | None = None
        self.created = self.lastModified = self._seconds()
        self._plainSize = len(self.__dict__) + 1

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sid} {self.endReason or 'live'}>"

    @property
    def sid(self) -> str:
        """
        See L{ISession}.
        """
        if self._sid is None:
            self._sid = sidOf(self.uid or b"")
        return self._sid

    @property
    def data(self) -> MutableMapping[str, Any]:
        """
        See L{ISession}.
        """
        if self._data is None:
            record = self._stored()
            self._data = SessionData(NOTHING if record is None else record.attributes)
        return self._data

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

    def notifyOnExpire(self, callback: Callable[[], object]) -> None:
        """
        See L{ISession.notifyOnExpire}.
        """
        if self.endReason is not None and self._ending is None:
            self._tell(callback)
            return
        self.expireCallbacks.append(callback)
        if self._manager is not None:
            self.site.keepSession(self)

    def expire(self) -> None:
        """
        See L{ISession.expire}.
        """
        self.logOut().addErrback(self._notEnded)

    def logOut(self) -> Deferred[None]:
        """
        See L{ISession.logOut}.
        """
        return self.end(lifetime.LOGOUT)

    def end(self, reason: str) -> Deferred[None]:
        """
        End the session.

        @param reason: Why, one of the constants of L{txsessions.lifetime}.
        @return: As L{ISession.logOut}.
        """
        if self._ending is not None:
            return self._afterEnding(self._ending)
        if self.endReason is not None:
            return succeed(None)
        self.ender = self._actor()
        self._unended = None
        ending = self._track().end(reason)
        if ending.called:
            return ending
        self.endReason = reason
        waiting = self._ending = []
        ending.addBoth(self._endKnown, waiting)
        return self._afterEnding(waiting)

    def commit(self) -> Deferred[None]:
        """
        See L{ISession.commit}.
        """
        return self._ifLive(lambda: self._track().commit())

    def modify(self, function: Callable[[MutableMapping[str, Any]], T]) -> Deferred[T]:
        """
        See L{ISession.modify}.
        """
        return self._ifLive(lambda: self._track().modify(function))

    def rework(self) -> Deferred[bytes]:
        """
        See L{ISession.rework}.
        """
        return self._ifLive(lambda: self._rework(UNCHANGED))

    def logIn(self, sessionKey: str) -> Deferred[None]:
        """
        See L{ISession.logIn}.
        """
        if not isinstance(sessionKey, str):
            raise TypeError(f"a session key is a str, not {type(sessionKey).__name__}")
        return self._ifLive(lambda: self._rework(sessionKey)).addCallback(lambda token: None)

    def getComponent(self, interface: InterfaceClass, default: Any = None) -> Any:
        """
        See L{twisted.python.components.Componentized.getComponent}; a stored
        component is found before a new one is made.
        """
        component = self._persistent().find(interface)
        if component is None:
            component = super().getComponent(interface, default)
        return component

    # What follows is for the site, the request and the tracker.

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
        record = self._stored()
        if record is not None and lifetime.deadline(record) < lifetime.deadline(self):
            return lifetime.lastCall(record)
        return lifetime.deadline(self)

    def restore(self, record: Record) -> None:
        """
        Become the live session of a stored record.
        """
        self._sid = record.sid
        self.lastModified = record.lastModified
        self._tracker = Tracker(self, self.site.sessionManager.store)
        self._tracker.refresh(record)

    def refresh(self, record: Record) -> None:
        """
        Take over what was loaded from the store.
        """
        self._track().refresh(record)

    def lost(self, reason: str) -> None:
        """
        Somebody else has ended it.
        """
        self._track().finish(reason)

    def pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed, or wait for the end that is under way.

        @return: As L{ISession.commit}; or C{None} when there is nothing to wait
            for.
        """
        if self._ending is not None:
            return self._afterEnding(self._ending)
        if self._unended is not None:
            return self.end(self._unended)
        return None if self._manager is None else self._track().pendingCommit()

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

    def hasNewTimeouts(self) -> bool:
        """
        Whether its time-outs were changed since its deadline was last looked
        at.
        """
        return self._watched != (self.sessionTimeout, self.absoluteTimeout)

    def forgetChanges(self) -> None:
        """
        Go back to what is stored, because nobody was told that it is stored.
        """
        self._unended = None
        self._track().forgetChanges()

    def isExact(self) -> bool:
        """
        Whether what is known here of its record is all that is stored, as far
        as this process can know.
        """
        return self._tracker is None or self._tracker.isExact

    def isStored(self) -> bool:
        """
        Whether there is a record of it.
        """
        return self._stored() is not None

    def isPlain(self) -> bool:
        """
        Whether all there is of it is in its record, so that it may be forgotten
        here until somebody asks for it.
        """
        added = len(self.__dict__) - self._plainSize
        timeouts = ("sessionTimeout" in self.__dict__) + ("absoluteTimeout" in self.__dict__)
        return self.isStored() and not (
            added > timeouts
            or self.expireCallbacks
            or not self._persistent().areAll()
            or self.sessionNamespaces
            or self.holders
            or self.isTokenUnseen
            or self._ending is not None
            or not self._track().isSaved()
        )

    def isWorthStoring(self) -> bool:
        """
        See L{txsessions.tracked.Tracked}.
        """
        return bool(
            (self.site.storeEmptySessions and not self.isLate)
            or self._data
            or self.sessionKey is not None
            or self.expireCallbacks
            or self._persistent().changes()[0]
        )

    def parts(self) -> tuple[Part, ...]:
        """
        See L{txsessions.tracked.Tracked}.
        """
        if self._data is None:
            return (self._components,) if self._components is not None else ()
        return (self._data, self._persistent())

    def renewToken(self) -> None:
        """
        See L{txsessions.tracked.Tracked}.
        """
        token, sessions = self.site.newToken(), self.site.sessions
        if sessions.get(self.uid) is self:
            del sessions[self.uid]
        self.uid, self._sid = token, None
        sessions[token] = self
        self.watch()

    def ended(self, reason: str) -> None:
        """
        See L{txsessions.tracked.Tracked}.  Runs the callbacks.
        """
        self.endReason = reason
        self._ending = None
        if self._expiry is not None:
            self._expiry.discard(self.sid)
        sessions = getattr(self.site, "sessions", {})
        if sessions.get(self.uid) is self:
            del sessions[self.uid]
        callbacks, self.expireCallbacks = self.expireCallbacks, []
        for callback in callbacks:
            self._tell(callback)
        self._isOver = reason in (lifetime.IDLE, lifetime.ABSOLUTE)

    def due(self) -> Deferred[None] | None:
        """
        There is something to be done for it.

        @return: A L{Deferred} that fires with L{None} when the store has heard
            of its touch; C{None} if there is nothing to wait for.
        """
        reason = lifetime.endReason(self, self._seconds())
        if not self.isStored():
            self._track().finish(reason or lifetime.IDLE)
        elif reason is not None:
            self.site.sessionDue(self)
        else:
            touched = self._track().touch()
            return touched.addCallbacks(lambda _: self.watch(), self._notTouched)
        return None

    def _rework(self, sessionKey: str | Unchanged) -> Deferred[bytes]:
        """
        Get a new token, and the owner along with it.

        A token that was made a moment ago, and that no request has brought
        back, is new enough for a second request that wants one: two tabs that
        log in at the same time must not throw away each other's cookies.  Not
        so for another owner: whoever got that token was not let in as him.
        """
        tracker, actor = self._track(), self._actor()
        if actor is not None and actor.startedWriting:
            raise CookieTooLate(
                "a new token after the response's headers have left could not reach the browser: "
                "call rework() or logIn() before the first write()"
            )
        isForOwner = sessionKey is UNCHANGED or sessionKey == self.sessionKey
        if self.isTokenUnseen and self.holders and isForOwner:
            return tracker.commit().addCallback(lambda _: self.uid)

        def done(isToken: bool) -> bytes:
            if isToken:
                self.isTokenUnseen = True
                self.reworker = actor
            return self.uid or b""

        return tracker.rework(self._newToken(), sessionKey, done)

    def _newToken(self) -> bytes:
        """
        Another token of the same handle.

        @raise SessionError: The source of randomness repeats itself.
        """
        token = reworked(self.sid, getattr(self.site, "_entropy", os.urandom))
        if token == self.uid:
            raise SessionError(
                "the new token is the old one: the source of randomness (site._entropy) "
                "repeats itself"
            )
        return token

    def _actor(self) -> Any:
        """
        The request on whose behalf this runs, as far as that can be known.
        """
        request = currentRequest.get()
        if id(request) in self.holders:
            return request
        return next(iter(self.holders.values())) if len(self.holders) == 1 else None

    def _ifLive(self, step: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Do something with the session unless it has ended.
        """
        if self.endReason is not None:
            return fail(SessionEnded(self.sid, self.endReason))
        if self._manager is None:
            return fail(SessionError("a session without a site has no store to be saved in"))
        return maybeDeferred(step)

    def _afterEnding(self, waiting: list[Deferred[None]]) -> Deferred[None]:
        """
        Wait for the end that is under way.
        """
        waiting.append(Deferred())
        return waiting[-1]

    def _endKnown(self, result: Any, waiting: list[Deferred[None]]) -> None:
        """
        The store has confirmed the end, or could not.
        """
        if isinstance(result, Failure):
            self.endReason = self._ending = None
            self.watch()
        for each in waiting:
            each.callback(result)

    def _notEnded(self, failure: Failure) -> None:
        """
        The store could not end it; the response that waits for it tries again,
        or says so.
        """
        self._unended = lifetime.LOGOUT
        self._log.error("Could not end session {sid}: {error}", sid=self.sid, error=failure.value)

    def _notTouched(self, failure: Failure) -> None:
        """
        The store could not hear of a touch; unless it has ended the session it
        is told again.
        """
        if not failure.check(SessionNotFound) and self._expiry is not None:
            self._expiry.add(self.sid, self._seconds() + RETRY)

    def _tell(self, callback: Callable[[], object]) -> None:
        """
        Call a callback; what goes wrong hurts no other.
        """
        try:
            callback()
        except Exception:
            self._log.failure("A callback at the end of session {sid} failed.", sid=self.sid)

    def _track(self) -> Tracker:
        """
        The tracker.
        """
        if self._tracker is None:
            manager = self._manager
            self._tracker = Tracker(self, None if manager is None else manager.store)
        return self._tracker

    def _stored(self) -> Record | None:
        """
        What is known to be stored.
        """
        return None if self._tracker is None else self._tracker.record

    def _persistent(self) -> PersistentComponents:
        """
        The persistent ones among the components.
        """
        if self._components is None:
            record = self._stored()
            self._components = PersistentComponents(
                self._adapterCache, NOTHING if record is None else record.attributes
            )
        return self._components

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

    def _seconds(self) -> float:
        """
        The present, on the clock that it measures time by.
        """
        if self._reactor is None:
            return seconds()
        manager = self._manager
        if manager is not None and self._reactor is self.site.reactor:
            return manager.clock.seconds()
        return self._reactor.seconds()

    @property
    def _manager(self) -> Any:
        """
        The manager of the site; C{None} for a session that lives in memory
        only.
        """
        return getattr(self.site, "sessionManager", None)
