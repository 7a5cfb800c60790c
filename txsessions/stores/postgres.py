"""
Sessions in a PostgreSQL database: shared by any number of processes and hosts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import CorruptRecord
from ..given import positive
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
from ..interruptible import Interruptible
from ..lifetime import REVOKED
from ..record import Change, Record
from .claim import Claim, Ending, LogIn
from .journal import JournalEntry, checkObserver
from .postgresserver.address import parse
from .postgresserver.connection import connect, connectPipeline
from .postgresserver.crew import Crew
from .postgresserver.hearing import Hearing
from .postgresserver.journal import Journal
from .postgresserver.line import Line, Steps
from .postgresserver.opening import Opening
from .postgresserver.operations import Operations
from .postgresserver.outage import Outage
from .postgresserver.owners import STRIDE, Owners
from .postgresserver.queries import Queries
from .postgresserver.schema import Schema
from .servertime import ServerTime

if TYPE_CHECKING:
    from ..limit import SessionLimit

T = TypeVar("T")

TIMEOUT: Final = 5.0
"""
How long a transaction may take, in seconds.
"""

PAGE: Final = 200
"""
How many sessions are looked at in one transaction by what looks at all of them.
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
class PostgresStore:
    """
    Keeps records in a table, in a schema of its own that it makes where it is
    missing.

    Two threads have a connection each.  What is asked while one is at work is
    done next, up to 64 operations in one transaction; those on one session
    always go to the same thread, so that they keep their order.  A third one hears
    what others end, while somebody wants to know.  As long as the server is down
    operations fail at once, but for one now and then that tries.

    It is the server's time that counts, and Records and Changes are on the
    store's clock: the two are compared when a connection is made and every ten
    seconds.

    A pooler between the two (PgBouncer) must pool sessions and not transactions.

    @ivar clock: See L{ISessionStore}.
    @ivar _address: Where the server is.
    @ivar _time: The server's time.
    @ivar _crew: The threads, each with its line to the server.
    @ivar _hearing: Those who hear of endings, by a third connection.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

    _log = Logger()

    def __init__(
        self,
        dsn: str = "",
        reactor: Any = None,
        clock: IReactorTime | None = None,
        *,
        schema: str = "txsessions",
        timeout: float = TIMEOUT,
        **keywords: Any,
    ) -> None:
        """
        @param dsn: A connection string or URI as libpq has it.
        @param reactor: Where answers are told; C{None}: the global reactor.
        @param schema: The schema of the database that holds the tables.
        @param timeout: How long a transaction may take, in seconds; an
            operation that waits for twice as long fails.
        @param keywords: Any of libpq's keywords, such as C{host}, C{port},
            C{user}, C{password}, C{dbname}, C{sslmode}.
        @raise ValueError: These are no address of a server, or no name of a
            schema.
        """
        self.clock = clock
        self._address = parse(dsn, keywords)
        self._timeout = positive("timeout", timeout)
        self._schema = Schema(schema)
        self._queries = Queries(self._schema)
        self._time = ServerTime(lambda: self.clock)
        self._operations = Operations(self._queries, self._time, self._putAside)
        self._owners = Owners(
            self._schema, self._queries, self._time, self._operations, self._putAside
        )
        self._journal = Journal(self._queries, self._time, self._putAside, self._dropped)
        self._crew = Crew(self._address.label, self._newLine, 2 * timeout, reactor)
        connecting = partial(connect, self._address)
        self._hearing = Hearing(self._crew, connecting, self._schema.channel, timeout)

    def __repr__(self) -> str:
        return f"<PostgresStore in the schema {self._schema.name} of {self._address.label}>"

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._crew.ask(sid, self._operations.load(sid, default), Interruptible())

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._crew.ask(record.sid, self._operations.create(record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._crew.ask(change.sid, self._operations.save(change), Interruptible())

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._crew.ask(sid, self._operations.delete(sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._crew.ask(sid, self._operations.has(sid))

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        claimed = self._crew.ask("", self._operations.claim(limit))
        # That this fails is not worth a word: the next claim tries again.
        self._crew.ask("", self._forget()).addErrback(lambda _: None)
        return claimed

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._crew.ask(sessionKey, self._operations.find(sessionKey))

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        owner = change.sessionKey
        if not isinstance(owner, str):
            return fail(ValueError("whoever logs in has a sessionKey, which is a str"))
        return self._crew.ask(change.sid, self._owners.logIn(change, owner, limit))

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.  It takes a transaction for each
        thousand; the first settles which sessions those are.
        """
        return Deferred.fromCoroutine(self._endOwned(sessionKey, reason, exceptFor))

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return self._askJournal(observer, self._journal.enrol)

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return self._askJournal(observer, self._journal.dismiss)

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.
        """
        return self._askJournal(observer, self._journal.take, limit, lease)

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._askJournal(observer, self._journal.acknowledge, list(eventIDs))

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  C{missed} is called as well when a
        connection hears at first.  To close the store stops it.
        """
        return self._hearing.watch(ended, missed)

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return self._crew.ask("", self._schema.ensure())

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        after: str | None = ""
        while after is not None:
            records, after = await self._crew.ask(after, self._operations.page(after, PAGE))
            for record in records:
                yield record.sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        return Deferred.fromCoroutine(self._deleteOld(minutes))

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        closing = [self._hearing.close(), self._crew.close()]
        return gatherResults(closing).addCallback(lambda _: None)

    async def _endOwned(self, owner: str, reason: str, exceptFor: str | None) -> Sequence[Ending]:
        """
        End the sessions of an owner.
        """
        endings, rest = await self._crew.ask(owner, self._owners.end(owner, reason, exceptFor))
        for place in range(0, len(rest), STRIDE):
            some = rest[place : place + STRIDE]
            endings += await self._crew.ask(owner, self._owners.endSome(owner, reason, some))
        return endings

    async def _deleteOld(self, minutes: float) -> int:
        """
        End old sessions, a page at a time.
        """
        moment = await self._crew.ask("", self._operations.ago(60 * minutes))
        count = 0
        after: str | None = ""
        while after is not None:
            ended, after = await self._crew.ask("", self._operations.deleteOld(moment, after, PAGE))
            count += ended
        return count

    def _askJournal(
        self, observer: str, operation: Callable[..., Steps[T]], *arguments: Any
    ) -> Deferred[T]:
        """
        Have something done with the journal.
        """
        try:
            name = checkObserver(observer)
        except ValueError as e:
            return fail(e)
        return self._crew.ask(name, operation(name, *arguments))

    def _forget(self) -> Steps[None]:
        """
        Forget what has been kept long enough.
        """
        yield from self._operations.forget()
        yield from self._owners.forget()
        yield from self._journal.tidy()

    def _newLine(self) -> Line:
        """
        A line to the server.
        """
        number = int.from_bytes(os.urandom(8), "big", signed=True)
        opening = Opening(self._schema, self._queries, self._operations, self._timeout, number)
        return Line(
            lambda: connectPipeline(self._address, self._timeout),
            opening.steps,
            lambda: self._operations.compareTimes() if self._time.isStale() else None,
            Outage(),
        )

    def _putAside(self, sid: str) -> None:
        """
        Tell of a damaged record which nobody has asked for.  This is called in
        a thread.
        """
        error = CorruptRecord(sid, "it is in the table quarantine now")
        self._crew.reactor.callFromThread(self._log.warn, "{error}", error=error)

    def _dropped(self, observer: str, count: int) -> None:
        """
        Tell of endings that were dropped.  This is called in a thread.
        """
        self._crew.reactor.callFromThread(
            self._log.warn,
            "{count} endings were dropped before {observer!r} was told: too many, or too old",
            count=count,
            observer=observer,
        )
