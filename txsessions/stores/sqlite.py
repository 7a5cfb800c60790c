"""
Sessions in one SQLite file, which the processes of one host may share.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..interfaces import (
    IConnectedStore,
    ISessionEpoch,
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..interruptible import Interruptible
from ..lifetime import REVOKED
from ..record import Change, Record
from .claim import Claim, Ending, LogIn
from .journal import JournalEntry, checkObserver
from .sqlitefile.batch import Batches, Request, parts
from .sqlitefile.file import SQLiteFile
from .sqlitefile.journal import Journal, forget
from .sqlitefile.look import Look, look
from .sqlitefile.news import News
from .sqlitefile.owners import STRIDE, endOwned, endSome, logIn
from .sqlitefile.rows import Rows
from .sqlitefile.sweep import claimExpired, endOld
from .sqlitefile.watch import Watch
from .worker import Worker

if TYPE_CHECKING:
    from ..limit import SessionLimit

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
    ISessionStore,
    ISessionSweep,
    ISessionIndex,
    ISessionOwners,
    ISessionJournal,
    ISessionNotices,
    ISessionEpoch,
    ISessionStoreAdministration,
    IConnectedStore,
)
class SQLiteStore:
    """
    Keeps records in a file of SQLite's, in WAL mode.

    All that blocks is done in one thread with one connection.  What comes
    while that is at work waits, and is then done together: so thousands of
    saves share one write to the disk.  What the connection has read or written is
    not read again until another one has committed something.  The file and its companions (C{-wal},
    C{-shm}, C{-lock}) belong together: move, copy or remove them only while no
    process uses them.  The file system must be one of this host.

    What other processes end it sees once a second, as long as somebody wants
    to know.

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
        self._epochs = file.epochs
        self._changes = 0
        batches = Batches(file, self._report)
        self._worker = Worker(
            f"the store {file.path}",
            batches.perform,
            batches.close,
            reactor,
            queue=QUEUE,
            batch=BATCH,
            divide=parts,
        )
        self._reactor = reactor
        self._watch = Watch(self._look, self._now, self._timer)

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._worker.submit(Request(Rows.load, (sid, default), False, sid), Interruptible())

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._worker.submit(Request(Rows.create, (record,), True, record.sid))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        self._changes += 1
        return self._worker.submit(Request(Rows.save, (change,), True, change.sid), Interruptible())

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

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        if not isinstance(change.sessionKey, str):
            return fail(ValueError("whoever logs in has a sessionKey, which is a str"))
        self._changes += 1
        return self._ask(logIn, change, limit, self._now(), isWrite=True)

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.  It takes one transaction for some
        hundreds of sessions, so that others are not held up; the first of them
        settles which sessions those are.
        """
        return Deferred.fromCoroutine(self._endOwned(sessionKey, reason, exceptFor))

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return self._askJournal(Journal.enrol, observer, isWrite=True)

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return Deferred.fromCoroutine(self._dismiss(observer))

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.
        """
        return self._askJournal(Journal.take, observer, limit, lease, self._now())

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._askJournal(Journal.acknowledge, observer, list(eventIDs), isWrite=True)

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  To close the store stops it.
        """
        return self._watch.begin(ended, missed)

    def epoch(self, own: int) -> Hashable | None:
        """
        See L{ISessionEpoch.epoch}.  It is a look at the C{-shm} file, in the memory of
        the system.
        """
        number = self._epochs.now()
        return None if number is None else (number, self._changes - own)

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
        self._watch.end()
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

    async def _endOwned(
        self, sessionKey: str, reason: str, exceptFor: str | None
    ) -> Sequence[Ending]:
        """
        End the sessions of an owner.
        """
        endings: list[Ending]
        how = (reason, exceptFor)
        endings, rest = await self._ask(endOwned, sessionKey, *how, self._now(), isWrite=True)
        for place in range(0, len(rest), STRIDE):
            some = rest[place : place + STRIDE]
            endings += await self._ask(endSome, some, *how, self._now(), isWrite=True)
        return endings

    async def _dismiss(self, observer: str) -> None:
        """
        Dismiss an observer, and forget what is there for it, some at a time.
        """
        number = await self._askJournal(Journal.dismiss, observer, isWrite=True)
        isMore = number is not None
        while isMore:
            isMore = await self._ask(forget, number, isWrite=True)

    def _look(self, position: int | None, since: float) -> Deferred[Look]:
        """
        Look at what has ended.
        """
        return self._ask(look, position, since)

    def _ask(
        self, work: Callable[..., Any], *arguments: Any, isWrite: bool = False
    ) -> Deferred[Any]:
        """
        Have something done that may be about any session.
        """
        return self._worker.submit(Request(work, arguments, isWrite))

    def _askJournal(
        self, work: Callable[..., Any], observer: str, *arguments: Any, isWrite: bool = False
    ) -> Deferred[Any]:
        """
        Have something done with the journal of an observer.
        """
        try:
            checkObserver(observer)
        except ValueError:
            return fail()
        return self._ask(lambda rows: work(rows.journal, observer, *arguments), isWrite=isWrite)

    def _timer(self) -> IReactorTime:
        """
        Where what is done later is waited for.
        """
        timer = IReactorTime(self._reactor, None) if self.clock is None else self.clock
        if timer is None:
            from twisted.internet import reactor

            timer = IReactorTime(reactor)
        return timer

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()

    def _report(self, news: News) -> None:
        """
        Have it told what a transaction has done.  Called in the thread of the
        worker.
        """
        if news.putAside or news.dropped or self._watch.isOn:
            self._worker.tell(self._tell, news)

    def _tell(self, news: News) -> None:
        """
        Tell what a transaction has done.
        """
        for error in news.putAside:
            _log.error("{error}", error=error)
        for observer, count in news.dropped.items():
            _log.warn(
                "{count} endings were dropped that the observer {observer!r} was not told of: "
                "they were too many, or too old",
                count=count,
                observer=observer,
            )
        self._watch.tell(news.ended)
