"""
What makes a store of three methods a whole one, within one process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from ..errors import CorruptRecord, SessionEnded, SessionError, SessionNotFound
from ..interfaces import (
    ISessionIndex,
    ISessionOwners,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import EVICTED, IDLE, REVOKED, deadline, endReason
from ..limit import SessionLimit
from ..record import Change, Record, apply
from .calls import outcomesOf, pagesOf, raiseFailure
from .claim import Claim, Ending, LogIn
from .fence import Fence
from .sid import isSid
from .single import SingleStore

REST: Final = 10.0
"""
How long to rest, in seconds on the store's clock, before an end is tried again
that could not be made.
"""


@implementer(ISessionSweep, ISessionIndex, ISessionOwners, ISessionStoreAdministration)
class OneProcessStore(SingleStore):
    """
    A whole store over an
    L{ISimpleSessionStore<txsessions.stores.own.ISimpleSessionStore>}.

    It remembers, in the memory of this process, what has ended, and the
    deadlines and owners of all sessions that it has seen.  What the store of
    three methods cannot do is "unavailable".  The journal is in the memory of
    this process as well, and is gone with it.

    @ivar _fence: When the sessions of owners were ended.
    @ivar _hasLearned: Whether the sessions of former times were seen.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self._fence = Fence()
        self._hasLearned = False

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        return Deferred.fromCoroutine(self._claim(limit))

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return Deferred.fromCoroutine(self._find(sessionKey))

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        owner = change.sessionKey
        if not isinstance(owner, str):
            return fail(ValueError("whoever logs in has a sessionKey, which is a str"))
        if not isSid(change.sid):
            return fail(SessionNotFound(change.sid))
        return self._lines.call(change.sid, lambda: self._logIn(change, owner, limit))

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        self._fence.put(sessionKey, self._now())
        return Deferred.fromCoroutine(self._endAll(sessionKey, reason, exceptFor))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return Deferred.fromCoroutine(self._shelf.setup())

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        await self._learn()
        for page in pagesOf(list(self._index)):
            for record in await self._liveOnes(page):
                yield record.sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        return Deferred.fromCoroutine(self._deleteOld(self._now() - 60 * minutes))

    async def _logIn(self, change: Change, owner: str, limit: SessionLimit | None) -> LogIn:
        """
        See L{ISessionOwners.logInSession}.
        """
        if limit is not None:
            await self._learn()
        sid = change.sid
        record = await self._load(sid, None)
        if record is None:
            raise SessionNotFound(sid)
        after = apply(record, change)
        if self._fence.isTooLate(owner, change.authenticatedAt):
            await self._remove(record, REVOKED)
            raise SessionEnded(sid, REVOKED)
        # From here on nothing is waited for until its place is taken.
        others = [] if limit is None else limit.evicted(self._occupancy.of(owner), sid)
        self._occupancy.enter(after, owner)
        try:
            evicted = await self._evict([other.sid for other in others])
            await self._put(after)
        finally:
            self._occupancy.entered(sid)
        return LogIn(after.version, evicted)

    async def _evict(self, sids: list[str]) -> list[Ending]:
        """
        Let sessions leave.  From now on nobody else sees them; a log-in of
        one of them that waits for its turn fails then, so that those who let
        each other leave do not wait for each other.
        """
        leaving = self._occupancy.leaving
        leaving.update(dict.fromkeys(sids, EVICTED))
        calls = [self._lines.call(sid, partial(self._leave, sid)) for sid in sids]
        outcomes = await outcomesOf(calls)
        for sid in sids:
            del leaving[sid]
        raiseFailure(outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, Ending)]

    async def _leave(self, sid: str) -> Ending | None:
        """
        End a session that is about to leave, unless somebody was faster.
        """
        try:
            record = await self._shelf.read(sid)
            if record is None or self._ends.reason(sid) is not None:
                return None
            return await self._remove(record, EVICTED)
        except CorruptRecord:
            self._forget(sid)
            raise
        except SessionError:
            self._index.again(sid, self._now() + REST)
            raise

    async def _endAll(self, sessionKey: str, reason: str, exceptFor: str | None) -> list[Ending]:
        """
        See L{ISessionOwners.endSessions}.
        """
        await self._learn()

        def reasonOf(record: Record) -> str | None:
            return reason if record.sessionKey == sessionKey else None

        endings: list[Ending] = []
        sids = [sid for sid in self._occupancy.all(sessionKey) if sid != exceptFor]
        for page in pagesOf(sids):
            outcomes = await outcomesOf([self._endIf(sid, reasonOf) for sid in page])
            raiseFailure(outcomes)
            endings += [outcome for outcome in outcomes if isinstance(outcome, Ending)]
        return endings

    async def _claim(self, limit: int) -> Claim:
        """
        See L{ISessionSweep.claimExpired}.
        """
        await self._learn()
        now = self._now()
        self._ends.forget(now)
        due = self._index.popDue(now, limit)
        endings: list[Ending] = []
        failure: SessionError | None = None
        calls = [self._endIf(sid, lambda record: endReason(record, now)) for sid in due]
        for sid, outcome in zip(due, await outcomesOf(calls), strict=True):
            if isinstance(outcome, Ending):
                endings.append(outcome)
            elif isinstance(outcome, SessionError) and not isinstance(outcome, CorruptRecord):
                failure = outcome
                self._index.again(sid, now + REST)
        if failure is not None and not endings:
            raise failure
        endings.sort(key=lambda ending: deadline(ending.record))
        return Claim(endings, self._index.next())

    async def _find(self, sessionKey: str) -> list[Record]:
        """
        See L{ISessionIndex.findSessions}.
        """
        await self._learn()
        found = await self._liveOnes(self._index.owned(sessionKey))
        mine = [record for record in found if record.sessionKey == sessionKey]
        return sorted(mine, key=lambda record: record.created)

    async def _deleteOld(self, moment: float) -> int:
        """
        End the sessions that were last touched at that moment or before.
        """
        await self._learn()

        def reasonOf(record: Record) -> str | None:
            return IDLE if record.lastModified <= moment else None

        count = 0
        for page in pagesOf(list(self._index)):
            outcomes = await outcomesOf([self._endIf(sid, reasonOf) for sid in page])
            raiseFailure(outcomes)
            count += sum(isinstance(outcome, Ending) for outcome in outcomes)
        return count

    async def _liveOnes(self, sids: Iterable[str]) -> list[Record]:
        """
        Those of the sessions that are live and whole.
        """
        calls = [self._lines.call(sid, partial(self._live, sid)) for sid in sids]
        outcomes = await outcomesOf(calls)
        raiseFailure(outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, Record)]

    def _learn(self) -> Deferred[None]:
        """
        See the sessions of former times, once.
        """
        return self._lines.call("", self._learnOnce)

    async def _learnOnce(self) -> None:
        """
        Go through what was kept.
        """
        if not self._hasLearned:
            async for record in self._shelf.records():
                if record.sid not in self._index and self._ends.reason(record.sid) is None:
                    self._see(record)
            self._hasLearned = True
