"""
From one store to another while sessions go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.runtime import seconds
from zope.interface import directlyProvides, implementer

from ..errors import SessionEnded, SessionNotFound
from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import REVOKED
from ..record import Change, Record
from .claim import Claim
from .lines import Lines

MOVED: Final = "moved"
"""
The reason for which a session ends in the old store that lives on in the new
one.  Nobody is told of that end.
"""

PAGE: Final = 100
"""
How many sessions are moved at the same time where all old ones are.
"""

FURTHER: Final = (ISessionSweep, ISessionIndex, ISessionStoreAdministration)
"""
What this provides beyond L{ISessionStore} if both stores do.
"""


@implementer(ISessionStore)
class MigratingStore:
    """
    Reads from the new store and then from the old one, and writes to the new
    one only.  Each session moves over at its first write.

    The new store decides whether a session lives.  Whatever changes or ends a
    session that is still in the old store first B{moves} it: creates it in the
    new store if it is not known there, and then ends it in the old one.  Then
    it goes on as if there were no old store.  So

      - two who move the same session at the same time make one session of it,
        and both their changes are applied to that;
      - one who moves a session late does not revive it: the new store
        remembers its end, and does not create it again.  (A process that
        stands still in the midst of moving for longer than the new store
        remembers an end could; that is an hour with our stores.)
      - a crash leaves the session in the old store, or in both and then the
        new one counts, or in the new one.

    What expires in the old store is moved as well, and the new one ends it.

    While sessions migrate all processes must use the two stores through this;
    the old one must know the times of the new one's clock.  When
    C{old.iterSessions()} gives none any more, the new store is enough.

    @ivar _new: The new store.
    @ivar _old: The old store.
    @ivar _lines: The operations on each session, in their order.
    @ivar _expired: What has expired in the old store and is not yet in the new
        one.
    """

    isThreadSafe = False

    def __init__(self, new: Any, old: Any) -> None:
        self._new = new
        self._old = old
        self._lines = Lines()
        self._expired: list[Record] = []
        further: list[Any] = [i for i in FURTHER if i.providedBy(new) and i.providedBy(old)]
        if IConnectedStore.providedBy(new) or IConnectedStore.providedBy(old):
            further.append(IConnectedStore)
        directlyProvides(self, ISessionStore, *further)

    @property
    def clock(self) -> IReactorTime | None:
        """
        See L{ISessionStore}.
        """
        return self._new.clock

    @clock.setter
    def clock(self, clock: IReactorTime | None) -> None:
        self._new.clock = clock
        self._old.clock = clock

    @property
    def isMultiprocessSafe(self) -> bool:
        """
        Whether both stores are.
        """
        return bool(self._new.isMultiprocessSafe and self._old.isMultiprocessSafe)

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._lines.call(sid, lambda: self._load(sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._lines.call(record.sid, lambda: self._create(record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._lines.call(change.sid, lambda: self._save(change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._lines.call(sid, lambda: self._delete(sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._lines.call(sid, lambda: self._has(sid))

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        return self._lines.call("claim", lambda: self._claim(limit))

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._lines.call("find", lambda: self._find(sessionKey))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return Deferred.fromCoroutine(self._setup())

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.  The
        old store comes first, so that a session which moves in the meantime
        is not missed.
        """
        seen = set()
        sid: str
        record: Record
        async for sid, record in self._old.iterSessions():
            if await self._newest(record) is record:
                seen.add(sid)
                yield sid, record
        async for sid, record in self._new.iterSessions():
            if sid not in seen:
                yield sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        Those of the old store move over before.
        """
        return self._lines.call("age", lambda: self._deleteOld(minutes))

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        return Deferred.fromCoroutine(self._close())

    async def _load(self, sid: str, default: Any) -> Any:
        """
        See L{ISessionStore.loadSession}.
        """
        record = await self._new.loadSession(sid)
        if record is not None:
            return record
        end: SessionEnded | None = None
        try:
            record = await self._old.loadSession(sid)
        except SessionEnded as e:
            end = e
        if record is None:
            # It may have moved since the first look.
            record = await self._new.loadSession(sid)
        if record is None and end is not None and end.reason != MOVED:
            raise end
        return default if record is None else record

    async def _create(self, record: Record) -> bool:
        """
        See L{ISessionStore.createSession}.
        """
        try:
            if await self._old.loadSession(record.sid) is not None:
                return False
        except SessionEnded:
            return False
        return await self._new.createSession(record)

    async def _save(self, change: Change) -> int:
        """
        See L{ISessionStore.saveSession}.
        """
        try:
            return await self._new.saveSession(change)
        except SessionNotFound as e:
            if isinstance(e, SessionEnded):
                raise
        error = await self._move(change.sid)
        try:
            return await self._new.saveSession(change)
        except SessionNotFound as e:
            raise (e if isinstance(e, SessionEnded) else error) from None

    async def _delete(self, sid: str, reason: str) -> Record | None:
        """
        See L{ISessionStore.deleteSession}.
        """
        await self._move(sid)
        return await self._new.deleteSession(sid, reason)

    async def _has(self, sid: str) -> bool:
        """
        See L{ISessionStore.hasSession}.
        """
        try:
            return await self._load(sid, None) is not None
        except SessionEnded:
            return False

    async def _move(self, sid: str) -> SessionNotFound:
        """
        See that nothing of a session is in the old store that is not in the
        new one, and then that nothing is in the old one.

        @return: What is the truth if the new store knows nothing.
        """
        try:
            record = await self._old.loadSession(sid)
        except SessionEnded as e:
            return SessionNotFound(sid) if e.reason == MOVED else e
        if record is not None:
            await self._new.createSession(record)
            await self._old.deleteSession(sid, MOVED)
        return SessionNotFound(sid)

    async def _claim(self, limit: int) -> Claim:
        """
        Move what has expired in the old store, and end what has expired in
        the new one.
        """
        await self._moveExpired()
        old = await self._old.claimExpired(limit)
        self._expired += [ending.record for ending in old.endings]
        await self._moveExpired()
        new = await self._new.claimExpired(limit)
        next = [time for time in (old.nextDeadline, new.nextDeadline) if time is not None]
        return Claim(new.endings, min(next, default=None))

    async def _moveExpired(self) -> None:
        """
        Create in the new store what has expired in the old one.
        """
        while self._expired:
            await self._new.createSession(self._expired[-1])
            self._expired.pop()

    async def _find(self, sessionKey: str) -> list[Record]:
        """
        See L{ISessionIndex.findSessions}.
        """
        old = await self._old.findSessions(sessionKey)
        found = {record.sid: record for record in await self._new.findSessions(sessionKey)}
        for record in old:
            newest = None if record.sid in found else await self._newest(record)
            if newest is not None and newest.sessionKey == sessionKey:
                found[record.sid] = newest
        return sorted(found.values(), key=lambda record: record.created)

    async def _deleteOld(self, minutes: float) -> int:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        moment = (seconds() if self.clock is None else self.clock.seconds()) - 60 * minutes
        moves: list[Deferred[Any]] = []
        async for sid, record in self._old.iterSessions():
            if record.lastModified <= moment:
                moves.append(self._lines.call(sid, partial(self._move, sid)))
            if len(moves) == PAGE:
                await _all(moves)
                moves = []
        await _all(moves)
        return await self._new.deleteOldSessions(minutes)

    async def _newest(self, record: Record) -> Record | None:
        """
        What the new store has instead of a record of the old one: that very
        record if it knows nothing, C{None} if the session has ended.
        """
        try:
            return await self._new.loadSession(record.sid, record)
        except SessionEnded:
            return None

    async def _setup(self) -> None:
        """
        Make both stores ready.
        """
        await self._new.setup()
        await self._old.setup()

    async def _close(self) -> None:
        """
        Finish what is under way, and close both stores.
        """
        await self._lines.whenIdle()
        for store in (self._new, self._old):
            if IConnectedStore.providedBy(store):
                await store.close()


async def _all(calls: list[Deferred[Any]]) -> None:
    """
    Wait until all calls are done.  If one has failed, fail as it did.
    """
    for isDone, outcome in await DeferredList(calls, consumeErrors=True):
        if not isDone:
            raise outcome.value
