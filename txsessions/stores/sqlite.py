"""
Sessions in one SQLite file, which the processes of one host may share.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import CorruptRecord
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
from .sqlitefile.batch import Batches, Request, parts
from .sqlitefile.file import SQLiteFile
from .sqlitefile.rows import Rows
from .sqlitefile.sweep import claimExpired, endOld
from .worker import Worker

QUEUE: Final = 10_000
"""
How many operations may be under way at the most: a quarter of a second's work.
A store that is further behind takes no more for now.
"""

BATCH: Final = 200
"""
How many operations are done together at the most.  So many share a commit that
its part of each is small beside the statements; and to tell the reactor of so
many outcomes at once does not hold it for long.
"""

PAGE: Final = 100
"""
How many records L{SQLiteStore.iterSessions} holds in memory.
"""

_log = Logger()


@implementer(
    ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration, IConnectedStore
)
class SQLiteStore:
    """
    Keeps records in a file of SQLite's, in WAL mode.

    All that blocks is done in one thread with one connection.  What comes
    while that is at work waits, and is then done together: so thousands of
    saves share one write to the disk.  The file and its companions (C{-wal},
    C{-shm}, C{-lock}) belong together: move, copy or remove them only while no
    process uses them.  The file system must be one of this host.

    @ivar clock: See L{ISessionStore}.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        reactor: IReactorFromThreads | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param path: Where the file is, or is to be made.  Its directory must
            exist.
        @param reactor: Where outcomes are told; C{None}: the global one.
        @raise ValueError: The path is SQLite's name for no file at all.
        """
        if os.fspath(path) == ":memory:":
            raise ValueError("SQLiteStore keeps sessions in a file; use MemoryStore for none")
        self.clock = clock
        file = SQLiteFile(os.fspath(path))
        self._worker = Worker(
            f"the store {file.path}",
            Batches(file, self._report).perform,
            file.close,
            reactor,
            queue=QUEUE,
            batch=BATCH,
            divide=parts,
        )

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._worker.submit(Request(Rows.load, (sid, default), False, sid))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._worker.submit(Request(Rows.create, (record,), True, record.sid))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._worker.submit(Request(Rows.save, (change,), True, change.sid))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._worker.submit(Request(Rows.delete, (sid, reason, self._now()), True, sid))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._worker.submit(Request(Rows.has, (sid,), False, sid))

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        return self._ask(claimExpired, self._now(), limit, isWrite=True)

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._ask(Rows.find, sessionKey)

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.  A missing directory is not
        made.
        """
        return self._ask(Rows.ready)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        after: int | None = 0
        while after is not None:
            records, after = await self._ask(Rows.page, after, PAGE)
            for record in records:
                yield record.sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.  It takes one
        transaction for some hundreds of sessions, so that others are not held
        up.
        """
        return Deferred.fromCoroutine(self._endOld(60 * minutes))

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        return self._worker.stop()

    async def _endOld(self, age: float) -> int:
        """
        End the sessions that nobody touched for so many seconds.
        """
        now = self._now()
        count, after = 0, 0
        while after is not None:
            ended, after = await self._ask(endOld, after, now - age, now, isWrite=True)
            count += ended
        return count

    def _ask(
        self, work: Callable[..., Any], *arguments: Any, isWrite: bool = False
    ) -> Deferred[Any]:
        """
        Have something done that may be about any session.
        """
        return self._worker.submit(Request(work, arguments, isWrite))

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()

    def _report(self, error: CorruptRecord) -> None:
        """
        Have it logged that a record was put aside.  Called in the thread of
        the worker.
        """
        self._worker.tell(_logDamage, error)


def _logDamage(error: CorruptRecord) -> None:
    """
    Log that a record was put aside.
    """
    _log.error("{error}", error=error)
