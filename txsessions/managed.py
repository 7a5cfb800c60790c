"""
A store as its manager has it: it limits log-ins, and tells of what it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.python.runtime import seconds
from zope.interface import implementer

from .errors import StoreUnusable, TooManySessions
from .interfaces import ISessionIndex, ISessionOwners, ISessionStore
from .lifetime import REVOKED, endReason
from .limit import SessionLimit
from .record import AUTHENTICATED, UNCHANGED, Change, Record
from .stores.claim import Ending, LogIn

NO_OWNERS: Final = (
    "this store keeps no list of the sessions of an owner: use one that provides ISessionOwners, "
    "as all of txsessions do"
)


class Told(Protocol):
    """
    Who is told of what a store has done.
    """

    @property
    def isHeard(self) -> bool:
        """
        Whether anybody wants to know what begins and what is reworked.  What
        ends is always told.
        """

    def created(self, record: Record) -> object:
        """
        A session has begun.
        """

    def reworked(self, change: Change) -> object:
        """
        A session has got a new token.
        """

    def ended(self, ending: Ending) -> object:
        """
        A session has been ended, and it was given to this caller.  Must not
        raise.
        """

    def makeRoom(self) -> Deferred[Any]:
        """
        End what has expired by now.

        @return: A L{Deferred} that fires when that is done, or takes too long.
        """


@implementer(ISessionStore, ISessionIndex, ISessionOwners)
class ManagedStore:
    """
    Passes on what it is asked, for one manager.

    Every change that gives a session an owner, by whichever operation, goes
    through C{logInSession} of the store inside, so that no way leads around the
    limit, nor around the end of all sessions of an owner.

    @ivar _store: The store inside.
    @ivar _owners: The same as L{ISessionOwners}; C{None} if it is none.
    @ivar _limit: How many sessions one owner may have; C{None}: any number.
    @ivar _told: Is told what was done.
    @ivar changes: For how many changes the store inside was asked.
    """

    def __init__(self, store: ISessionStore, limit: SessionLimit | None, told: Told) -> None:
        """
        @raise TypeError: There is a limit that the store cannot keep.
        """
        self._store = store
        self._owners = store if ISessionOwners.providedBy(store) else None
        if limit is not None and self._owners is None:
            raise TypeError(f"maxSessionsPerKey: {NO_OWNERS}")
        self._limit = limit
        self._told = told
        self.changes = 0

    @property
    def clock(self) -> IReactorTime | None:
        """
        See L{ISessionStore}.
        """
        return self._store.clock

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._store.loadSession(sid, default)

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._store.hasSession(sid)

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        if record.sessionKey is not None and self._owners is not None:
            creating = Deferred.fromCoroutine(self._createOwned(record))
        else:
            creating = self._store.createSession(record)
        return creating.addCallback(self._created, record) if self._told.isHeard else creating

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        if type(change.sessionKey) is str:
            return self.logInSession(change).addCallback(lambda done: done.version)
        self.changes += 1
        saving = self._store.saveSession(change)
        if change.verifier is UNCHANGED or not self._told.isHeard:
            return saving
        # It is told also if nobody waits for it any more.
        told: Deferred[int] = Deferred()
        saving.chainDeferred(told)
        return told.addCallback(self._reworked, change)

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._store.deleteSession(sid, reason).addCallback(self._deleted, reason)

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.

        @param limit: C{None}: that of the manager.
        """
        self.changes += 1
        if self._owners is None:
            answer = self._store.saveSession(change).addCallback(LogIn)
        else:
            answer = self._owners.logInSession(change, limit or self._limit)
            answer.addErrback(self._refused, change, limit or self._limit)
        return answer.addCallback(self._loggedIn, change)

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        if self._owners is None:
            return fail(StoreUnusable(NO_OWNERS))
        return self._owners.endSessions(sessionKey, reason, exceptFor).addCallback(self._tellEnds)

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        index = ISessionIndex(self._store, None)
        if index is None:
            return fail(StoreUnusable(NO_OWNERS))
        return index.findSessions(sessionKey)

    async def _createOwned(self, record: Record) -> bool:
        """
        Create a session, and let its owner in if there is room for him.  It has
        its first version when he is in.
        """
        if not await self._store.createSession(replace(record, sessionKey=None, version=0)):
            return False
        moment = record.attributes.get(AUTHENTICATED)
        change = Change(
            record.sid,
            set={} if moment is None else {AUTHENTICATED: moment},
            sessionKey=record.sessionKey,
            expectedVersion=0,
        )
        try:
            await self.logInSession(change)
        except BaseException:
            await self._store.deleteSession(record.sid, REVOKED)
            raise
        return True

    def _refused(
        self, failure: Failure, change: Change, limit: SessionLimit | None
    ) -> Deferred[LogIn]:
        """
        There was no room; unless some of it is taken by what has expired.
        """
        failure.trap(TooManySessions)
        return Deferred.fromCoroutine(self._logInAgain(failure, change, limit))

    async def _logInAgain(
        self, failure: Failure, change: Change, limit: SessionLimit | None
    ) -> LogIn:
        """
        Let an owner in, once those of his sessions have ended that have expired.
        """
        assert self._owners is not None and isinstance(change.sessionKey, str)
        others = await self.findSessions(change.sessionKey)
        now = seconds() if self.clock is None else self.clock.seconds()
        if all(endReason(each, now) is None for each in others):
            failure.raiseException()
        await self._told.makeRoom()
        self.changes += 1
        return await self._owners.logInSession(change, limit)

    def _created(self, isNew: bool, record: Record) -> bool:
        """
        Tell that a session has begun.
        """
        if isNew:
            self._told.created(record)
        return isNew

    def _reworked(self, version: int, change: Change) -> int:
        """
        Tell that a session has got a new token.
        """
        self._told.reworked(change)
        return version

    def _deleted(self, record: Record | None, reason: str) -> Record | None:
        """
        Tell that a session has been ended, if this has ended it.
        """
        if record is not None:
            self._told.ended(Ending(record, reason))
        return record

    def _loggedIn(self, done: LogIn, change: Change) -> LogIn:
        """
        Tell what a log-in has brought about.
        """
        self._tellEnds(done.evicted)
        if change.verifier is not UNCHANGED and self._told.isHeard:
            self._told.reworked(change)
        return done

    def _tellEnds(self, endings: Sequence[Ending]) -> Sequence[Ending]:
        """
        Tell of some sessions that have been ended.
        """
        for ending in endings:
            self._told.ended(ending)
        return endings
