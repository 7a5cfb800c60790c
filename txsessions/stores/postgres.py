"""
Sessions in a PostgreSQL database: shared by any number of processes and hosts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar
from zlib import crc32

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
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
from ..patience import Patience
from ..record import Change, Record
from .claim import Claim
from .postgresserver.address import parse
from .postgresserver.connection import connect
from .postgresserver.line import Line, Steps
from .postgresserver.opening import Opening
from .postgresserver.operations import Operations
from .postgresserver.outage import Outage
from .postgresserver.queries import Queries
from .postgresserver.schema import Schema
from .servertime import ServerTime
from .worker import Worker

T = TypeVar("T")

LINES: Final = 2
"""
How many connections, each with a thread.  While one waits for a commit the other
sends; more gained nothing when it was measured, since Python runs one thread at
a time.
"""

TIMEOUT: Final = 5.0
"""
How long a transaction may take, in seconds.
"""

PAGE: Final = 200
"""
How many sessions are looked at in one transaction by what looks at all of them.
"""


@implementer(
    ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration, IConnectedStore
)
class PostgresStore:
    """
    Keeps records in a table, in a schema of its own that it makes where it is
    missing.

    Two threads have a connection each.  What is asked while one is at work is
    done next, up to 64 operations in one transaction; those on one session
    always go to the same thread, so that they keep their order.  While the
    server is down operations fail at once, but for one now and then that tries.

    It is the server's time that counts, and Records and Changes are on the
    store's clock: the two are compared when a connection is made and every ten
    seconds.

    A pooler between the two (PgBouncer) must pool sessions and not
    transactions.

    @ivar clock: See L{ISessionStore}.
    @ivar _address: Where the server is.
    @ivar _time: The server's time.
    @ivar _workers: The threads, each with its line to the server.
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
        self._reactor = reactor
        self._timeout = timeout
        self._schema = Schema(schema)
        self._queries = Queries(self._schema.quoted)
        self._time = ServerTime(self._present)
        self._operations = Operations(self._queries, self._time, self._putAside)
        self._patience: Patience | None = None
        self._lines = [self._newLine() for _ in range(LINES)]
        self._workers = [
            Worker(self._address.label, line.perform, line.finish, reactor) for line in self._lines
        ]

    def __repr__(self) -> str:
        return f"<PostgresStore in the schema {self._schema.name} of {self._address.label}>"

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._ask(sid, self._operations.load(sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._ask(record.sid, self._operations.create(record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._ask(change.sid, self._operations.save(change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._ask(sid, self._operations.delete(sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._ask(sid, self._operations.has(sid))

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        claimed = self._ask("", self._operations.claim(limit))
        # That this fails is not worth a word: the next claim tries again.
        self._ask("", self._operations.forget()).addErrback(lambda _: None)
        return claimed

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._ask(sessionKey, self._operations.find(sessionKey))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.
        """
        return self._ask("", self._schema.ensure())

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        after: str | None = ""
        while after is not None:
            records, after = await self._ask(after, self._operations.page(after, PAGE))
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
        return gatherResults([worker.stop() for worker in self._workers]).addCallback(
            lambda _: None
        )

    async def _deleteOld(self, minutes: float) -> int:
        """
        End old sessions, a page at a time.
        """
        moment = await self._ask("", self._operations.ago(60 * minutes))
        count = 0
        after: str | None = ""
        while after is not None:
            ended, after = await self._ask("", self._operations.deleteOld(moment, after, PAGE))
            count += ended
        return count

    def _ask(self, key: str, operation: Steps[T]) -> Deferred[T]:
        """
        Have an operation carried out, after all those before it with the same
        key.
        """
        place = crc32(key.encode("utf-8", "surrogatepass")) % LINES
        outage = self._lines[place].outage
        if not outage.admits():
            operation.close()
            return fail(outage.error())
        return self._patient().wait(self._workers[place].submit(operation))

    def _patient(self) -> Patience:
        """
        What waits for a thread that hangs in the lookup of a host's name, which
        knows no time-out.
        """
        if self._patience is None:
            if self._reactor is None:
                from twisted.internet import reactor

                self._reactor = reactor
            self._patience = Patience(self._reactor, 2 * self._timeout)
        return self._patience

    def _newLine(self) -> Line:
        """
        A line to the server.
        """
        number = int.from_bytes(os.urandom(8), "big", signed=True)
        opening = Opening(self._schema, self._queries, self._operations, self._timeout, number)
        return Line(
            lambda: connect(self._address, self._timeout),
            opening.steps,
            lambda: self._operations.compareTimes() if self._time.isStale() else None,
            Outage(),
        )

    def _present(self) -> tuple[Any, float]:
        """
        The store's clock, and what it says.
        """
        clock = self.clock
        return clock, seconds() if clock is None else clock.seconds()

    def _putAside(self, sid: str) -> None:
        """
        Tell of a damaged record which nobody has asked for.  This is called in
        a thread.
        """
        self._reactor.callFromThread(
            self._log.warn, "{error}", error=CorruptRecord(sid, "it is in the table quarantine now")
        )
