"""
The request: its sessions are loaded before its handler runs, and no byte of its
response leaves before what it changed in them is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server

from ..errors import SessionNotFound
from ..session import currentRequest
from ..token import INSECURE
from .caching import keepPrivate
from .headers import kept
from .held import HeldResponse, isTemporary
from .visit import Visit
from .visiting import NO_VISITS, VisitingRequest, firstError

if TYPE_CHECKING:
    from zope.interface.interface import InterfaceClass

    _Request = server.Request
else:
    _Request = object

_COOKIE: Final = kept(b"cookie")


class SessionRequestMixin(VisitingRequest, HeldResponse):
    """
    Makes any L{twisted.web.server.Request} load its sessions before it is
    processed, and save them before its response leaves.  Mix it in in front of
    the request's class.
    """

    # Not among the attributes of the instance: with more than thirty of these Python
    # keeps them in a table of its own for each instance, and finds all of them slower.
    __slots__ = (
        "_broughtBy",
        "_gate",
        "_head",
        "_isGuarded",
        "_isRefused",
        "_isToClose",
        "_mayBeClose",
        "_visits",
    )

    _log = Logger()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """
        A request that knows of no session yet; also one whose class does not call
        this one's C{__init__}.
        """
        self = super().__new__(cls)
        self._visits = NO_VISITS
        self._broughtBy = self._gate = self._head = None
        self._isGuarded = self._isToClose = self._isRefused = self._mayBeClose = False
        return self

    def process(self) -> None:
        """
        Load the sessions that the request's cookies open, then process it as
        usual.  A request without a session cookie is processed at once.
        """
        site: Any = getattr(self.channel, "site", None)
        if not hasattr(site, "sessionLookup"):
            super().process()
            return
        self._broughtBy = site
        cookies = self.requestHeaders._rawHeaders.get(_COOKIE)
        try:
            waiting = self._bringSessions(site, cookies) if cookies else None
        except Exception:
            self._notLoaded(Failure())
            return
        if waiting is None:
            self._processNow()
        else:
            waiting.addBoth(self._processLater)

    def getSession(
        self, sessionInterface: InterfaceClass | None = None, forceNotSecure: bool = False
    ) -> Any:
        """
        The session of this request, touched; a new one if there is none.

        @param sessionInterface: Give the session's component for this interface
            instead.
        @param forceNotSecure: Give the session that is used over plain HTTP,
            even if this request came over HTTPS.
        @raise CookieTooLate: The headers have left, so that the cookie of a new
            session could not reach the browser.
        """
        visit = self._look(forceNotSecure)
        if visit is None:
            return super().getSession(sessionInterface, forceNotSecure)
        session = visit.peek(self)
        if session is None:
            session = visit.begin(self)
        return session if sessionInterface is None else session.getComponent(sessionInterface)

    def peekSession(self, forceNotSecure: bool = False) -> Any:
        """
        The session of this request, touched; C{None} if there is none.  Creates
        nothing.

        @param forceNotSecure: As for L{getSession}.
        """
        visit = self._look(forceNotSecure)
        return None if visit is None else visit.peek(self)

    def getSessionEndReason(self, forceNotSecure: bool = False) -> str | None:
        """
        Why the session of this request's cookie has ended, so that the handler
        can tell its user: one of the constants of L{txsessions.lifetime}.

        @param forceNotSecure: As for L{getSession}.
        @return: C{None} if it lives, if there never was one, or if its end is no
            longer remembered (an hour).
        """
        visit = self._look(forceNotSecure)
        if visit is None:
            return None
        visit.wasLookedAt = True
        return visit.endReason

    def render(self, resrc: Any) -> None:
        """
        See L{twisted.web.server.Request.render}.
        """
        if not getattr(resrc, "isActivity", True):
            self.isActivity = False
        waiting = self._touchInTime() if self._mayBeClose else None
        if waiting is None:
            super().render(resrc)
        else:
            waiting.addCallbacks(self._renderLater, self._notLoaded, callbackArgs=(resrc,))
            waiting.addErrback(self.goneWrong)

    def commitSession(self) -> Deferred[None]:
        """
        Save now what has changed in the sessions of this request, before more
        of a streamed response is written.

        @return: As L{ISession.commit<txsessions.interfaces.ISession.commit>}.
        """
        return gatherResults(self._commits(), consumeErrors=True).addCallbacks(
            lambda _: None, firstError
        )

    @property
    def session(self) -> Any:
        """
        The session that the handler has asked for; C{None} if it has not.
        """
        site = self._sessionSite()
        if site is None:
            return super().session
        audience = site.sessionCookie.audience(self.isSecure())
        visit = self._visits.get(audience)
        return None if visit is None else visit.session

    def processingFailed(self, reason: Failure) -> Failure:
        """
        See L{twisted.web.server.Request.processingFailed}.  A handler that
        failed because the store cannot answer made no mistake: the browser may
        try again.  Of what is still held back nothing is said.
        """
        gate = self._gate
        if gate is not None and gate.isFinishing:
            self._log.failure("A handler failed after it had finished its response.", reason)
            return reason
        if gate is not None:
            gate.drop()
        self._restoreHead()
        if isTemporary(reason) and not (self.startedWriting or self._disconnected):
            self._notSaved(reason)
            return reason
        return super().processingFailed(reason)

    def connectionLost(self, reason: Failure) -> None:
        """
        The client has gone.  What its handler has changed so far is saved, as
        far as that can be done.
        """
        if self._gate is not None:
            if self._gate.isHolding:
                self._stopProducer()
            self._gate.shut()
        for commit in self._commits(isClientGone=True):
            commit.addErrback(self._notSavedForNobody)
        self._leaveSessions()
        super().connectionLost(reason)

    def getTypeToCopy(self) -> bytes:
        """
        For L{twisted.web.distrib}: at the other end it is a stock request.
        """
        return b"twisted.web.server.Request"

    def _processNow(self) -> None:
        """
        Process the request as usual.
        """
        token = currentRequest.set(self)
        try:
            super().process()
        finally:
            currentRequest.reset(token)

    def _processLater(self, result: object) -> None:
        """
        Process the request, now that its sessions are there, or could not be loaded.
        """
        try:
            if isinstance(result, Failure):
                self._notLoaded(result)
            elif not self._disconnected:
                self._processNow()
        except BaseException:
            self.goneWrong(Failure())

    def _renderLater(self, result: object, resrc: Any) -> None:
        """
        Render, now that the store knows of the touch.
        """
        if self._disconnected:
            return
        token = currentRequest.set(self)
        try:
            super().render(resrc)
        except Exception:
            self.processingFailed(Failure())
        finally:
            currentRequest.reset(token)

    def _look(self, forceNotSecure: bool) -> Visit | None:
        """
        What this request has to do with the session of one audience, which the
        handler is looking at now; from now on its response waits.  C{None} on a
        site that is not ours.
        """
        site = self._broughtBy
        if site is None:
            site = self._sessionSite()
            if site is None:
                return None
        audience = INSECURE
        if not forceNotSecure:
            audience = site.sessionCookie.audience(self.isSecure())
        visit = self._visits.get(audience)
        if visit is None:
            visit = self._lateVisit(site, audience)
        if not (self._isGuarded or self.finished or getattr(self, "channel", None) is None):
            self._isGuarded = True
        return visit

    def _pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed.

        @return: What to wait for, if anything.
        """
        commits = self._commits()
        if not commits:
            return None
        for commit in commits:
            commit.addErrback(_ended)
        if len(commits) == 1:
            return commits[0]
        return gatherResults(commits, consumeErrors=True).addCallbacks(lambda _: None, firstError)

    def _settle(self) -> None:
        """
        The headers leave: say in them what has become of the sessions.
        """
        for visit in self._visits.values():
            if visit.wasLookedAt:
                visit.settle(self)
                keepPrivate(self.responseHeaders)

    def _notLoaded(self, failure: Failure) -> None:
        """
        The store cannot answer: the handler does not run.
        """
        if self._disconnected:
            return
        self.site = getattr(self.channel, "site", None)
        self.setHeader(b"Server", server.version)
        self.setHeader(b"Date", http.datetimeToString())
        self._answerFailure(failure)

    def _notSaved(self, failure: Failure) -> None:
        """
        What the handler changed could not be saved: what it has said is not
        true.
        """
        self._restoreHead()
        for visit in self._visits.values():
            visit.refuse(self)
        if self.startedWriting:
            self._log.error(
                "Could not save a session while the response was leaving; "
                "the connection is cut off: {error}",
                error=failure.value,
            )
            self._shut()
            self._cutOff()
        else:
            self._answerFailure(failure)

    def _notSavedForNobody(self, failure: Failure) -> None:
        """
        What the handler changed could not be saved, and the client has gone.
        """
        if not failure.check(SessionNotFound):
            self._log.error("Could not save a session: {error}", error=failure.value)


class Request(SessionRequestMixin, server.Request):  # type: ignore[misc]  # the mixin's base is for types only
    """
    A L{twisted.web.server.Request} whose sessions are kept in a store.  See
    L{SessionRequestMixin}.
    """


def _ended(failure: Failure) -> None:
    """
    A session that has ended in the meantime needs no saving: its request gets
    its normal answer.
    """
    failure.trap(SessionNotFound)
