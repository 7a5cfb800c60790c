"""
Sessions in files: a directory with one readable JSON document for each.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import SessionNotFound
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
from .claim import Claim, Ending, LogIn
from .desk import Desk
from .files.admission import Admission
from .files.batch import Request
from .files.directory import SHARDS
from .files.housekeeping import Housekeeping
from .files.journal import Journal
from .files.keeper import Keeper
from .files.shard import Shard, shardOf
from .files.survey import Survey
from .index import Index
from .journal import checkObserver
from .lookout import Watcher
from .sid import isSid

T = TypeVar("T")

PAGE: Final = 64
"""
How many sessions are read at a time where all are.
"""


@implementer(
    ISessionStore,
    ISessionSweep,
    ISessionIndex,
    ISessionOwners,
    ISessionJournal,
    ISessionNotices,
    ISessionStoreAdministration,
    IConnectedStore,
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
      - B{Found without reading all.}  Each process knows the deadlines of all
        files.  It reads all of them once, when it first has to know, a slice
        at a time.  Every few seconds it reads those that have changed, which
        it sees from the times of their directories.  What it knows is a
        guide only: it ends a session after it has read its file under the
        lock.  So none ends early, each is given to one process, and those of a
        process that died are ended by another.
      - B{So many and no more.}  The sessions of an owner are listed under a lock
        of the owner's, which is taken before those of shards.  Whoever gives a
        session an owner lists it there before, and who logs in with a limit
        ends what has to go, to the disk, before the new one is saved.
      - B{Every ending is told.}  While an observer is enrolled, an entry with
        the last record is on the disk before a session is ended.  Who fetches
        it compares it with the session's file: what was left over from a crash
        and did not happen is told to nobody.
      - B{Told at once.}  While somebody watches, a list of what other processes
        have ended lately is looked at once a second.

    A file that is damaged is moved into C{quarantine} once and reported.  The
    directory has the mode 0700 and the files 0600; their names are made of
    public handles of sessions, times, and digests of what owners and observers
    are called.

    @ivar clock: See L{ISessionStore}.
    @ivar path: Where the files are, absolute.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

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
        self._desk = Desk(directory, reactor)
        self._directory = self._desk.directory
        self.path = self._directory.path
        index = Index()
        owners = self._desk.owners
        self._journal = Journal(self._directory, self._desk.dropped)
        self._keeper = Keeper(index, self._journal)
        self._admission = Admission(self._directory, owners, self._keeper)
        housekeeping = Housekeeping(self._directory, self._keeper, owners, self._journal, index)
        self._survey = Survey(self._directory, self._keeper, index, housekeeping)

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
        owned = _owned(record.sessionKey, record.sid)
        return self._ask(record.sid, self._keeper.create, record, owned=owned)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        if not isSid(change.sid):
            return fail(SessionNotFound(change.sid))
        owned = _owned(change.sessionKey, change.sid)
        return self._ask(change.sid, self._keeper.save, change, owned=owned)

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

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._askAll(self._admission.find, sessionKey)

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        if not isinstance(change.sessionKey, str):
            return fail(ValueError("a log-in sets an owner, a str"))
        if not isSid(change.sid):
            return fail(SessionNotFound(change.sid))
        return self._askAll(self._admission.logIn, change.sessionKey, change, limit, self._now())

    @inlineCallbacks
    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Any:
        """
        See L{ISessionOwners.endSessions}.
        """
        now = self._now()
        sids = yield self._askAll(self._admission.mark, sessionKey, now)
        endings: list[Ending] = []
        for page in _pages([sid for sid in sids if sid != exceptFor]):
            endings += yield self._askAll(self._admission.end, page, reason, now)
        return endings

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return self._askJournal(self._journal.enrol, observer)

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return self._askJournal(self._journal.dismiss, observer)

    @inlineCallbacks
    def takeEndings(self, observer: str, limit: int, lease: float) -> Any:
        """
        See L{ISessionJournal.takeEndings}.  It gives fewer than there are when
        more would keep others waiting.
        """
        entries = None
        while entries is None:
            arguments = (limit, lease, self._now())
            entries = yield self._askJournal(self._journal.take, observer, *arguments)
        return entries

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._askJournal(self._journal.acknowledge, observer, list(eventIDs))

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  What other processes end is heard
        of within L{INTERVAL<txsessions.stores.lookout.INTERVAL>}.
        """
        return self._desk.watch(Watcher(ended, missed), self.clock)

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
                for record in await self._askAll(self._admission.records, page):
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
        See L{IConnectedStore.close}.  Who watches hears of others again from
        the next operation on.
        """
        return self._desk.close()

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        return seconds() if self.clock is None else self.clock.seconds()

    def _ask(
        self,
        sid: str,
        function: Callable[..., Any],
        *arguments: Any,
        owned: tuple[str, str] | None = None,
    ) -> Deferred[Any]:
        """
        Have something done in the shard of a session.
        """
        return self._desk.submit(Request(function, arguments, shardOf(sid), owned))

    def _askAll(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Have something done that is not about one shard.
        """
        return self._desk.submit(Request(function, arguments))

    def _askShard(self, name: str, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Have something done in a shard.
        """
        return self._desk.submit(Request(function, arguments, name))

    def _askJournal(self, function: Callable[..., Any], observer: str, *rest: Any) -> Deferred[Any]:
        """
        Have something done for an observer.
        """
        return maybeDeferred(lambda: self._askAll(function, checkObserver(observer), *rest))


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


def _owned(sessionKey: object, sid: str) -> tuple[str, str] | None:
    """
    The owner that a session gets, and the session; C{None} if it gets none.
    """
    return (sessionKey, sid) if isinstance(sessionKey, str) else None
