"""
A session as its site, its requests and its tracker see it.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.runtime import seconds
from twisted.web import server

from . import lifetime
from .clock import steady
from .components import PersistentComponents
from .data import SessionData
from .duties import Duties
from .errors import SessionError, SessionNotFound
from .record import NOTHING, Record
from .size import USUAL, SizeLimits
from .token import matches, parseAny, sidOf
from .tracked import Part
from .tracker import Tracker

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


class LiveSession(server.Session):
    """
    A session in the memory of a process: when it ends, what is known of it to be
    stored, and who uses it.  What applications call is on top of this, in
    L{txsessions.Session}.

    @ivar audience: L{txsessions.token.SECURE} if its token travels over HTTPS
        only, L{txsessions.token.INSECURE} if not; C{None} until a request has
        used it.
    @ivar isNew: Whether it began in a request that is not done yet, so that no
        browser can have its token.
    @ivar isLate: Whether it began in a request that was late: the browser has,
        or is about to get, another token than the one it sent.  Then it is
        stored, and the browser told of it, only if there is something in it.
    @ivar holders: The requests that have asked for it and are not done, by
        their L{id}.  One that became something else, such as a WebSocket, is
        never done.
    @ivar reworker: The request whose response carries the new token, or L{GONE};
        C{None} if there is none, or if it is not known.
    @ivar ender: The request that ended it, or L{GONE}, as far as that is known.
    @ivar isTokenUnseen: Whether it got a new token that no request has brought
        back yet.
    @ivar _isOver: Whether its time-out has ended it, and all were told.
    @ivar _ending: What waits for the end that the store has not confirmed yet;
        C{None} when none is under way.
    @ivar _opened: The verifier that C{uid} was found to open.
    @ivar _isAskedToEnd: Whether somebody here has asked it to end.
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
        self.holders: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.reworker: Any = None
        self.ender: Any = None
        self.isTokenUnseen = False
        self._isOver = False
        self._sid: str | None = None
        self._data: SessionData | None = None
        self._components: PersistentComponents | None = None
        self._ending: list[Deferred[None]] | None = None
        self._unended: str | None = None
        self._isAskedToEnd = False
        self._opened: bytes | None = None
        self._expiry: Duties | None = None
        self._watched: tuple[float, float | None] | None = None
        self._tracker: Tracker | None = None
        self.created = self.lastModified = self._seconds()
        self._plainSize = len(self.__dict__) + 1

    @property
    def sid(self) -> str:
        """
        See L{ISession}.
        """
        if self._sid is None:
            self._sid = sidOf(self.uid or b"")
        return self._sid

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

    def refresh(self, record: Record, doubts: int | None = None) -> None:
        """
        Take over what was loaded from the store.

        @param doubts: As L{Tracker.refresh} takes it.
        """
        self._track().refresh(record, doubts)

    @property
    def doubts(self) -> int:
        """
        How often the store did not say what became of a step.
        """
        return 0 if self._tracker is None else self._tracker.doubts

    def doubt(self) -> None:
        """
        Somebody else has changed what is stored of it.
        """
        if self._tracker is not None:
            self._tracker.doubt()

    def lost(self, reason: str) -> None:
        """
        Somebody else has ended it.
        """
        self._track().finish(reason)

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

    def isOpenedBy(self, uid: bytes, audience: bytes) -> bool:
        """
        Whether a token opens it.  Of one that is stored its record knows: it may
        have got another token in another process, or by a save of which nobody
        knew the outcome.
        """
        record = self._stored()
        if record is None:
            return compare_digest(self.uid or b"", uid)
        if self._opened is not record.verifier or not compare_digest(self.uid or b"", uid):
            token = parseAny(uid)
            if token is None or not matches(token, audience, record.verifier):
                return False
            self.uid, self._opened = uid, record.verifier
        return True

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

    def parts(self) -> tuple[Part, ...]:
        """
        See L{txsessions.tracked.Tracked}.
        """
        if self._data is None:
            return (self._components,) if self._components is not None else ()
        return (self._data, self._persistent())

    @property
    def limits(self) -> SizeLimits:
        """
        See L{txsessions.tracked.Tracked}.
        """
        manager = self._manager
        return USUAL if manager is None else manager.limits

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
        if self._manager is not None:
            self.site.forgetSession(self)
        elif self.site is not None and self.site.sessions.get(self.uid) is self:
            del self.site.sessions[self.uid]
        callbacks = self.expireCallbacks[:]
        self.expireCallbacks.clear()
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
        if self._tracker is None:
            # One that was never tracked needs no tracker to end.
            self.ended(reason or lifetime.IDLE)
        elif not self.isStored():
            self._tracker.finish(reason or lifetime.IDLE)
        elif reason is not None:
            self.site.sessionDue(self)
        else:
            touched = self._track().touch()
            return touched.addCallbacks(lambda _: self.watch(), self._notTouched)
        return None

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
            store = None if manager is None else manager.store
            self._tracker = Tracker(self, store, self.endReason)
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
