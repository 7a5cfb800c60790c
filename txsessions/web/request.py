"""
The request: its sessions are loaded before its handler runs, and no byte of its
response leaves before what it changed in them is saved.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.error import ConnectionAborted
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server

from ..cookie import cookieValues
from ..errors import SessionError, SessionNotFound, SessionNotLoaded, StoreUnavailable, UnknownKey
from ..session import currentRequest
from ..token import INSECURE, SECURE
from .caching import keepPrivate
from .gate import Gate
from .head import Head
from .lookup import SUPERSEDED
from .visit import Visit

if TYPE_CHECKING:
    from zope.interface.interface import InterfaceClass

    _Request = server.Request
else:
    _Request = object

RETRY_AFTER: Final = b"5"
"""
When a browser may try again after a 503, in seconds: a store that was restarted
answers by then.
"""


class SessionRequestMixin(_Request):
    """
    Makes any L{twisted.web.server.Request} load its sessions before it is
    processed, and save them before its response leaves.  Mix it in in front of
    the request's class.

    @ivar _visits: What the request has to do with sessions, by audience; made
        when it has.
    @ivar _gate: Holds the response back; made when a session was asked for.
    @ivar _head: What the handler has said of the response, while that is held
        back.
    @ivar _areBrought: Whether the sessions of the request's cookies have been
        looked for.
    @ivar _isRefused: Whether the handler's response was given up, because what
        it says is not true.
    """

    _log = Logger()
    _visits: dict[bytes, Visit] | None = None
    _gate: Gate | None = None
    _head: Head | None = None
    _areBrought = False
    _isRefused = False

    def process(self) -> None:
        """
        Load the sessions that the request's cookies open, then process it as
        usual.  A request without a session cookie is processed at once.
        """
        site: Any = getattr(self.channel, "site", None)
        if not hasattr(site, "sessionLookup"):
            super().process()
            return
        self._areBrought = True
        headers = self.requestHeaders.getRawHeaders(b"cookie")
        try:
            waiting = None if headers is None else self._bringSessions(site, headers)
        except Exception:
            self._notLoaded(Failure())
            return
        if waiting is None:
            self._processNow()
        else:
            waiting.addCallbacks(self._processLater, self._notLoaded)
            waiting.addErrback(self._goneWrong)

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
        visit = self._visit(forceNotSecure)
        if visit is None:
            return super().getSession(sessionInterface, forceNotSecure)
        session = visit.get()
        return session if sessionInterface is None else session.getComponent(sessionInterface)

    def peekSession(self, forceNotSecure: bool = False) -> Any:
        """
        The session of this request, touched; C{None} if there is none.  Creates
        nothing.

        @param forceNotSecure: As for L{getSession}.
        """
        visit = self._visit(forceNotSecure)
        return None if visit is None else visit.peek()

    def commitSession(self) -> Deferred[None]:
        """
        Save now what has changed in the sessions of this request, before more
        of a streamed response is written.

        @return: As L{ISession.commit<txsessions.interfaces.ISession.commit>}.
        """
        return gatherResults(self._commits(), consumeErrors=True).addCallbacks(
            lambda _: None, _firstError
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
        visit = (self._visits or {}).get(audience)
        return None if visit is None else visit.session

    def write(self, data: bytes) -> None:
        """
        See L{twisted.web.http.Request.write}.
        """
        gate = self._gate
        if gate is None:
            super().write(data)
        elif gate.isFinishing:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        else:
            gate.write(data)

    def finish(self) -> None:
        """
        See L{twisted.web.http.Request.finish}.
        """
        gate = self._gate
        if self._isRefused:
            return
        if gate is None or self._disconnected:
            self._leaveSessions()
            super().finish()
        elif gate.isFinishing:
            warnings.warn("Warning! request.finish called twice.", stacklevel=2)
        else:
            gate.finish()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{twisted.web.http.Request.registerProducer}.
        """
        gate = self._gate
        if gate is not None and gate.isShut:
            producer.stopProducing()
            return
        if gate is None or not gate.isHolding or self.producer is not None:
            super().registerProducer(producer, streaming)
            return
        self.producer = producer
        self.streamingProducer = streaming
        if streaming:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        See L{twisted.web.http.Request.unregisterProducer}.
        """
        gate = self._gate
        if gate is not None and (gate.isHolding or gate.isShut):
            self.producer = None
        else:
            super().unregisterProducer()

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
        if _isTemporary(reason) and not (self.startedWriting or self._disconnected):
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

    def getStateToCopyFor(self, issuer: Any) -> dict[str, Any]:
        """
        For L{twisted.web.distrib}: its sessions stay here.
        """
        state = super().getStateToCopyFor(issuer)
        for name in ("_visits", "_gate", "_head", "_areBrought", "_isRefused"):
            state.pop(name, None)
        return state

    # What follows is for the gate.

    def passWrite(self, data: bytes) -> None:
        """
        Really write.  Where no body is to follow (RFC 9110, 6.4.1) the headers
        have said all.
        """
        self._restoreHead()
        if self.startedWriting and (self.method == b"HEAD" or self.code in http.NO_BODY_CODES):
            return
        self._settle()
        super().write(data)

    def passFinish(self) -> None:
        """
        Really finish.
        """
        self._restoreHead()
        self._settle()
        self._gate = None
        self._leaveSessions()
        super().finish()

    def holdBack(self) -> None:
        """
        The handler may say nothing more of the headers, just as if they had
        left; and its producer rests.
        """
        if not self.startedWriting:
            self._head = Head(self)
            self.startedWriting = 1
        if self.producer is not None:
            self.channel.unregisterProducer()
            if self.streamingProducer:
                self.producer.pauseProducing()

    def resumeProducer(self) -> None:
        """
        Let the producer go on.
        """
        if self.producer is not None:
            self.channel.registerProducer(self.producer, self.streamingProducer)
            if self.streamingProducer:
                self.producer.resumeProducing()

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
        Process the request, now that its sessions are there.
        """
        if not self._disconnected:
            self._processNow()

    def _bringSessions(self, site: Any, headers: Sequence[bytes]) -> Deferred[Any] | None:
        """
        Look for the sessions of the request's cookies.

        @return: What to wait for, if anything.
        """
        waiting = []
        for audience in (INSECURE, SECURE):
            values = cookieValues(headers, site.sessionCookie.nameFor(audience))
            if values:
                found = self._bring(site, audience, values)
                if found is not None:
                    waiting.append(found)
        if len(waiting) < 2:
            return waiting[0] if waiting else None
        return gatherResults(waiting, consumeErrors=True).addErrback(_firstError)

    def _bring(self, site: Any, audience: bytes, values: list[bytes]) -> Deferred[Any] | None:
        """
        Look for the session of one audience.

        @return: What to wait for, if anything.
        """
        visit = Visit(self, site, audience, hasCookie=True)
        if self._visits is None:
            self._visits = {}
        self._visits[audience] = visit
        found = site.sessionLookup.find(values, audience)
        if isinstance(found, Deferred):
            return found.addCallback(self._brought, visit)
        self._brought(found, visit)
        return None

    def _brought(self, session: Any, visit: Visit) -> None:
        """
        Note the session that a cookie opened.
        """
        if session is SUPERSEDED:
            visit.isSuperseded = True
        elif session is not None and not self._disconnected:
            visit.bring(session)

    def _visit(self, forceNotSecure: bool) -> Visit | None:
        """
        What this request has to do with the session of one audience, which the
        handler is looking at now; C{None} on a site that is not ours.
        """
        site = self._sessionSite()
        if site is None:
            return None
        audience = site.sessionCookie.audience(self.isSecure())
        if forceNotSecure:
            audience = INSECURE
        visit = (self._visits or {}).get(audience)
        if visit is None:
            visit = self._lateVisit(site, audience)
        if self._gate is None and self._channel() is not None and not self.finished:
            self._gate = Gate(self, self._pendingCommit, self._notSaved)
        return visit

    def _lateVisit(self, site: Any, audience: bytes) -> Visit:
        """
        A visit without a session cookie; or of a request that was never
        processed, with a cookie that nobody has looked at.
        """
        if self._visits is None:
            self._visits = {}
        values = () if self._areBrought else self._cookieValues(site, audience)
        visit = self._visits[audience] = Visit(self, site, audience, hasCookie=bool(values))
        if values:
            found = site.sessionLookup.find(values, audience)
            if isinstance(found, Deferred):
                found.addErrback(lambda failure: None)
                raise SessionNotLoaded(
                    "this request did not pass through process(), which loads sessions from "
                    "a store that answers later"
                )
            self._brought(found, visit)
        return visit

    def _cookieValues(self, site: Any, audience: bytes) -> Sequence[bytes]:
        """
        The tokens in the cookies of a request that was never processed: in its
        headers, or where a test has put them.
        """
        name = site.sessionCookie.nameFor(audience, getattr(self, "sitepath", ()))
        headers = self.requestHeaders.getRawHeaders(b"cookie")
        if headers is not None:
            return cookieValues(headers, name)
        value = self.getCookie(name)
        return () if value is None else (value,)

    def _channel(self) -> Any:
        """
        The channel; C{None} when the request is finished or its client gone.
        """
        return getattr(self, "channel", None)

    def _sessionSite(self) -> Any:
        """
        The site that keeps the sessions of this request: the one through which
        it came in, also when another one is nested in that as a resource.
        """
        outer = getattr(self._channel(), "site", None)
        for site in (outer, self.site) if self._areBrought else (self.site, outer):
            if hasattr(site, "sessionLookup"):
                return site
        return None

    def _commits(self, isClientGone: bool = False) -> list[Deferred[None]]:
        """
        Begin to save what has changed.
        """
        commits = []
        for visit in (self._visits or {}).values():
            for session in visit.toCommit(isClientGone):
                try:
                    commit = session.pendingCommit()
                except Exception:
                    commit = fail()
                if commit is not None:
                    commits.append(commit)
        return commits

    def _pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed.

        @return: What to wait for, if anything.
        """
        commits = self._commits()
        if len(commits) < 2:
            return commits[0].addErrback(_ended) if commits else None
        for commit in commits:
            commit.addErrback(_ended)
        return gatherResults(commits, consumeErrors=True).addCallbacks(lambda _: None, _firstError)

    def _settle(self) -> None:
        """
        The headers leave, if they have not yet: say in them what has become of
        the sessions.
        """
        if self.startedWriting:
            return
        for visit in (self._visits or {}).values():
            if visit.wasLookedAt:
                visit.settle()
                keepPrivate(self.responseHeaders)

    def _leaveSessions(self) -> None:
        """
        The request is done with its sessions.
        """
        for visit in (self._visits or {}).values():
            visit.leave()

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
        for visit in (self._visits or {}).values():
            visit.refuse()
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

    def _answerFailure(self, failure: Failure) -> None:
        """
        Answer with an error, and with nothing of what the handler has said.
        """
        if failure.check(SessionError):
            self._log.error("A session could not be used: {error}", error=failure.value)
        else:
            self._log.failure("A session could not be used.", failure)
        self._shut()
        self._clearResponse()
        if _isTemporary(failure):
            self.setResponseCode(http.SERVICE_UNAVAILABLE)
            self.setHeader(b"Retry-After", RETRY_AFTER)
            body = b"The service is unavailable for a moment. Please try again.\n"
        else:
            self.setResponseCode(http.INTERNAL_SERVER_ERROR)
            body = b"The request could not be processed.\n"
        self.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        self.setHeader(b"Cache-Control", b"no-store")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        super().write(body)
        super().finish()

    def _shut(self) -> None:
        """
        Let nothing of the handler's response pass any more.
        """
        self._isRefused = True
        if self._gate is None:
            self._gate = Gate(self, self._pendingCommit, self._notSaved)
        self._gate.shut()
        self.channel.unregisterProducer()
        self._stopProducer()
        self._leaveSessions()

    def _stopProducer(self) -> None:
        """
        Let the producer produce nothing any more.
        """
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()

    def _cutOff(self) -> None:
        """
        End the connection so that the client sees that the response is not
        whole.
        """
        transport: Any = self.transport
        isDelimited = self.chunked or self.responseHeaders.hasHeader(b"content-length")
        if hasattr(self.channel, "abortConnection"):
            # A stream of HTTP/2: to lose it would end the response properly.
            self.channel.abortConnection()
            self.connectionLost(Failure(ConnectionAborted()))
        elif isDelimited:
            self.loseConnection()
        else:
            transport.abortConnection()

    def _restoreHead(self) -> None:
        """
        Make the headers what they were when the response was held back.
        """
        if self._head is not None:
            head, self._head = self._head, None
            head.restore(self)
            self.startedWriting = 0

    def _clearResponse(self) -> None:
        """
        Take back what the handler has said.
        """
        for name, _ in list(self.responseHeaders.getAllRawHeaders()):
            if name.lower() not in (b"server", b"date", b"connection"):
                self.responseHeaders.removeHeader(name)
        self.cookies.clear()
        self.etag = None
        self.lastModified = None
        self._encoder = None
        self._inFakeHead = False

    def _notSavedForNobody(self, failure: Failure) -> None:
        """
        What the handler changed could not be saved, and the client has gone.
        """
        if not failure.check(SessionNotFound):
            self._log.error("Could not save a session: {error}", error=failure.value)

    def _goneWrong(self, failure: Failure) -> None:
        """
        The request failed in a way that nobody has thought of.
        """
        self._log.failure("A request failed.", failure)
        if not self._disconnected and not self.finished:
            self.loseConnection()


class Request(SessionRequestMixin, server.Request):  # type: ignore[misc]  # the mixin's base is for types only
    """
    A L{twisted.web.server.Request} whose sessions are kept in a store.  See
    L{SessionRequestMixin}.
    """


def _isTemporary(failure: Failure) -> bool:
    """
    Whether the same request may succeed in a while.
    """
    return failure.check(StoreUnavailable, UnknownKey) is not None


def _ended(failure: Failure) -> None:
    """
    A session that has ended in the meantime needs no saving: its request gets
    its normal answer.
    """
    failure.trap(SessionNotFound)


def _firstError(failure: Failure) -> Failure:
    """
    The error within a C{FirstError}.
    """
    return getattr(failure.value, "subFailure", failure)
