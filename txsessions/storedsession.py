"""
A session and what a store knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hmac import compare_digest
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.components import Componentized
from twisted.python.runtime import seconds
from twisted.web import server

from .components import PersistentComponents
from .data import SessionData
from .lifetime import isInTime, touchInterval
from .record import NOTHING, Record
from .size import USUAL, SizeLimits
from .token import matches, parseAny, sidOf
from .tracked import Part
from .tracker import Tracker


class StoredSession(server.Session):
    """
    The side of a session that its store knows: its facts, what is in it, its
    record and its token.

    @ivar audience: L{txsessions.token.SECURE} if its token travels over HTTPS
        only, L{txsessions.token.INSECURE} if not; C{None} until a request has
        used it.
    @ivar epoch: In which epoch of its store it was loaded, see L{ISessionEpoch
        <txsessions.interfaces.ISessionEpoch>}; C{None} if that is not known.
    @ivar isLate: Whether it began in a request that was late: the browser has,
        or is about to get, another token than the one it sent.  Then it is
        stored, and the browser told of it, only if there is something in it.
    @ivar _found: The manager of the site, once there is a site.
    @ivar _callbacks: What C{expireCallbacks} is; C{None} until somebody asks.
    @ivar _ending: What waits for the end that the store has not confirmed yet;
        C{None} when none is under way.
    @ivar _opened: A token that was found to open it, and the verifier that it
        did open; C{None} if none was.
    @ivar _unended: Why C{expire} was to end it, and could not.
    @ivar _tracker: Its tracker; C{None} until there is something to do.
    @ivar _resting: What was known to be stored when it had a tracker; C{None} if
        nothing was, or if it has one.
    """

    # What few sessions ever set is an attribute of the class, and all else is set in the
    # beginning: with more than thirty of its own, or one that the first sessions had
    # not, Python keeps those of a session in a dict, which its collector of garbage
    # looks at.
    sessionTimeout: float = 900  # type: ignore[assignment]  # stock says int
    absoluteTimeout: float | None = None
    isLate: bool = False
    _ending: list[Deferred[None]] | None = None

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
        self._found: Any = None
        self.uid = uid
        self.audience: bytes | None = None
        self.sessionKey: str | None = None
        self.epoch: Hashable | None = None
        self.endReason: str | None = None
        self.sessionNamespaces: dict[Any, Any] = {}
        self._callbacks: list[Callable[[], object]] | None = None
        self._sid: str | None = None
        self._data: SessionData | None = None
        self._components: PersistentComponents | None = None
        self._unended: str | None = None
        self._opened: tuple[bytes, bytes] | None = None
        self._tracker: Tracker | None = None
        self._resting: Record | None = None
        self.created = self.lastModified = self._seconds()

    @property
    def _manager(self) -> Any:
        """
        The manager of the site; C{None} for a session that lives in memory only.
        """
        if self._found is None and self.site is not None:
            self._found = getattr(self.site, "sessionManager", None)
        return self._found

    @property
    def sid(self) -> str:
        """
        See L{ISession}.
        """
        if self._sid is None:
            self._sid = sidOf(self.uid or b"")
        return self._sid

    @property
    def expireCallbacks(self) -> list[Callable[[], object]]:  # type: ignore[override]  # stock has an attribute
        """
        What is called at the end, as in stock Twisted.
        """
        if self._callbacks is None:
            self._callbacks = []
        return self._callbacks

    @expireCallbacks.setter
    def expireCallbacks(self, callbacks: list[Callable[[], object]]) -> None:
        self._callbacks = callbacks

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
        if self._isTracked():
            self._track().doubt()

    def rest(self) -> None:
        """
        Have no tracker until there is something to do.  It leads back to the session,
        which would stay until the garbage collector comes: and where one comes after
        the other, that holds the reactor for tenths of a second.
        """
        tracker = self._tracker
        if tracker is not None and tracker.isAtRest():
            self._resting, self._tracker = tracker.record, None
            tracker.release()

    def lost(self, reason: str) -> None:
        """
        Somebody else has ended it.
        """
        self._track().finish(reason)

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
        if not self.wasOpenedBy(uid, audience, record.verifier):
            token = parseAny(uid)
            if token is None or not matches(token, audience, record.verifier):
                return False
            self.openedBy(uid, record.verifier)
        return True

    def openedBy(self, uid: bytes, verifier: bytes) -> None:
        """
        This token was found to open it, by this verifier.
        """
        self.uid, self._opened = uid, (uid, verifier)

    def wasOpenedBy(self, uid: bytes, audience: bytes, verifier: bytes) -> bool:
        """
        Whether this token has been found to open it before, by this verifier.
        """
        opened = self._opened
        return (
            opened is not None
            and opened[1] == verifier
            and self.audience == audience
            and compare_digest(opened[0], uid)
        )

    def isOpenTo(self, uid: bytes, audience: bytes, now: float) -> bool:
        """
        Whether a token opens it that has opened it before, and it is alive, as
        far as all of that shows at one look.  If not, it takes a closer one.
        """
        tracker, opened = self._tracker, self._opened
        if tracker is None or opened is None:
            return False
        record = tracker.record
        return (
            tracker.isExact
            and record is not None
            and opened[1] == record.verifier
            and self.audience == audience
            and compare_digest(opened[0], uid)
            and self.endReason is None
            and isInTime(self, now)
        )

    def isInTime(self, moment: float) -> bool:
        """
        Whether it has not ended, and does not end by itself until a moment.
        """
        return self.endReason is None and isInTime(self, moment)

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

    def isSettled(self) -> bool:
        """
        Whether there is nothing to save, as far as that shows at one look.  If
        not, it takes a closer one.
        """
        tracker, data, components = self._tracker, self._data, self._components
        if (
            tracker is None
            or tracker.isBusy
            or self.endReason is not None
            or self._unended is not None
            or (self._adapterCache and components is None)
            or (components is not None and components.isTouched)
            or (data is not None and data.touched)
        ):
            return False
        record = tracker.record
        return (
            record is not None
            and self.sessionKey == record.sessionKey
            and self.sessionTimeout == record.sessionTimeout
            and self.absoluteTimeout == record.absoluteTimeout
            and self.lastModified < record.lastModified + touchInterval(record.sessionTimeout)
        )

    def parts(self) -> tuple[Part, ...]:
        """
        See L{txsessions.tracked.Tracked}.
        """
        if self._components is None and self._adapterCache:
            self._persistent()
        data, components = self._data, self._components
        if data is not None:
            return (data,) if components is None else (data, components)
        return () if components is None else (components,)

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
            or self._callbacks
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

    def ended(self, reason: str) -> None:
        """
        See L{txsessions.tracked.Tracked}.
        """
        self.endReason = reason
        if self._ending is not None:
            self._ending = None
        if self._manager is not None:
            self.site.forgetSession(self)
        elif self.site is not None and self.site.sessions.get(self.uid) is self:
            del self.site.sessions[self.uid]

    def _track(self) -> Tracker:
        """
        The tracker.
        """
        if self._tracker is None:
            manager = self._manager
            store = None if manager is None else manager.store
            self._tracker = Tracker(self, store, self.endReason)
            if self._resting is not None:
                self._tracker.record, self._resting = self._resting, None
        return self._tracker

    def _isTracked(self) -> bool:
        """
        Whether it has a tracker, or had one that would be missed.
        """
        return self._tracker is not None or self._resting is not None

    def _stored(self) -> Record | None:
        """
        What is known to be stored.
        """
        return self._resting if self._tracker is None else self._tracker.record

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

    def _seconds(self) -> float:
        """
        The present, on the clock that it measures time by.
        """
        reactor, manager = self._reactor, self._manager
        if manager is not None and reactor is self.site.reactor:
            reactor = manager.clock
        return seconds() if reactor is None else reactor.seconds()
