"""
What makes a store of three methods a whole one, within one process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import (
    CorruptRecord,
    SessionEnded,
    SessionError,
    SessionNotFound,
)
from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import IDLE, REVOKED, deadline, endReason
from ..record import Change, Record, apply
from .claim import Claim, Ending
from .index import Index
from .lines import Lines
from .remembrance import Remembrance
from .shelf import Shelf
from .sid import isSid

T = TypeVar("T")

ReasonOf = Callable[[Record], "str | None"]

REST: Final = 10.0
"""
How long to rest, in seconds on the store's clock, before an end is tried again
that could not be made.
"""

PAGE: Final = 100
"""
How many sessions are dealt with at the same time where all are.
"""


@implementer(
    ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration, IConnectedStore
)
class OneProcessStore:
    """
    A whole store over an
    L{ISimpleSessionStore<txsessions.stores.own.ISimpleSessionStore>}.

    It makes every operation one atomic step, by letting those on one session
    wait for each other.  It remembers, in the memory of this process, what has
    ended, and the deadlines and owners of all sessions that it has seen.  What
    the store of three methods cannot do is "unavailable".

    @ivar clock: See L{ISessionStore}.
    @ivar isMultiprocessSafe: What the store of three methods says.
    @ivar isThreadSafe: What the store of three methods says.
    @ivar _shelf: What is in the store of three methods.
    @ivar _lines: The calls that wait for each other.
    @ivar _ends: What has ended.
    @ivar _index: The sessions that were seen.
    @ivar _hasLearned: Whether the sessions of former times were seen.
    """

    def __init__(self, store: Any) -> None:
        self.clock: IReactorTime | None = None
        self.isMultiprocessSafe = bool(store.isMultiprocessSafe)
        self.isThreadSafe = bool(store.isThreadSafe)
        self._shelf = Shelf(store)
        self._lines = Lines()
        self._ends = Remembrance()
        self._index = Index()
        self._hasLearned = False

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        if not isSid(sid):
            return succeed(default)
        return self._lines.call(sid, lambda: self._load(sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        if not isSid(record.sid):
            return fail(ValueError("a sid is 32 hexadecimal digits"))
        return self._lines.call(record.sid, lambda: self._create(record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        if not isSid(change.sid):
            return fail(SessionNotFound(change.sid))
        return self._lines.call(change.sid, lambda: self._save(change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        if not isSid(sid):
            return succeed(None)
        ending = self._endIf(sid, lambda record: reason)
        return ending.addCallback(lambda ending: None if ending is None else ending.record)

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        if not isSid(sid):
            return succeed(False)
        return self._lines.call(sid, lambda: self._live(sid)).addCallback(
            lambda record: record is not None
        )

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
        for page in _pages(list(self._index)):
            for record in await self._liveOnes(page):
                yield record.sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        return Deferred.fromCoroutine(self._deleteOld(self._now() - 60 * minutes))

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        return self._lines.whenIdle().addCallback(
            lambda _: Deferred.fromCoroutine(self._shelf.close())
        )

    async def _load(self, sid: str, default: Any) -> Any:
        """
        See L{ISessionStore.loadSession}.
        """
        record = await self._live(sid)
        if record is not None:
            return record
        reason = self._ends.reason(sid)
        if reason is not None:
            raise SessionEnded(sid, reason)
        return default

    async def _create(self, record: Record) -> bool:
        """
        See L{ISessionStore.createSession}.
        """
        sid = record.sid
        if self._ends.reason(sid) is not None or await self._live(sid) is not None:
            return False
        await self._put(record)
        return True

    async def _save(self, change: Change) -> int:
        """
        See L{ISessionStore.saveSession}.
        """
        record = await self._load(change.sid, None)
        if record is None:
            raise SessionNotFound(change.sid)
        after = apply(record, change)
        await self._put(after)
        return after.version

    def _endIf(self, sid: str, reasonOf: ReasonOf) -> Deferred[Ending | None]:
        """
        End a session when its turn comes, if there is a reason to.
        """
        return self._lines.call(sid, lambda: self._end(sid, reasonOf))

    async def _end(self, sid: str, reasonOf: ReasonOf) -> Ending | None:
        """
        End a session, if there is a reason to.

        @param reasonOf: Called with the record; gives the reason, or C{None}.
        """
        record = await self._live(sid)
        reason = None if record is None else reasonOf(record)
        if record is None or reason is None:
            return None
        await self._shelf.remove(sid)
        self._index.drop(sid)
        self._ends.remember(sid, reason, self._now())
        return Ending(record, reason)

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
        for sid, outcome in zip(due, await _outcomes(calls), strict=True):
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
        for page in _pages(list(self._index)):
            outcomes = await _outcomes([self._endIf(sid, reasonOf) for sid in page])
            _raiseFailure(outcomes)
            count += sum(isinstance(outcome, Ending) for outcome in outcomes)
        return count

    async def _liveOnes(self, sids: Iterable[str]) -> list[Record]:
        """
        Those of the sessions that are live and whole.
        """
        calls = [self._lines.call(sid, partial(self._live, sid)) for sid in sids]
        outcomes = await _outcomes(calls)
        _raiseFailure(outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, Record)]

    async def _live(self, sid: str) -> Record | None:
        """
        The record of a session that has not ended.
        """
        if self._ends.reason(sid) is not None:
            return None
        try:
            record = await self._shelf.read(sid)
        except CorruptRecord:
            self._index.drop(sid)
            raise
        if record is None:
            self._index.drop(sid)
        else:
            self._index.put(record)
        return record

    async def _put(self, record: Record) -> None:
        """
        Have a record saved.
        """
        await self._shelf.write(record)
        self._index.put(record)

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
                    self._index.put(record)
            self._hasLearned = True

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()


async def _outcomes(calls: list[Deferred[Any]]) -> list[Any]:
    """
    The results and the exceptions of all calls.
    """
    ended = await DeferredList(calls, consumeErrors=True)
    return [result if isDone else result.value for isDone, result in ended]


def _raiseFailure(outcomes: list[Any]) -> None:
    """
    Raise the first exception, if it is none that concerns one session alone.
    """
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, CorruptRecord):
            raise outcome


def _pages(sids: list[str]) -> Iterable[list[str]]:
    """
    The sessions in lists that are not too long.
    """
    return (sids[start : start + PAGE] for start in range(0, len(sids), PAGE))
