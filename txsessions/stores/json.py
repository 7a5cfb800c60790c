"""
Sessions in files: a directory with one readable JSON document for each.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import CorruptRecord, SessionNotFound
from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import REVOKED
from ..record import Change, Record
from .claim import Claim, Ending
from .files.batch import Performer, Request
from .files.directory import SHARDS, Directory
from .files.keeper import Keeper
from .files.shard import Shard, shardOf
from .files.survey import Survey
from .index import Index
from .sid import isSid
from .worker import Worker

T = TypeVar("T")

PAGE: Final = 64
"""
How many sessions are read at a time where all are.
"""


@implementer(
    ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration, IConnectedStore
)
class JSONStore:
    """
    Keeps each record in a file of its own, for the processes of one host.

    What it promises, and how:

      - B{Old or new.}  A file is written beside its place, to the disk, and
        then renamed into it; then the directory is written to the disk.  Only
        then the Deferred fires.
      - B{Nothing lost.}  A change is applied to what is in the file at that
        moment, under a lock of the shard (C{flock}) that all processes
        respect.  The lock is waited for in a thread, and not for long.
      - B{Dead stays dead.}  An end replaces the record in its file, so that a
        session has one file which says one thing.  It is remembered there for
        L{RETENTION<txsessions.stores.remembrance.RETENTION>}, and then removed.
      - B{Found without reading all.}  Each process knows the deadlines and
        the owners of all files.  It reads all of them once, when it first has
        to know, a slice at a time.  Later it reads those that have changed,
        which it sees from the times of their directories: before each
        C{findSessions}, and every few seconds for a sweep.  What it knows is a
        guide only: it ends a session after it has read its file under the
        lock.  So none ends early, each is given to one process, and those of a
        process that died are ended by another.

    A process that dies after it has ended a session and before anybody was
    told takes the news with it: this store keeps no journal.

    A file that is damaged is moved into C{quarantine} once and reported.  The
    directory has the mode 0700 and the files 0600; their names are made of the
    public handle of the session and of nothing else.

    @ivar clock: See L{ISessionStore}.
    @ivar path: Where the files are, absolute.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

    _log = Logger()

    def __init__(
        self,
        directory: str | os.PathLike[str],
        reactor: IReactorFromThreads | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param directory: Where the files are, a path; it is made if it is
            missing, but the one above it is not.
        @param reactor: Where Deferreds fire; C{None}: the global one.
        """
        self.clock = clock
        self._directory = Directory(directory, self._reportLater)
        self.path = self._directory.path
        index = Index()
        self._keeper = Keeper(index)
        self._survey = Survey(self._directory, self._keeper, index)
        performer = Performer(self._directory)
        self._worker: Worker[Request] = Worker(
            f"JSON store {self.path}", performer.perform, performer.finish, reactor
        )

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        if not isSid(sid):
            return succeed(default)
        return self._ask(sid, self._keeper.load, sid).addCallback(
            lambda record: default if record is None else record
        )

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        if not isSid(record.sid):
            return fail(ValueError("a sid is 32 hexadecimal digits"))
        return self._ask(record.sid, self._keeper.create, record)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        if not isSid(change.sid):
            return fail(SessionNotFound(change.sid))
        return self._ask(change.sid, self._keeper.save, change)

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        if not isSid(sid):
            return succeed(None)
        ending = self._ask(sid, self._keeper.end, sid, lambda record: reason, self._now())
        return ending.addCallback(_recordOf)

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._ask(sid, self._keeper.has, sid) if isSid(sid) else succeed(False)

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.  It ends fewer than there are to end
        when that would keep others waiting.
        """
        return self._askAll(self._survey.claim, limit, self._now())

    @inlineCallbacks
    def findSessions(self, sessionKey: str) -> Any:
        """
        See L{ISessionIndex.findSessions}.
        """
        position = 0
        while position < len(SHARDS):
            position = yield self._askAll(self._survey.look, position)
        return (yield self._askAll(self._survey.find, sessionKey))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return self._askAll(self._directory.setup)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        for name in SHARDS:
            for page in _pages(await self._askShard(name, Shard.sids)):
                for record in await self._askShard(name, self._survey.records, page):
                    yield record.sid, record

    @inlineCallbacks
    def deleteOldSessions(self, minutes: float) -> Any:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        now = self._now()
        count = 0
        for name in SHARDS:
            for page in _pages((yield self._askShard(name, Shard.sids))):
                arguments = (page, now - 60 * minutes, now)
                count += yield self._askShard(name, self._survey.endOld, *arguments)
        return count

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        return self._worker.stop()

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()

    def _ask(self, sid: str, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Have something done in the shard of a session.
        """
        return self._askShard(shardOf(sid), function, *arguments)

    def _askAll(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Have something done that is not about one shard.
        """
        return self._worker.submit(Request(function, arguments))

    def _askShard(self, name: str, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Have something done in a shard.
        """
        return self._worker.submit(Request(function, arguments, name))

    def _reportLater(self, error: CorruptRecord) -> None:
        """
        Report a damaged file that was put aside.  For the thread.
        """
        self._worker.tell(self._report, error)

    def _report(self, error: CorruptRecord) -> None:
        """
        Report a damaged file that was put aside.
        """
        self._log.error("{error}", error=error, sid=error.sid)


def _recordOf(ending: Ending | None) -> Record | None:
    """
    The last record of a session that has just ended.
    """
    return None if ending is None else ending.record


def _pages(sids: list[str]) -> Iterator[list[str]]:
    """
    The sessions in lists that are not too long.
    """
    return (sids[start : start + PAGE] for start in range(0, len(sids), PAGE))
