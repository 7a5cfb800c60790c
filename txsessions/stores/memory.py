"""
Sessions in the memory of one process: gone with it, and fast.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..deadlines import Deadlines
from ..errors import SessionEnded, SessionError, SessionNotFound
from ..interfaces import (
    ISessionIndex,
    ISessionOwners,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import EVICTED, IDLE, REVOKED, deadline, endReason
from ..limit import SessionLimit
from ..record import Change, Record, apply
from .chronicle import Chronicle
from .claim import Claim, Ending, LogIn
from .fence import Fence
from .packed import PackedRecords
from .remembrance import Remembrance

T = TypeVar("T")

PAGE: Final = 2000
"""
How many sessions are looked at, or ended, before the reactor has its turn: with
two observers and a watcher that takes a fiftieth of a second.
"""


@implementer(
    ISessionStore,
    ISessionSweep,
    ISessionIndex,
    ISessionOwners,
    ISessionStoreAdministration,
)
class MemoryStore(Chronicle):
    """
    Keeps records in dictionaries, as bytes where they are many.  Every operation
    is done when it returns, but for C{deleteOldSessions} and C{endSessions} where
    there are more than L{PAGE}.

    @ivar clock: See L{ISessionStore}.
    """

    isMultiprocessSafe = False
    isThreadSafe = False

    def __init__(self, clock: IReactorTime | None = None) -> None:
        super().__init__()
        self.clock = clock
        self._records = PackedRecords()
        self._owned: dict[str, dict[str, None]] = {}
        self._ends = Remembrance()
        self._fence = Fence()
        self._deadlines = Deadlines(self._deadlineOf)

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        record = self._records.get(sid)
        if record is not None:
            return succeed(record)
        reason = self._ends.reason(sid)
        return succeed(default) if reason is None else fail(SessionEnded(sid, reason))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        sid = record.sid
        if sid in self._records or self._ends.reason(sid) is not None:
            return succeed(False)
        end = deadline(record)
        self._put(record)
        self._deadlines.add(sid, end)
        return succeed(True)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        sid = change.sid
        record = self._records.get(sid)
        if record is None:
            return fail(self._gone(sid))
        try:
            after = apply(record, change)
        except SessionError as e:
            return fail(e)
        self._replace(record, after)
        return succeed(after.version)

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        endings = self._endNow([sid], reason) if sid in self._records else []
        return succeed(endings[0].record if endings else None)

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return succeed(sid in self._records)

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        now = self._now()
        self._ends.forget(now)
        endings = []
        for sid in self._deadlines.popDue(now, limit):
            record = self._records.pop(sid)
            endings.append(self._end(record, endReason(record, now) or IDLE))
        claim = Claim(endings, self._deadlines.next())
        self._watchers.tell(endings)
        return succeed(claim)

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return succeed(sorted(self._ownedBy(sessionKey), key=lambda record: record.created))

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        return execute(self._logIn, change, limit)

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        self._fence.put(sessionKey, self._now())
        sids = [sid for sid in self._owned.get(sessionKey, ()) if sid != exceptFor]
        if len(sids) <= PAGE:
            return succeed(self._endNow(sids, reason))
        return Deferred.fromCoroutine(self._endMany(sids, reason))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return succeed(None)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        for sid in list(self._records):
            record = self._records.get(sid)
            if record is not None:
                yield sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        return Deferred.fromCoroutine(self._deleteOld(self._now() - 60 * minutes))

    async def _deleteOld(self, moment: float) -> int:
        """
        End the sessions that were last touched at that moment or before, and let
        the reactor have its turn in between.
        """
        sids = list(self._records)
        isLong = len(sids) > PAGE
        count = 0
        while sids:
            if isLong and len(sids) % PAGE == 0:
                await self._turn()
            # A long list takes its time to be made, and to be freed at once.
            sid = sids.pop()
            record = self._records.get(sid)
            if record is not None and self._isOlder(record, moment):
                self.deleteSession(sid, IDLE)
                count += 1
        return count

    def _logIn(self, change: Change, limit: SessionLimit | None) -> LogIn:
        """
        See L{ISessionOwners.logInSession}.
        """
        sid, owner = change.sid, change.sessionKey
        if not isinstance(owner, str):
            raise ValueError("whoever logs in has a sessionKey, which is a str")
        record = self._records.get(sid)
        if record is None:
            raise self._gone(sid)
        after = apply(record, change)
        if self._fence.isTooLate(owner, change.authenticatedAt):
            self._endNow([sid], REVOKED)
            raise SessionEnded(sid, REVOKED)
        evicted = [] if limit is None else limit.evicted(self._ownedBy(owner), sid)
        endings = [self._ending(each.sid, EVICTED) for each in evicted]
        self._replace(record, after)
        self._watchers.tell(endings)
        return LogIn(after.version, endings)

    async def _endMany(self, sids: list[str], reason: str) -> list[Ending]:
        """
        End sessions, and let the reactor have its turn in between.
        """
        endings: list[Ending] = []
        for start in range(0, len(sids), PAGE):
            if start:
                await self._turn()
            page = [sid for sid in sids[start : start + PAGE] if sid in self._records]
            endings += self._endNow(page, reason)
        return endings

    def _isOlder(self, record: Record, moment: float) -> bool:
        """
        Whether a session was last touched at that moment or before.
        """
        return record.lastModified <= moment

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()

    def _deadlineOf(self, sid: str) -> float | None:
        """
        For L{Deadlines}.
        """
        record = self._records.get(sid)
        return None if record is None else deadline(record)

    def _ownedBy(self, sessionKey: str) -> list[Record]:
        """
        The sessions of an owner.
        """
        return [self._records[sid] for sid in self._owned.get(sessionKey, ())]

    def _replace(self, record: Record, after: Record) -> None:
        """
        Keep what has become of a record.
        """
        if after.sessionKey != record.sessionKey:
            self._disown(record)
            self._put(after)
        else:
            self._records[record.sid] = after
        if (
            after.sessionTimeout != record.sessionTimeout
            or after.absoluteTimeout != record.absoluteTimeout
        ):
            # Only so can the deadline have moved earlier.
            self._deadlines.add(after.sid, deadline(after))

    def _put(self, record: Record) -> None:
        """
        Keep a record, and index it by its owner.
        """
        self._records[record.sid] = record
        if record.sessionKey is not None:
            self._owned.setdefault(record.sessionKey, {})[record.sid] = None

    def _disown(self, record: Record) -> None:
        """
        Take a record out of the index.
        """
        if record.sessionKey is not None:
            owned = self._owned[record.sessionKey]
            del owned[record.sid]
            if not owned:
                del self._owned[record.sessionKey]

    def _endNow(self, sids: list[str], reason: str) -> list[Ending]:
        """
        End live sessions, and say so.
        """
        endings = [self._ending(sid, reason) for sid in sids]
        self._watchers.tell(endings)
        return endings

    def _ending(self, sid: str, reason: str) -> Ending:
        """
        End a live session before its deadline.
        """
        self._deadlines.discard(sid)
        return self._end(self._records.pop(sid), reason)

    def _end(self, record: Record, reason: str) -> Ending:
        """
        Remember the end of a record that was taken out, and write it down.
        """
        self._disown(record)
        now = self._now()
        self._ends.remember(record.sid, reason, now)
        self._journal.write(record, reason, now)
        return Ending(record, reason)

    def _gone(self, sid: str) -> SessionNotFound:
        """
        The error for a session that is not among the live ones.
        """
        reason = self._ends.reason(sid)
        return SessionNotFound(sid) if reason is None else SessionEnded(sid, reason)
