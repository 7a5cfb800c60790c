"""
The live session: the object that an application touches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from . import lifetime
from .bound import BoundConnections, close, connectionOf
from .data import SessionData
from .errors import CookieTooLate, SessionEnded, SessionError
from .given import givenOwner
from .interfaces import ISession
from .livesession import LiveSession
from .record import AUTHENTICATED, NOTHING, REWORKED, UNCHANGED, Unchanged, timeText
from .token import reworked

if TYPE_CHECKING:
    from zope.interface.interface import InterfaceClass

T = TypeVar("T")

currentRequest: ContextVar[Any] = ContextVar("currentRequest", default=None)
"""
The request on whose behalf code runs: in its handler, and in the coroutines and
C{inlineCallbacks} that began there.  It tells whose response carries the cookie
of a rework or a log-out.
"""


@implementer(ISession)
class Session(LiveSession):
    """
    A session.  See L{ISession}, and L{twisted.web.server.Session} for what is
    as in stock Twisted.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sid} {self.endReason or 'live'}>"

    @property
    def data(self) -> MutableMapping[str, Any]:
        """
        See L{ISession}.
        """
        if self._data is None:
            record = self._stored()
            attributes = NOTHING if record is None else record.attributes
            self._data = SessionData(attributes, self.limits)
        return self._data

    def notifyOnExpire(self, callback: Callable[[], object]) -> None:
        """
        See L{ISession.notifyOnExpire}.
        """
        if not callable(callback):
            raise TypeError(f"what to call at the end is a callable, not {type(callback).__name__}")
        if self.endReason is not None and self._ending is None:
            self._tell(callback)
            return
        self.expireCallbacks.append(callback)
        if self._manager is not None:
            self.site.keepSession(self)

    def bind(self, connection: Any, isActivity: bool = False) -> None:
        """
        See L{ISession.bind}.
        """
        if self.endReason is not None and self._ending is None:
            close(connectionOf(connection))
            return
        if isinstance(connection, Request):
            if not connectionOf(connection).isOpen():
                # Nobody will say that it is done: it is.
                return
            connection.notifyFinish().addBoth(lambda _: self.unbind(connection))
        if self._bound is None:
            self._bound = BoundConnections()
        self._bound.bind(connection, isActivity)
        if self._manager is not None:
            self.site.keepSession(self)
        if isActivity and self._expiry is not None:
            self.watch()

    def unbind(self, connection: Any) -> None:
        """
        See L{ISession.unbind}.
        """
        if self._bound is not None:
            self._bound.unbind(connection)

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
        self._isAskedToEnd = True
        self._unended = None
        ending = self._track().end(reason)
        if ending.called:
            return ending
        self.endReason = reason
        waiting = self._ending = []
        ending.addBoth(self._endKnown, waiting)
        return self._afterEnding(waiting)

    def ended(self, reason: str) -> None:
        """
        See L{txsessions.tracked.Tracked}.  An C{expire} of a subclass's own hears
        of an end that it did not begin, as from the timer of a stock session.
        """
        if not self._isAskedToEnd and type(self).expire is not Session.expire:
            self.endReason = reason
            self._tell(self.expire)
        super().ended(reason)

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

    def logIn(self, sessionKey: str, authenticatedAt: float | None = None) -> Deferred[None]:
        """
        See L{ISession.logIn}.
        """
        givenOwner(sessionKey)
        moment = self._seconds() if authenticatedAt is None else authenticatedAt
        if not (isinstance(moment, (int, float)) and isfinite(moment)):
            raise TypeError("authenticatedAt is a time in seconds since the epoch, or None")
        done = self._ifLive(lambda: self._rework(sessionKey, moment))
        return done.addCallback(lambda token: None)

    @property
    def authenticatedAt(self) -> float | None:
        """
        See L{ISession}.
        """
        record = self._stored()
        return None if record is None else record.authenticatedAt

    def renewIfOld(self) -> None:
        """
        Give it another token, if the one it has is older than the manager wants
        it to be.  The response waits for that as for any change.
        """
        record, manager = self._stored(), self._manager
        if record is None or manager.reworkInterval is None or self.isTokenUnseen:
            return
        if self._seconds() - record.reworkedAt >= manager.reworkInterval:
            self.rework().addErrback(self._notRenewed)

    def getComponent(self, interface: InterfaceClass, default: Any = None) -> Any:
        """
        See L{twisted.python.components.Componentized.getComponent}; a stored
        component is found before a new one is made.
        """
        component = self._persistent().find(interface)
        if component is None:
            component = super().getComponent(interface, default)
        return component

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
        tracker = self._tracker
        if tracker is None:
            if self._manager is None:
                return None
            tracker = self._track()
        return tracker.pendingCommit()

    def _rework(
        self, sessionKey: str | Unchanged, authenticatedAt: float | None = None
    ) -> Deferred[bytes]:
        """
        Get a new token, and the owner along with it.

        A token that was made a moment ago, and that no request has brought
        back, is new enough for a second request that wants one: two tabs that
        log in at the same time must not throw away each other's cookies.  Not
        so for another owner: whoever got that token was not let in as him; nor
        for a log-in in the request that got it, whose moment is to be kept.
        """
        tracker, actor = self._track(), self._actor()
        if actor is not None and actor.startedWriting:
            raise CookieTooLate(
                "a new token after the response's headers have left could not reach the browser: "
                "call rework() or logIn() before the first write()"
            )
        isForOwner = sessionKey is UNCHANGED or sessionKey == self.sessionKey
        isOwn = sessionKey is not UNCHANGED and actor is not None and actor is self.reworker
        if self.isTokenUnseen and self.holders and isForOwner and not isOwn:
            if id(self.reworker) not in self.holders:
                # Who was to tell the browser has gone, told or not.
                self.reworker = actor
            return tracker.commit().addCallback(lambda _: self.uid)

        def done(isToken: bool) -> bytes:
            if isToken:
                self.isTokenUnseen = True
                self.reworker = actor
                self.reworked()
            return self.uid or b""

        attributes = {}
        if authenticatedAt is not None:
            attributes[AUTHENTICATED] = timeText(authenticatedAt)
        if self._manager.reworkInterval is not None:
            attributes[REWORKED] = timeText(self._seconds())
        return tracker.rework(self._newToken(), sessionKey, done, attributes)

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
            self._isAskedToEnd = False
            self.watch()
        for each in waiting:
            each.callback(result)

    def _notRenewed(self, failure: Failure) -> None:
        """
        It could not get another token: the response that waits for its commit
        says why, or the next request tries again.
        """
        failure.trap(SessionError)

    def _notEnded(self, failure: Failure) -> None:
        """
        The store could not end it; the response that waits for it tries again,
        or says so.
        """
        self._unended = lifetime.LOGOUT
        self._log.error("Could not end session {sid}: {error}", sid=self.sid, error=failure.value)
