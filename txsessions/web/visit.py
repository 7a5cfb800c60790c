"""
What one request has to do with one session: which it brought, which it has, and
what its response tells the browser of it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.python.failure import Failure

from ..errors import CookieTooLate, SessionNotFound
from ..lifetime import MARGIN, lastCall
from ..session import Session
from .activity import isNavigation


class Visit:
    """
    One request and its session for one audience.  The request holds this, and
    says who it is when it asks for something: in a circle both would stay until
    the garbage collector comes.

    @ivar _site: The site that keeps the sessions.
    @ivar _audience: For whom the session is.
    @ivar brought: The session that the request's cookie opened and the handler
        has not asked for, or C{None}.
    @ivar isSuperseded: Whether the cookie's session has got another token.
    @ivar endReason: Why the cookie's session has ended, or C{None}.
    @ivar isStale: Whether the cookie is to be given out anew, by another key.
    @ivar session: The session that the handler has asked for, or C{None}.
    @ivar sessions: That one, if it is ours; and before it those of ours that it
        has asked for and that have ended since.
    @ivar wasLookedAt: Whether the handler has asked.
    @ivar _hasCookie: Whether the browser sent a cookie of the name.
    @ivar _isNew: Whether C{session} began in this request.
    @ivar _isOver: Whether the request is done.
    @ivar _line: The value of the C{Set-Cookie} header that stands among the
        request's for now, or C{None}.
    """

    __slots__ = (
        "__weakref__",
        "_audience",
        "_hasCookie",
        "_isNew",
        "_isOver",
        "_line",
        "_site",
        "brought",
        "endReason",
        "isStale",
        "isSuperseded",
        "session",
        "sessions",
        "wasLookedAt",
    )

    def __init__(self, site: Any, audience: bytes, hasCookie: bool) -> None:
        self._site = site
        self._audience = audience
        self._hasCookie = hasCookie
        self.brought: Any = None
        self.session: Any = None
        self.sessions: tuple[Session, ...] = ()
        self.endReason: str | None = None
        self._line: bytes | None = None
        self.isSuperseded = self.isStale = self.wasLookedAt = self._isNew = self._isOver = False

    def isClose(self) -> bool:
        """
        Whether another process may end the session soon, unless it is told of a
        touch.
        """
        session = self.brought or self.session
        if not isinstance(session, Session):
            return False
        now = self._site.sessionManager.clock.seconds()
        return not session.isInTime(now + MARGIN) and session.isStored() and now > lastCall(session)

    def touchInTime(self) -> Deferred[None]:
        """
        Touch the session, in the store as well.

        @return: A L{Deferred} that fires with L{None} when that is done, or when
            it has been ended a moment ago.
        """
        session = self.brought or self.session
        touching: Deferred[None] = session.saveTouch()
        return touching.addErrback(self._notTouched, session)

    def peek(self, request: Any) -> Any:
        """
        The session, touched; C{None} if there is none.
        """
        self.wasLookedAt = True
        session, isFirst = self.session, False
        if session is None:
            session, self.brought = self.brought, None
            if session is None:
                return None
            self._take(session, request)
            isFirst = True
        if not isinstance(session, Session):
            isAlive = touched(session)
        else:
            if session.endReason is None and request.countsAsActivity():
                session.touch()
            isAlive = session.endReason is None
        if not isAlive:
            self.endReason = getattr(session, "endReason", None)
            self.session = None
        elif isFirst and self._site.sessionManager.reworkInterval is not None:
            self._renewIfOld(session, request)
        return self.session

    def isUnheardOf(self, session: Session) -> bool:
        """
        Whether nobody knows of the session but this request.
        """
        return self._isNew and session is self.session and not session.isStored()

    def settle(self, request: Any) -> None:
        """
        The headers leave now, and what has changed is saved: say in them what
        has become of the session.
        """
        session, line = self.session, self._line
        if isinstance(session, Session):
            isUsual = not (self._isNew or self.isStale or session.isTokenUnseen)
            isTold = isUsual and session.endReason is None
            line = None if isTold else self._lineFor(session, request)
        if (
            line is None
            and self.sessions != (session,)
            and any(self._isOurs(former, request) for former in self._former())
        ):
            line = self._deletionLine(request)
        if line != self._line:
            self._setLine(line, request)

    def refuse(self, request: Any) -> None:
        """
        What has changed could not be saved, and the browser is told so: let go
        of it.
        """
        self._setLine(None, request)
        for session in self.sessions:
            if session.endReason is None:
                if self.isUnheardOf(session):
                    session.expire()
                elif len(session.holders) == 1:
                    session.forgetChanges()

    def leave(self, request: Any) -> None:
        """
        The request is done.
        """
        self._isOver = True
        for session in self.sessions:
            session.release(request)
            if self.isUnheardOf(session) and not session.isWorthStoring():
                self._site.sessions.letGo(session)

    def begin(self, request: Any) -> Any:
        """
        Begin a new session, because there is none.

        @raise CookieTooLate: The headers have left, so that the cookie of a new
            session could not reach the browser.
        """
        if request.startedWriting:
            raise CookieTooLate(
                "getSession() began a new session after the response's headers had left, so "
                "that its cookie could not be sent: call it before the first write()"
            )
        session = self._site.makeSession()
        session.audience = self._audience
        self._isNew = True
        if isinstance(session, Session):
            session.isNew = not self._isOver
            if self._isLate(request):
                session.isLate = True
        self._take(session, request)
        try:
            line = self._lineOf(session.uid, request)
        except ValueError:
            session.expire()
            raise
        if not getattr(session, "isLate", False):
            self._setLine(line, request)
        return session

    def _renewIfOld(self, session: Any, request: Any) -> None:
        """
        Give a session another token, if it is time.  Only where a browser loads
        a page: what belongs to the page is asked for with the new one then.
        """
        if isinstance(session, Session) and isNavigation(request.requestHeaders):
            session.renewIfOld()

    def _isLate(self, request: Any) -> bool:
        """
        Whether the browser may have, or be about to get, another token than
        the one that this request has brought, or might bring it.
        """
        return self.isSuperseded or any(
            not self._isOurs(former, request) for former in self._former()
        )

    def _lineFor(self, session: Session, request: Any) -> bytes | None:
        """
        What the browser is told of the session.
        """
        if session.endReason is not None:
            return self._deletionLine(request) if self._isOurs(session, request) else None
        if self._isNew:
            return self._lineOf(session.uid or b"", request) if session.isStored() else None
        if session.isTokenUnseen:
            if session.reworker in (None, request):
                session.reworker = request
                return self._lineOf(session.uid or b"", request)
        elif self.isStale:
            return self._lineOf(session.uid or b"", request)
        return None

    def _isOurs(self, session: Session, request: Any) -> bool:
        """
        Whether the browser holds the token of this session, which has ended,
        and this is the response to tell it so.
        """
        return self._hasCookie and session.ender is request

    def _lineOf(self, token: bytes, request: Any) -> bytes:
        """
        The value of the header that gives the browser this token.
        """
        value = self._site.sessionManager.tokens.seal(token, self._audience)
        return self._site.sessionCookie.line(self._audience, self._name(request), value)

    def _deletionLine(self, request: Any) -> bytes:
        """
        The value of the header that makes the browser forget its token.
        """
        return self._site.sessionCookie.deletionLine(self._audience, self._name(request))

    def _name(self, request: Any) -> bytes:
        """
        The name of the cookie.
        """
        sitePath = getattr(request, "sitepath", ())
        return self._site.sessionCookie.nameFor(self._audience, sitePath)

    def _setLine(self, line: bytes | None, request: Any) -> None:
        """
        Let this, and nothing else, be what the response's headers say.
        """
        cookies = request.cookies
        if self._line in cookies:
            cookies.remove(self._line)
        if line is not None:
            cookies.append(line)
        self._line = line

    def _former(self) -> tuple[Session, ...]:
        """
        Those of our sessions that the handler has asked for and that have ended
        since.
        """
        sessions = self.sessions
        return sessions[:-1] if sessions and sessions[-1] is self.session else sessions

    def _notTouched(self, failure: Failure, session: Session) -> None:
        """
        It has been ended a moment ago.
        """
        failure.trap(SessionNotFound)
        if self.brought is session:
            self.brought, self.endReason = None, session.endReason

    def _take(self, session: Any, request: Any) -> None:
        """
        The request uses this session from now on, until it is done.
        """
        self.session = session
        if isinstance(session, Session):
            self.sessions += (session,)
            if session.endReason is None and not self._isOver:
                session.hold(request)
                if session.isLetGo:
                    self._site.sessions.keep(session)


def touched(session: Any) -> bool:
    """
    Touch a session.

    @return: Whether it is alive.
    """
    if isinstance(session, Session):
        if session.endReason is None:
            session.touch()
        return session.endReason is None
    try:
        session.touch()
    except (AlreadyCalled, AlreadyCancelled):
        return False
    return True
