"""
The sessions that a request brings, and those that its handler asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.python.failure import Failure
from twisted.web import server

from ..cookie import cookieValues
from ..errors import SessionNotLoaded
from ..session import Session
from .activity import isPrefetch, isUnder
from .lookup import SUPERSEDED, Ended
from .visit import Visit

if TYPE_CHECKING:
    _Request = server.Request
else:
    _Request = object

NO_VISITS: Final[Mapping[bytes, Visit]] = {}


class VisitingRequest(_Request):
    """
    The side of a request that has sessions.

    @ivar isActivity: Whether the request uses its sessions, which begins their
        idle time-out anew.  A handler, or a class of requests, may set it; a
        resource may have an attribute of that name.  C{None}: it does, unless a
        browser fetches a page in advance, or the path is one of the site's
        C{passivePaths}.
    @ivar _visits: What the request has to do with sessions, by audience.
    @ivar _mayBeClose: Whether another process may end the sessions that were
        brought, unless it is told of a touch.
    @ivar _broughtBy: The site that has looked for the sessions of the request's
        cookies; C{None} if none has.
    """

    __slots__ = ()

    isActivity: bool | None = None
    _visits: Mapping[bytes, Visit]
    _broughtBy: Any
    _mayBeClose: bool

    def isSecure(self) -> bool:
        """
        See L{twisted.web.http.Request.isSecure}.  A channel is asked once, and not
        for each of its requests: it has one transport all its life.
        """
        channel = getattr(self, "channel", None)
        if channel is None or self._forceSSL:
            return super().isSecure()
        isSecure: bool | None = getattr(channel, "_isSecureForSessions", None)
        if isSecure is None:
            isSecure = channel._isSecureForSessions = super().isSecure()
        return isSecure

    def countsAsActivity(self) -> bool:
        """
        Whether it uses its sessions.
        """
        isActivity = self.isActivity
        if isActivity is None:
            paths = getattr(self._broughtBy or self._sessionSite(), "passivePaths", ())
            return not (isPrefetch(self.requestHeaders) or (paths and isUnder(self.path, paths)))
        return isActivity

    def _touchInTime(self) -> Deferred[Any] | None:
        """
        Touch those of the sessions whose deadline is close: what is touched in
        the store only when the handler is done might be ended by another
        process in the meantime.

        @return: What to wait for, if anything.
        """
        waiting: list[Deferred[None]] = []
        for visit in self._visits.values():
            if visit.isClose() and self.countsAsActivity():
                waiting.append(visit.touchInTime())
        if not waiting:
            return None
        return gatherResults(waiting, consumeErrors=True).addErrback(firstError)

    def _bringSessions(self, site: Any, headers: Sequence[bytes]) -> Deferred[Any] | None:
        """
        Look for the sessions of the request's cookies.

        @return: What to wait for, if anything.
        """
        lookup, waiting = site.sessionLookup, []
        visits = self._visits = {**self._visits}
        for audience, values in site.sessionCookie.tokensIn(headers):
            visit = visits[audience] = Visit(site, audience, hasCookie=True)
            found = lookup.find(values, audience, visit)
            if isinstance(found, Session):
                visit.brought = found
                found.isTokenUnseen = False
            elif isinstance(found, Deferred):
                waiting.append(found.addCallback(self._brought, visit))
            else:
                self._brought(found, visit)
            self._mayBeClose = not lookup.manager.isOwner
        if len(waiting) < 2:
            return waiting[0] if waiting else None
        return gatherResults(waiting, consumeErrors=True).addErrback(firstError)

    def _brought(self, session: Any, visit: Visit) -> None:
        """
        Note the session that a cookie opened.
        """
        if session is SUPERSEDED:
            visit.isSuperseded = True
        elif type(session) is Ended:
            visit.endReason = session.reason
        elif session is not None and not self._disconnected:
            visit.brought = session
            if isinstance(session, Session):
                session.isTokenUnseen = False

    def _lateVisit(self, site: Any, audience: bytes) -> Visit:
        """
        A visit without a session cookie; or of a request that was never
        processed, with a cookie that nobody has looked at.
        """
        values = () if self._broughtBy is not None else self._cookieValues(site, audience)
        visit = Visit(site, audience, hasCookie=bool(values))
        if values:
            found = site.sessionLookup.find(values, audience, visit)
            if isinstance(found, Deferred):
                found.addErrback(lambda failure: None)
                raise SessionNotLoaded(
                    "this request did not pass through process(), which loads sessions from "
                    "a store that answers later"
                )
            self._brought(found, visit)
        if self._channel() is None:
            visit.leave(self)
        self._visits = {**self._visits, audience: visit}
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
        if self._broughtBy is not None:
            return self._broughtBy
        for site in (self.site, getattr(self._channel(), "site", None)):
            if hasattr(site, "sessionLookup"):
                return site
        return None

    def _commits(self, isClientGone: bool = False) -> list[Deferred[None]]:
        """
        Begin to save what has changed.

        @param isClientGone: Whether nobody will ever get the token of a session
            that is not stored yet, so that it need not be.
        """
        commits: list[Deferred[None]] = []
        for visit in self._visits.values():
            for session in visit.sessions:
                try:
                    if session.isSettled() or (isClientGone and visit.isUnheardOf(session)):
                        continue
                    commit = session.pendingCommit()
                except Exception:
                    commit = fail()
                if commit is not None:
                    commits.append(commit)
        return commits

    def _leaveSessions(self) -> None:
        """
        The request is done with its sessions.
        """
        for visit in self._visits.values():
            visit.leave(self)


def firstError(failure: Failure) -> Failure:
    """
    The error within a C{FirstError}.
    """
    return getattr(failure.value, "subFailure", failure)
