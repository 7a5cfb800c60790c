"""
Sessions in a Redis or Valkey: shared by any number of processes and hosts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import REVOKED
from ..record import Change, Record
from ..redis.client import TIMEOUT
from ..redis.errors import ServerError
from ..redis.interfaces import IRedis
from .claim import Claim
from .redisserver.checks import check
from .redisserver.handle import Handle
from .redisserver.keys import Bucket, Keys
from .redisserver.operations import Operations
from .redisserver.place import placeOf
from .redisserver.refusal import refused
from .redisserver.scripts import Scripts
from .redisserver.survey import Survey
from .redisserver.sweep import Sweep
from .servertime import ServerTime

T = TypeVar("T")


@implementer(
    ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration, IConnectedStore
)
class RedisStore:
    """
    Keeps each record in a hash of Redis, and ends in its place.

    Every operation on a session is one command or one script on keys of one
    slot, so it is one atomic step on a Cluster too: sessions are spread by
    their handles over 64 buckets, and each bucket has its own sorted set of
    deadlines and its own index of owners.  A search for an owner, or a sweep,
    looks at all buckets, which costs one command on one server and 64 on a
    Cluster; in exchange the index is never wrong, whatever crashes when.  (Only
    where Redis itself forgets a session, a week after its end that nobody swept,
    an entry stays; it is verified when it is read, and taken out.)

    It is the server's time that counts, and Records and Changes are on the
    store's clock: the two are compared when the store is opened and every ten
    seconds.  The nodes of a Cluster must agree on the time, and the server's
    clock must not be set while there are sessions: they would all be older, or
    younger, by that step.

    A user of an ACL needs the keys C{~E{lb}txsessions:*} (or another C{prefix}) and
    the commands C{+evalsha +script|load +exists +del +rename +expire +pexpire
    +time +hget +hmget +hgetall +hset +hdel +hexists +zadd +zrem +zrange
    +zrangebyscore +zrangebylex +zscan}; C{+info} lets L{setup} look at the
    server, C{+cluster|slots} is for a Cluster and C{+role} for a master that
    Sentinels name.

    "Stored" means what the server's C{appendonly} and C{appendfsync} make it
    mean.  C{always} loses nothing when the server is killed; C{everysec}, which
    is the default, can lose the last two seconds, even if only its process ends.
    A fail-over can lose what the new master had not got yet.

    @ivar clock: See L{ISessionStore}.
    @ivar _place: Which Redis it is.
    @ivar _time: The server's time.
    @ivar _handle: The hold on the server.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

    _log = Logger()
    _scripts: ClassVar[Scripts] = Scripts()

    def __init__(
        self,
        host: str = "127.0.0.1",
        reactor: Any = None,
        clock: IReactorTime | None = None,
        *,
        prefix: str = "txsessions",
        timeout: float = TIMEOUT,
        **parameters: Any,
    ) -> None:
        """
        @param host: The server, by its name or address.
        @param reactor: The reactor; C{None}: the global one.
        @param prefix: How the names of all keys begin, after a brace; tells
            the sessions of one application from those of another.
        @param timeout: How long an operation may take, in seconds.
        @param parameters: C{port}; C{path} of a Unix socket in place of host
            and port; C{db}, the number of the database; C{user} and
            C{password}; C{tls=True} for a server whose certificate an
            authority of this machine has signed, or C{authority}, a file with
            the certificates of others; C{certificate} and C{key}, files with
            our own; C{serverName}, if it is not the host.  C{sentinels}, a
            list of C{"host:port"}, with the name of the C{master},
            C{sentinelUser} and C{sentinelPassword}; or C{nodes}, a list of
            some nodes of a Cluster.
        @raise ValueError: They do not go together.
        """
        self.clock = clock
        self._reactor = reactor
        self._timeout = timeout
        self._place = placeOf(host=host, **parameters)
        self._keys = Keys(prefix)
        self._time = ServerTime(self._present)
        self._operations = Operations(self._keys, self._scripts, self._time)
        self._handle = Handle(self._connect, self._compare, self._time, lambda: self.clock)
        buckets = self._keys.buckets
        isCluster = bool(self._place.nodes)
        self._groups = [[bucket] for bucket in buckets] if isCluster else [buckets]

    def __repr__(self) -> str:
        return f"<RedisStore in {self._place}>"

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._ask(lambda client: self._operations.load(client, sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._ask(lambda client: self._operations.create(client, record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._ask(lambda client: self._operations.save(client, change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._ask(lambda client: self._operations.delete(client, sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._ask(lambda client: self._operations.has(client, sid))

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        return self._work(lambda client: self._sweep(client).claim(limit))

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._work(lambda client: self._survey(client).find(sessionKey))

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.  Nothing has to be made; it
        looks whether the server is one where sessions can be kept.
        """
        return self._work(self._check)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions}.
        """
        for bucket in self._keys.buckets:
            seen: set[str] = set()
            async for records in self._pages(bucket, lambda survey, *page: survey.page(*page)):
                for record in records:
                    if record.sid not in seen:
                        seen.add(record.sid)
                        yield record.sid, record

    def deleteOldSessions(self, minutes: float) -> Deferred[int]:
        """
        See L{ISessionStoreAdministration.deleteOldSessions}.
        """
        return Deferred.fromCoroutine(self._deleteOld(60 * minutes))

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        return self._handle.close()

    async def _deleteOld(self, age: float) -> int:
        """
        End what was last touched so many seconds ago.
        """
        moment = self._present()[1] - age
        count = 0
        for bucket in self._keys.buckets:
            async for ended in self._pages(
                bucket,
                lambda survey, *page: survey.deleteOld(*page, self._time.toServer(moment)),
            ):
                count += ended
        return count

    async def _pages(
        self, bucket: Bucket, look: Callable[..., Coroutine[Any, Any, tuple[bytes, Any]]]
    ) -> AsyncIterator[Any]:
        """
        What comes of looking at each page of a bucket.
        """
        cursor, isAtEnd = b"0", False
        while not isAtEnd:
            page = partial(self._look, look, bucket, cursor)
            cursor, found = await self._work(page)
            isAtEnd = cursor == b"0"
            yield found

    def _look(
        self,
        look: Callable[..., Coroutine[Any, Any, T]],
        bucket: Bucket,
        cursor: bytes,
        client: IRedis,
    ) -> Coroutine[Any, Any, T]:
        """
        Look at one page of a bucket.
        """
        return look(self._survey(client), bucket, cursor)

    async def _check(self, client: IRedis) -> None:
        """
        Look whether sessions can be kept there.
        """
        try:
            infos = await client.everywhere("INFO")
        except ServerError as e:
            if e.code != "NOPERM":
                raise
            self._log.warn("{place} could not be checked: {error}", place=self._place, error=e)
            return
        check(infos, bool(self._place.nodes), self._place)

    def _ask(self, operation: Callable[[IRedis], Deferred[Any]]) -> Deferred[Any]:
        """
        Carry out an operation of one step.
        """
        return self._handle.perform(operation).addErrback(refused)

    def _work(self, steps: Callable[[IRedis], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """
        Carry out an operation of several steps.
        """
        return self._handle.work(steps).addErrback(refused)

    def _sweep(self, client: IRedis) -> Sweep:
        """
        What ends the sessions that have expired.
        """
        damaged = partial(self._operations.foundDamaged, client)
        return Sweep(client, self._scripts, self._groups, self._time, damaged)

    def _survey(self, client: IRedis) -> Survey:
        """
        What looks at many sessions.
        """
        damaged = partial(self._operations.foundDamaged, client)
        return Survey(
            client,
            self._scripts,
            self._keys,
            groups=self._groups,
            time=self._time,
            damaged=damaged,
        )

    def _connect(self) -> IRedis:
        """
        A client, for the first operation.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._place.connect(self._reactor, self._scripts.all(), self._timeout)

    def _compare(self, client: IRedis) -> Deferred[None]:
        """
        Compare the server's time with the clock.
        """
        before = self._present()[1]
        asked = client.script(self._scripts.now, [self._keys.buckets[0].deadlines], [])
        return asked.addCallback(
            lambda reply: self._time.compare(before, float(reply), self._present()[1])
        )

    def _present(self) -> tuple[Any, float]:
        """
        The store's clock, and what it says.
        """
        clock = self.clock
        return clock, seconds() if clock is None else clock.seconds()
