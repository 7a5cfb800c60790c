"""
Sessions in a Redis or Valkey: shared by any number of processes and hosts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

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
from ..redis.interfaces import IRedis
from .claim import Claim, Ending, LogIn
from .journal import JournalEntry
from .redisserver.connected import ConnectedStore
from .redisserver.keys import Bucket

T = TypeVar("T")


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
class RedisStore(ConnectedStore):
    """
    Keeps each record in a hash of Redis, and ends in its place.

    Every operation on a session is one command or one script on keys of one
    slot, so it is one atomic step on a Cluster too: sessions are spread by
    their handles over 64 buckets, and each bucket has its own sorted set of
    deadlines and its own index of owners.  A search for an owner, or a sweep,
    looks at all buckets, which costs one command on one server and 64 on a
    Cluster; in exchange the index is never wrong, whatever crashes when.  (Only
    where Redis itself forgets a session, eight days after an end that nobody swept,
    an entry stays; it is verified when it is read, and taken out.)

    It is the server's time that counts, and Records and Changes are on the
    store's clock: the two are compared when the store is opened and every ten
    seconds.  The nodes of a Cluster must agree on the time, and the server's
    clock must not be set while there are sessions: they would all be older, or
    younger, by that step.

    A limited number of an owner's sessions gets in by a protocol of several steps
    (L{txsessions.stores.redisserver.admission}), the end of all of them raises a
    fence in each bucket (L{txsessions.stores.redisserver.owners}).  The journal
    of endings is made of the records themselves, in the step that ends them
    (L{txsessions.stores.redisserver.ending}); the same step publishes the ending
    for those who watch, which is a hint.

    A user of an ACL needs the keys C{~E{lb}txsessions:*} (or another C{prefix}),
    the channel C{&txsessions:ended} and the commands C{+evalsha +script|load
    +exists +del +rename +expire +pexpire +time +get +set +hget +hmget +hgetall
    +hset +hdel +hexists +hincrby +sadd +srem +smembers +zadd +zrem +zcard +zscore
    +zrange +zrangebyscore +zrangebylex +zscan +publish +subscribe}; C{+info} lets
    L{setup} look at the server, C{+cluster|slots} is for a Cluster and C{+role}
    for a master that Sentinels name.  (Redis 6.0 knows no channels.)  A user who
    may not publish, or subscribe, ends sessions, but nobody hears of that at
    once.

    "Stored" means what the server's C{appendonly} and C{appendfsync} make it
    mean.  C{always} loses nothing when the server is killed; C{everysec}, which
    is the default, can lose the last two seconds, even if only its process ends.
    A fail-over can lose what the new master had not got yet.

    @ivar clock: See L{ISessionStore}.
    """

    isMultiprocessSafe = True
    isThreadSafe = False

    def loadSession(self, sid: str, default: T | None = None) -> Deferred[Record | T | None]:
        """
        See L{ISessionStore.loadSession}.
        """
        client = self._ready(sid)
        if client is not None:
            return self._operations.load(client, sid, default)
        return self._ask(sid, lambda client: self._operations.load(client, sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._ask(record.sid, lambda client: self._operations.create(client, record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        client = self._ready(change.sid)
        if client is not None:
            return self._operations.save(client, change)
        return self._ask(change.sid, lambda client: self._operations.save(client, change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._ask(sid, lambda client: self._operations.delete(client, sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._ask(sid, lambda client: self._operations.has(client, sid))

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

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        sid, sessionKey = change.sid, change.sessionKey
        if not isinstance(sessionKey, str):
            return fail(ValueError("whoever logs in has a sessionKey, which is a str"))
        if limit is None:
            made = self._ask(sid, lambda client: self._operations.logIn(client, change))
            return made.addCallback(LogIn)
        steps = partial(self._logIn, change, sessionKey, limit, self._patience())
        return self._lines.run(sid, lambda: self._logIns.run(sessionKey, lambda: self._work(steps)))

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        moment = self._time.now()
        return self._work(
            lambda client: self._owners(client).end(sessionKey, reason, exceptFor, moment)
        )

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return self._work(lambda client: self._journal(client).enrol(observer))

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return self._work(lambda client: self._journal(client).dismiss(observer))

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.
        """
        return self._work(lambda client: self._journal(client).take(observer, limit, lease))

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._work(lambda client: self._journal(client).acknowledge(observer, eventIDs))

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  L{close} ends it as well.
        """
        return self._notices.watch(ended, missed)

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

    async def _deleteOld(self, age: float) -> int:
        """
        End what was last touched so many seconds ago.
        """
        moment = self._time.now() - age
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

    async def _logIn(
        self,
        change: Change,
        sessionKey: str,
        limit: SessionLimit,
        giveUp: float,
        client: IRedis,
    ) -> LogIn:
        """
        Let a limited number in.
        """
        return await self._admission(client).logIn(change, sessionKey, limit, giveUp)
