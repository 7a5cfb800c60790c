"""
The site: L{twisted.web.server.Site} whose sessions are kept in a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server

from .. import lifetime
from ..cookie import SessionCookie
from ..duties import Duties
from ..errors import SessionError, SessionNotFound
from ..given import given
from ..interfaces import ISessionStore
from ..keeper import MAXIMUM_COLLISIONS, REPEATED
from ..livesession import RETRY
from ..manager import SessionManager
from ..record import Record
from ..session import Session
from ..storedsession import StoredSession
from ..stores.memory import MemoryStore
from ..token import sidOf
from .live import LiveSessions
from .lookup import SessionLookup
from .missed import Missed
from .overdue import Overdue
from .request import Request, SessionRequestMixin
from .visit import touched

if TYPE_CHECKING:
    _Site = server.Site
else:
    _Site = object


class SessionSiteMixin(_Site):
    """
    Makes the sessions of any L{twisted.web.server.Site} persistent.  Mix it in
    in front of the site's class.

    @ivar sessionFactory: Called C{sessionFactory(site, uid)}; makes the live
        sessions.  May be set on the class or the instance.
    @ivar sessionStore: Where sessions are kept: anything that adapts to
        L{ISessionStore}.  C{None}: in memory, as in stock Twisted.
    @ivar sessionCookie: The policy of the cookies.
    @ivar storeEmptySessions: Whether a session is stored that has nothing in
        it.  With C{False}, visitors who only look cost the store nothing, and
        get no cookie.
    @ivar passivePaths: Paths, as L{bytes}, at which and under which requests do
        not count as using their session: what a page polls by itself.
    @ivar sessions: The live sessions of this process, by C{uid}.
    @ivar liveSessions: The same, for what looks at them at each request.
    @ivar sessionLookup: Finds the session of a request.
    """

    sessionFactory: Any = Session
    requestFactory: Any = Request
    sessionStore: ISessionStore | None = None
    sessionCookie = SessionCookie()
    storeEmptySessions = True
    passivePaths: Sequence[bytes] = ()

    _log = Logger()
    _sessionManager: SessionManager | None = None
    _sessionExpiry: Duties | None = None
    _sessionsOverdue: Overdue | None = None
    _sessionsMissed: Missed | None = None
    _shutdown: Any = None

    def __init__(
        self, *args: Any, sessionStore: ISessionStore | None = None, **kwargs: Any
    ) -> None:
        """
        @param args: For the site's class, and so are C{kwargs}.
        @param sessionStore: Where sessions are kept.
        """
        super().__init__(*args, **kwargs)
        if sessionStore is not None:
            self.sessionStore = given(ISessionStore, sessionStore)
        self.sessionLookup = SessionLookup(self, type(self)._mkuid is not server.Site._mkuid)
        self._checkRequestFactory()

    @property
    def sessions(self) -> Any:  # type: ignore[override]  # stock has an attribute
        """
        The live sessions of this process.  What is assigned is taken over.
        """
        return self.liveSessions

    @sessions.setter
    def sessions(self, sessions: Mapping[bytes, Any]) -> None:
        self.liveSessions = LiveSessions(self._gone)
        self.liveSessions.update(sessions)

    @property
    def sessionManager(self) -> SessionManager:
        """
        The manager.  Set one with the options that you want, before the first
        request; otherwise it is made when it is first asked for, so that
        C{reactor} and C{sessionStore} may be set until then.
        """
        manager = self._sessionManager
        if manager is None:
            if self.sessionStore is None:
                self.sessionStore = MemoryStore()
            manager = self.sessionManager = SessionManager(self.sessionStore, self.reactor)
        return manager

    @sessionManager.setter
    def sessionManager(self, manager: SessionManager) -> None:
        if self._sessionManager is not None:
            raise SessionError("the site has a manager already: set another one before it is used")
        self._sessionManager = manager
        if manager.tokens.areOfOwnForm:
            self.sessionLookup = SessionLookup(self, acceptsAnyForm=True)
        manager.join(self)

    @property
    def sessionExpiry(self) -> Duties:
        """
        What ends live sessions at their deadline.
        """
        if self._sessionExpiry is None:
            self._sessionExpiry = Duties(self.sessionManager.clock, self._deadlineOf, self._due)
        return self._sessionExpiry

    @property
    def sessionsOverdue(self) -> Overdue:
        """
        What has the store end those of them that are stored.
        """
        if self._sessionsOverdue is None:
            manager = self.sessionManager
            self._sessionsOverdue = Overdue(manager.clock, self._live, manager.sweep, self.recheck)
        return self._sessionsOverdue

    @property
    def sessionsMissed(self) -> Missed:
        """
        What asks the store about those of them that may have ended elsewhere.
        """
        if self._sessionsMissed is None:
            clock = self.sessionManager.clock
            self._sessionsMissed = Missed(clock, self._live, self.recheck)
        return self._sessionsMissed

    def makeSession(self) -> Any:
        """
        Begin a new session.  It is stored at its first commit.
        """
        uid = self.newToken()
        session = self.sessions[uid] = self.sessionFactory(self, uid)
        self._setTimeouts(session)
        session.startCheckingExpiration()
        return session

    def _setTimeouts(self, session: Any) -> None:
        """
        Let a session live as long as the manager says, unless its class says
        something, or its C{sessionFactory} has.
        """
        for name in ("sessionTimeout", "absoluteTimeout"):
            timeout = getattr(self.sessionManager, name)
            if timeout is not None and not _saysItself(session, name):
                setattr(session, name, timeout)

    def newToken(self) -> bytes:
        """
        A token that no live session has.

        @raise SessionError: The source of randomness repeats itself.
        """
        tokens = self.sessionManager.tokens
        make = tokens.new if tokens.areOfOwnForm else self._mkuid
        for _ in range(MAXIMUM_COLLISIONS + 1):
            uid = make()
            if self.sessions.bySid(sidOf(uid)) is None and uid not in self.sessions:
                return uid
        raise SessionError(REPEATED)

    def getSession(self, uid: bytes) -> Any:
        """
        The live session of a token, touched.

        @raise KeyError: There is none.
        """
        session = self.sessions[uid]
        if not touched(session):
            raise KeyError("no live session has this uid")
        return session

    def startFactory(self) -> None:
        """
        Begin to serve: start what ends sessions.
        """
        self._checkRequestFactory()
        super().startFactory()
        self.sessionExpiry.start()
        self.sessionsMissed.start()
        self.sessionManager.start()
        if self._shutdown is None and IReactorCore.providedBy(self.reactor):
            self._shutdown = self.reactor.addSystemEventTrigger(
                "before", "shutdown", self._shuttingDown
            )

    def stopFactory(self) -> None:
        """
        Stop serving, and leave no timer behind.
        """
        super().stopFactory()
        if self._shutdown is not None:
            reactor: Any = self.reactor
            reactor.removeSystemEventTrigger(self._shutdown)
            self._shutdown = None
        self.stopSessions().addErrback(self._notStopped)

    def stopSessions(self) -> Deferred[None]:
        """
        Store what is still to be stored, and let go of the store.

        @return: A L{Deferred} that fires with L{None} when that is done.
        """
        self.sessionExpiry.stop()
        self.sessionsOverdue.stop()
        self.sessionsMissed.stop()
        saved = [session.settleTouch() for session in self.sessions.all()]
        return gatherResults(saved).addCallback(lambda _: self.sessionManager.stop())

    def subscribe(self, observer: Any, *kinds: Any, name: str | None = None) -> None:
        """
        Tell an observer of what happens to the sessions.  See
        L{SessionManager.subscribe}.
        """
        self.sessionManager.subscribe(observer, *kinds, name=name)

    def unsubscribe(self, observer: Any) -> None:
        """
        Tell an observer of nothing more.
        """
        self.sessionManager.unsubscribe(observer)

    def adoptRecord(self, uid: bytes, record: Record, doubts: int | None = None) -> Any:
        """
        The live session of a record, brought up to date with it, or made.

        @param uid: The token that opens it.
        @param doubts: How many the live session had when the record began to be
            loaded.
        @return: The session; C{None} if the C{sessionFactory} makes none that
            can be kept in a store.
        """
        session = self.liveSessions.bySid(record.sid)
        if session is not None and not session.isStored():
            # One that is not stored yet got the token of one that is.
            session.renewToken()
            session = None
        if session is not None:
            session.refresh(record, doubts)
            session.openedBy(uid, record.verifier)
            return session
        session = self.sessionFactory(self, uid)
        if not isinstance(session, Session):
            return None
        session.restore(record)
        session.openedBy(uid, record.verifier)
        self.sessions[uid] = session
        session.watch()
        return session

    def forgetSession(self, session: Session) -> None:
        """
        A session has ended.
        """
        self.sessions.forget(session)

    def keepSession(self, session: Session) -> None:
        """
        Something was put on a session that is in this process only.
        """
        if self.sessions.bySid(session.sid) is session:
            self.sessions.keep(session)

    def sessionDue(self, session: Any) -> None:
        """
        The deadline of a stored session has come up in this process: end what
        has expired in the store; and look whether others touched it.
        """
        self.sessionsOverdue.add(session)

    def recheck(self, session: Any) -> Deferred[bool]:
        """
        Ask the store whether a live session, which this process has not ended,
        is still one.

        @return: A L{Deferred} that fires with whether that is known now.  If
            not, and its deadline has passed, the store will be asked again.
        """
        doubts = session.doubts

        def loaded(record: Record | None) -> bool:
            if record is None:
                session.lost(lifetime.REVOKED)
            else:
                session.refresh(record, doubts)
                self.sessionExpiry.add(
                    session.sid,
                    max(lifetime.deadline(session), self.sessionManager.clock.seconds() + 1),
                )
            return True

        def failed(failure: Failure) -> bool:
            if failure.check(SessionNotFound):
                session.lost(getattr(failure.value, "reason", lifetime.REVOKED))
                return True
            again = self.sessionManager.clock.seconds() + RETRY
            self.sessionExpiry.add(session.sid, again)
            return False

        return self.sessionManager.store.loadSession(session.sid).addCallbacks(loaded, failed)

    def sessionEnded(self, sid: str, reason: str) -> None:
        """
        See L{txsessions.custody.Host}.
        """
        session = self.sessions.bySid(sid)
        if session is not None and session.isStored():
            session.lost(reason)

    def sessionChanged(self, sid: str) -> None:
        """
        See L{txsessions.custody.Host}.
        """
        session = self.sessions.bySid(sid)
        if session is not None:
            session.doubt()

    def endingsMissed(self) -> None:
        """
        See L{txsessions.custody.Host}.
        """
        for session in self.sessions.all():
            if session.isStored() and not session.isPlain():
                self.sessionsMissed.add(session)

    def _live(self, sid: str) -> Any:
        """
        The live session of a public handle, or C{None}; L{sessions} may be replaced.
        """
        return self.sessions.bySid(sid)

    def _deadlineOf(self, sid: str) -> float | None:
        """
        For L{Duties}.
        """
        session = self.sessions.bySid(sid)
        return None if session is None else session.nextDuty()

    def _gone(self, sid: str) -> None:
        """
        Nobody holds a live session any more that was let go of.  What many
        strangers began would be watched until its time-out, otherwise.
        """
        self.sessionExpiry.discard(sid)

    def _shuttingDown(self) -> Deferred[None]:
        """
        The reactor is about to stop.
        """
        self._shutdown = None
        return self.stopSessions()

    def saveTouches(self) -> Deferred[None]:
        """
        See L{txsessions.custody.Host}.  Also when the timer that was to do so is
        late: the process, or the machine, may have been asleep.
        """
        return self.sessionExpiry.catchUp()

    def _due(self, sid: str) -> Deferred[None] | None:
        """
        There is something to be done for a live session.
        """
        session = self.sessions.bySid(sid)
        return None if session is None else session.due()

    def _notStopped(self, failure: Failure) -> None:
        """
        Something went wrong in the end.
        """
        self._log.failure("Could not stop the sessions.", failure)

    def _checkRequestFactory(self) -> None:
        """
        Refuse requests that would never save their sessions.
        """
        factory = self.requestFactory
        if (
            (self.sessionStore is not None or self._sessionManager is not None)
            and isinstance(factory, type)
            and issubclass(factory, server.Request)
            and not issubclass(factory, SessionRequestMixin)
        ):
            raise TypeError(
                f"requestFactory {factory.__qualname__} would not save its sessions: "
                "let it begin with txsessions.SessionRequestMixin, as in "
                f"class {factory.__name__}(SessionRequestMixin, twisted.web.server.Request)"
            )


def _saysItself(session: Any, name: str) -> bool:
    """
    Whether a session, or a class of it that is the application's, has this
    attribute; also where it has the value that is usual.
    """
    places = (kind for kind in type(session).__mro__ if name in vars(kind))
    if next(places, server.Session) not in (StoredSession, server.Session):
        return True
    with suppress(AttributeError):
        value = getattr(session, name)
        # Who looks into __dict__ makes Python keep all attributes there from then on.
        delattr(session, name)
        setattr(session, name, value)
        return True
    return False


class Site(SessionSiteMixin, server.Site):  # type: ignore[misc]  # the mixin's base is for types only
    """
    A L{twisted.web.server.Site} whose sessions are kept in a store.

    C{Site(resource, *args, sessionStore=None, **kwargs)}; see
    L{SessionSiteMixin}.
    """
