"""
The operations on one session, made of a store of three methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import CorruptRecord, SessionEnded, SessionNotFound
from ..interfaces import IConnectedStore, ISessionStore
from ..lifetime import REVOKED
from ..record import Change, Record, apply
from .chronicle import Chronicle
from .claim import Ending
from .index import Index
from .lines import Lines
from .occupancy import Occupancy
from .remembrance import Remembrance
from .shelf import Shelf
from .sid import isSid

T = TypeVar("T")

ReasonOf = Callable[[Record], "str | None"]


@implementer(ISessionStore, IConnectedStore)
class SingleStore(Chronicle):
    """
    Makes every operation on a session one atomic step, by letting those on one
    session wait for each other.

    @ivar clock: See L{ISessionStore}.
    @ivar isMultiprocessSafe: What the store of three methods says.
    @ivar isThreadSafe: What the store of three methods says.
    @ivar _shelf: What is in the store of three methods.
    @ivar _lines: The calls that wait for each other.
    @ivar _ends: What has ended.
    @ivar _index: The sessions that were seen.
    @ivar _occupancy: The sessions of each owner, among these.
    """

    def __init__(self, store: Any) -> None:
        super().__init__()
        self.clock: IReactorTime | None = None
        self.isMultiprocessSafe = bool(store.isMultiprocessSafe)
        self.isThreadSafe = bool(store.isThreadSafe)
        self._shelf = Shelf(store)
        self._lines = Lines()
        self._ends = Remembrance()
        self._index = Index()
        self._occupancy = Occupancy()

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
        reason = self._reasonOf(sid)
        if reason is not None:
            raise SessionEnded(sid, reason)
        return default

    async def _create(self, record: Record) -> bool:
        """
        See L{ISessionStore.createSession}.
        """
        sid = record.sid
        if self._reasonOf(sid) is not None or await self._live(sid) is not None:
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
        return await self._remove(record, reason)

    async def _remove(self, record: Record, reason: str) -> Ending:
        """
        Take a live record out, remember its end, write it down and say so.
        """
        sid = record.sid
        await self._shelf.remove(sid)
        now = self._now()
        self._forget(sid)
        self._ends.remember(sid, reason, now)
        self._journal.write(record, reason, now)
        ending = Ending(record, reason)
        self._watchers.tell([ending])
        return ending

    async def _live(self, sid: str) -> Record | None:
        """
        The record of a session that has not ended.
        """
        if self._reasonOf(sid) is not None:
            return None
        try:
            record = await self._shelf.read(sid)
        except CorruptRecord:
            self._forget(sid)
            raise
        if record is None:
            self._forget(sid)
        else:
            self._see(record)
        return record if self._reasonOf(sid) is None else None

    async def _put(self, record: Record) -> None:
        """
        Have a record saved.
        """
        await self._shelf.write(record)
        self._see(record)

    def _see(self, record: Record) -> None:
        """
        Note a live record.
        """
        self._index.put(record)
        self._occupancy.see(record)

    def _forget(self, sid: str) -> None:
        """
        Note that there is no such session any more.
        """
        self._index.drop(sid)
        self._occupancy.forget(sid)

    def _reasonOf(self, sid: str) -> str | None:
        """
        Why a session has ended, or is about to; C{None} if nobody knows of an
        end.
        """
        return self._ends.reason(sid) or self._occupancy.leaving.get(sid)

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()
