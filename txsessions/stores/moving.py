"""
The operations on one session that moves from one store to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ..errors import SessionEnded, SessionNotFound
from ..interfaces import ISessionStore
from ..lifetime import REVOKED
from ..record import Change, Record
from .lines import Lines

T = TypeVar("T")

MOVED: Final = "moved"
"""
The reason for which a session ends in the old store that lives on in the new
one.  Nobody is told of that end.
"""


@implementer(ISessionStore)
class MovingStore:
    """
    Moves each session at its first write.

    @ivar _new: The new store.
    @ivar _old: The old store.
    @ivar _lines: The operations on each session, in their order.
    """

    def __init__(self, new: Any, old: Any) -> None:
        self._new = new
        self._old = old
        self._lines = Lines()

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
        return await self._change(change.sid, lambda: self._new.saveSession(change))

    async def _change(self, sid: str, operation: Callable[[], Deferred[T]]) -> T:
        """
        Change a session in the new store, to which it moves if it is not there.
        """
        try:
            return await operation()
        except SessionNotFound as e:
            if isinstance(e, SessionEnded):
                raise
        error = await self._move(sid)
        try:
            return await operation()
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

    async def _newest(self, record: Record) -> Record | None:
        """
        What the new store has instead of a record of the old one: that very
        record if it knows nothing, C{None} if the session has ended.
        """
        try:
            return await self._new.loadSession(record.sid, record)
        except SessionEnded:
            return None
