"""
What one request has to do with one session: which it brought, which it has, and
what its response tells the browser of it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled

from ..errors import CookieTooLate
from ..lifetime import deadline
from ..session import Session


class Visit:
    """
    One request and its session for one audience.

    @ivar _request: The request.
    @ivar _site: The site that keeps the sessions.
    @ivar _audience: For whom the session is.
    @ivar brought: The session that the request's cookie opened, or C{None}.
    @ivar session: The session that the handler has asked for, or C{None}.
    @ivar wasLookedAt: Whether the handler has asked.
    @ivar _hasCookie: Whether the browser sent a cookie of the name.
    @ivar _isNew: Whether C{session} began in this request.
    @ivar _line: The value of the C{Set-Cookie} header that stands among the
        request's for now, or C{None}.
    """

    __slots__ = (
        "_audience",
        "_hasCookie",
        "_isNew",
        "_line",
        "_request",
        "_site",
        "brought",
        "session",
        "wasLookedAt",
    )

    def __init__(self, request: Any, site: Any, audience: bytes, hasCookie: bool) -> None:
        self._request = request
        self._site = site
        self._audience = audience
        self._hasCookie = hasCookie
        self.brought: Any = None
        self.session: Any = None
        self.wasLookedAt = False
        self._isNew = False
        self._line: bytes | None = None

    def bring(self, session: Any) -> None:
        """
        The request's cookie opened this session.
        """
        self.brought = session
        self._hold(session)
        if isinstance(session, Session):
            session.isTokenUnseen = False

    def peek(self) -> Any:
        """
        The session, touched; C{None} if there is none.
        """
        self.wasLookedAt = True
        if self.session is None:
            self.session, self.brought = self.brought, None
        if self.session is not None and not _touched(self.session):
            self._leave(self.session)
            self.session = None
        return self.session

    def get(self) -> Any:
        """
        The session, touched; a new one if there is none.

        @raise CookieTooLate: The headers have left, so that the cookie of a new
            session could not reach the browser.
        """
        return self.peek() or self._begin()

    def pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed.  See L{Session.pendingCommit}.
        """
        session = self.session
        return session.pendingCommit() if isinstance(session, Session) else None

    def settle(self) -> None:
        """
        The headers leave now, and what has changed is saved: say in them what
        has become of the session.
        """
        if isinstance(self.session, Session):
            self._setLine(self._lineFor(self.session))

    def refuse(self) -> None:
        """
        What has changed could not be saved, and the browser is told so: let go
        of it.
        """
        self._setLine(None)
        session = self.session
        if not isinstance(session, Session) or session.endReason is not None:
            return
        if self._isNew and not session.isStored():
            session.expire()
        elif len(session.holders) == 1:
            session.forgetChanges()

    def leave(self) -> None:
        """
        The request is done.
        """
        for session in (self.session, self.brought):
            if session is not None:
                self._leave(session)
        self.brought = None

    def _begin(self) -> Any:
        """
        Begin a new session.
        """
        if self._request.startedWriting:
            raise CookieTooLate(
                "getSession() began a new session after the response's headers had left, so "
                "that its cookie could not be sent: call it before the first write()"
            )
        session = self._site.makeSession()
        if isinstance(session, Session):
            session.audience = self._audience
        self.session = session
        self._isNew = True
        self._hold(session)
        self._setLine(self._lineOf(session.uid))
        return session

    def _lineFor(self, session: Session) -> bytes | None:
        """
        What the browser is told of the session.
        """
        if session.endReason is not None:
            isOurs = self._hasCookie and session.ender is self._request
            return self._deletionLine() if isOurs else None
        if self._isNew:
            return self._lineOf(session.uid) if session.isStored() else None
        if session.isTokenUnseen and session.reworker in (None, self._request):
            session.reworker = self._request
            return self._lineOf(session.uid)
        return None

    def _lineOf(self, token: bytes) -> bytes:
        """
        The value of the header that gives the browser this token.
        """
        return self._site.sessionCookie.line(self._audience, self._name(), token)

    def _deletionLine(self) -> bytes:
        """
        The value of the header that makes the browser forget its token.
        """
        return self._site.sessionCookie.deletionLine(self._audience, self._name())

    def _name(self) -> bytes:
        """
        The name of the cookie.
        """
        sitePath = getattr(self._request, "sitepath", ())
        return self._site.sessionCookie.nameFor(self._audience, sitePath)

    def _setLine(self, line: bytes | None) -> None:
        """
        Let this, and nothing else, be what the response's headers say.
        """
        cookies = self._request.cookies
        if line == self._line:
            return
        if self._line in cookies:
            cookies.remove(self._line)
        if line is not None:
            cookies.append(line)
        self._line = line

    def _hold(self, session: Any) -> None:
        """
        The request uses this session from now on.
        """
        if isinstance(session, Session):
            session.holders[id(self._request)] = self._request
            self._site.sessions.keep(session)

    def _leave(self, session: Any) -> None:
        """
        The request uses this session no longer.
        """
        if isinstance(session, Session):
            session.holders.pop(id(self._request), None)
            if self._isNew:
                self._site.sessionManager.wakeBy(deadline(session))


def _touched(session: Any) -> bool:
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
