"""
From one store to another while sessions go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.runtime import seconds
from zope.interface import directlyProvides

from ..errors import SessionEnded
from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import REVOKED
from ..limit import SessionLimit
from ..record import Change, Record
from .calls import PAGE, outcomesOf, pagesOf, raiseFailure
from .claim import Claim, Ending, LogIn
from .journal import JournalEntry
from .journals import TwoJournals
from .moving import MOVED, MovingStore

__all__ = ["MOVED", "MigratingStore"]

FURTHER: Final = (
    (ISessionSweep, ISessionSweep),
    (ISessionIndex, ISessionIndex),
    (ISessionStoreAdministration, ISessionStoreAdministration),
    (ISessionOwners, ISessionIndex),
    (ISessionJournal, ISessionStore),
    (ISessionNotices, ISessionStore),
)
"""
What this provides beyond L{ISessionStore}: the first of each two, if the new
store provides that and the old one the second.
"""


class MigratingStore(MovingStore):
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

    What expires in the old store is moved as well, and the new one ends it; and
    so are the sessions of an owner who logs in where their number is limited,
    or whose sessions end together.

    While sessions migrate all processes must use the two stores through this;
    the old one must know the times of the new one's clock.  When
    C{old.iterSessions()} gives none any more, and the old journal nothing to
    tell, the new store is enough.

    @ivar _expired: What has expired in the old store and is not yet in the new
        one.
    @ivar _journals: What observers have still to be told.
    """

    isThreadSafe = False

    def __init__(self, new: Any, old: Any) -> None:
        super().__init__(new, old)
        self._expired: list[Record] = []
        self._journals = TwoJournals(new, old, self._now)
        further: list[Any] = [i for i, of in FURTHER if i.providedBy(new) and of.providedBy(old)]
        if IConnectedStore.providedBy(new) or IConnectedStore.providedBy(old):
            further.append(IConnectedStore)
        directlyProvides(self, ISessionStore, *further)

    @property
    def isMultiprocessSafe(self) -> bool:
        """
        Whether both stores are.
        """
        return bool(self._new.isMultiprocessSafe and self._old.isMultiprocessSafe)

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

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        return self._lines.call(change.sid, lambda: self._logIn(change, limit))

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        return Deferred.fromCoroutine(self._endAll(sessionKey, reason, exceptFor))

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return self._journals.enrol(observer)

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return self._journals.dismiss(observer)

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.  What the old store has still to
        tell comes first.
        """
        return self._journals.takeEndings(observer, limit, lease)

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._journals.acknowledge(observer, eventIDs)

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  Whatever ends does so in the new
        store.
        """
        stop: Callable[[], None] = self._new.watchEndings(ended, missed)
        return stop

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

    async def _logIn(self, change: Change, limit: SessionLimit | None) -> LogIn:
        """
        See L{ISessionOwners.logInSession}.

        The others of the owner move without waiting for their turn, as if
        another process moved them: two that log in would wait for each other.
        """
        if limit is not None and isinstance(change.sessionKey, str):
            owned = await self._old.findSessions(change.sessionKey)
            for page in pagesOf([record.sid for record in owned]):
                moves = [Deferred.fromCoroutine(self._moveOver(sid)) for sid in page]
                raiseFailure(await outcomesOf(moves))
        return await self._change(change.sid, lambda: self._new.logInSession(change, limit))

    async def _moveOver(self, sid: str) -> None:
        """
        Move a session, whatever the truth of it is.
        """
        await self._move(sid)

    async def _endAll(self, sessionKey: str, reason: str, exceptFor: str | None) -> list[Ending]:
        """
        See L{ISessionOwners.endSessions}.

        Whatever is not in the old store when that is looked at is in the new
        one when that ends all.
        """
        owned = await self._old.findSessions(sessionKey)
        endings = list(await self._new.endSessions(sessionKey, reason, exceptFor))
        for page in pagesOf([record.sid for record in owned if record.sid != exceptFor]):
            end = partial(self._endOwned, sessionKey=sessionKey, reason=reason)
            outcomes = await outcomesOf([self._lines.call(sid, partial(end, sid)) for sid in page])
            raiseFailure(outcomes)
            endings += [outcome for outcome in outcomes if isinstance(outcome, Ending)]
        return endings

    async def _endOwned(self, sid: str, sessionKey: str, reason: str) -> Ending | None:
        """
        End a session that was in the old store, if it is still this owner's.
        """
        try:
            record = await self._load(sid, None)
        except SessionEnded:
            return None
        if record is None or record.sessionKey != sessionKey:
            return None
        last = await self._delete(sid, reason)
        return None if last is None else Ending(last, reason)

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
        moment = self._now() - 60 * minutes
        moves: list[Deferred[Any]] = []
        async for sid, record in self._old.iterSessions():
            if record.lastModified <= moment:
                moves.append(self._lines.call(sid, partial(self._moveOver, sid)))
            if len(moves) == PAGE:
                raiseFailure(await outcomesOf(moves))
                moves = []
        raiseFailure(await outcomesOf(moves))
        return await self._new.deleteOldSessions(minutes)

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

    def _now(self) -> float:
        """
        The present, on the clock of the stores.
        """
        return seconds() if self.clock is None else self.clock.seconds()
