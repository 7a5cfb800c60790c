"""
Stores that are broken on purpose, for C{--store careless.HastyStore:sessions.db}.
"""

from __future__ import annotations

from typing import Any

import attrs
from killsqlite import HastyFile
from twisted.internet.defer import Deferred

from txsessions.clock import SteadyClock
from txsessions.lifetime import EVICTED
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.claim import Claim, LogIn
from txsessions.stores.sqlite import BATCH, QUEUE, SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, parts
from txsessions.stores.sqlitefile.rows import Rows
from txsessions.stores.sqlitefile.sweep import claimExpired
from txsessions.stores.worker import Worker


class HastyStore(SQLiteStore):
    """
    Acknowledges what it will commit some time later.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        file = HastyFile(path)
        file.together = 100
        work = Batches(file, self._report).perform
        self._worker = Worker(
            "hasty", work, file.close, None, queue=QUEUE, batch=BATCH, divide=parts
        )


class BlindStore(SQLiteStore):
    """
    Does not look whether somebody else was faster.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession<txsessions.interfaces.ISessionStore.saveSession>}.
        """
        return super().saveSession(attrs.evolve(change, expectedVersion=None))


class SilentStore(SQLiteStore):
    """
    Does not write down what a sweep ends.
    """

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired<txsessions.interfaces.ISessionSweep.claimExpired>}.
        """

        def claim(rows: Rows, now: float) -> Claim:
            rows.journal.write = lambda *_: None  # type: ignore[method-assign]
            return claimExpired(rows, now, limit)

        return self._ask(claim, self._now(), isWrite=True)


class JumpyStore(SQLiteStore):
    """
    Lets all of its process believe the clock on the wall.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        SteadyClock.seconds = lambda self: self._reactor.seconds()  # type: ignore[method-assign]


class LonelyStore(SQLiteStore):
    """
    Believes that it is the only one that uses the file.
    """

    isMultiprocessSafe = False


class TrustingStore(SQLiteStore):
    """
    Believes that nobody else writes to the file.
    """

    def epoch(self, own: int) -> int:
        """
        See L{ISessionEpoch.epoch<txsessions.interfaces.ISessionEpoch.epoch>}.
        """
        return 1


class WholeStore(SQLiteStore):
    """
    Saves a whole session as it was when it was loaded, and not what has changed.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._loaded: dict[str, Record] = {}

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession<txsessions.interfaces.ISessionStore.loadSession>}.
        """

        def remember(record: Record) -> Record:
            self._loaded[sid] = record
            return record

        return super().loadSession(sid, default).addCallback(remember)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession<txsessions.interfaces.ISessionStore.saveSession>}.
        """
        loaded = self._loaded.get(change.sid)
        before = {} if loaded is None else loaded.attributes
        return super().saveSession(attrs.evolve(change, set={**before, **change.set}))


class CountingFirst(SQLiteStore):
    """
    Counts the sessions of an owner, and lets one more in when it has the answer.
    """

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        Look, make room, save.
        """
        return Deferred.fromCoroutine(self._logIn(change, limit))

    async def _logIn(self, change: Change, limit: SessionLimit | None) -> LogIn:
        """
        What another process does in between goes unnoticed.
        """
        others = await self.findSessions(str(change.sessionKey))
        for each in [] if limit is None else limit.evicted(others, change.sid):
            await self.deleteSession(each.sid, EVICTED)
        return LogIn(await self.saveSession(change))
