"""
Tests for L{txsessions.stores.redis} on a Cluster while a slot is being moved, key by key.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import KEYS, newRecord
from servers import RedisCluster, RedisServer, until
from twisted.internet.defer import Deferred, gatherResults

from txsessions.errors import StoreUnavailable
from txsessions.record import Record
from txsessions.redis.slots import slotOf
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.keys import Bucket

BUCKET = KEYS.bucket("0" * 32)


class Move:
    """
    A slot that moves from one node to another one.

    @ivar source: Where it was.
    """

    def __init__(self, cluster: RedisCluster, record: Record) -> None:
        self._cluster = cluster
        self._slot = slotOf(KEYS.bucket(record.sid).base)
        self.source = cluster.owner(self._slot)
        self._target = next(node for node in cluster.nodes if node is not self.source)

    def begin(self) -> None:
        """
        Say that the slot is being moved.
        """
        names = [self._idOf(node) for node in (self.source, self._target)]
        self._target.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", names[0])
        self.source.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", names[1])

    def move(self, *keys: bytes) -> None:
        """
        Move some keys.
        """
        for key in keys:
            reply = self.source.ask("MIGRATE", "127.0.0.1", self._target.port, key, 0, 5000)
            assert reply == b"OK"

    async def end(self) -> None:
        """
        Move all that is left, and say that the slot has moved.
        """
        self.move(*self.source.ask("CLUSTER", "GETKEYSINSLOT", self._slot, 1000))
        name = self._idOf(self._target)
        for node in (self._target, self.source, *self._cluster.nodes):
            assert node.ask("CLUSTER", "SETSLOT", self._slot, "NODE", name) == b"OK"
        await until(self._cluster.isWhole, "the nodes agree")

    def _idOf(self, node: RedisServer) -> bytes:
        """
        By what the Cluster knows a node.
        """
        return bytes(node.ask("CLUSTER", "MYID"))


@pytest_twisted.async_yield_fixture
async def cluster(run: Any, tmp_path: Path) -> Any:
    """
    A Cluster.
    """
    yield await run(RedisCluster(tmp_path))


@pytest_twisted.async_yield_fixture
async def store(cluster: RedisCluster) -> AsyncIterator[RedisStore]:
    """
    A store on it.
    """
    store = RedisStore(nodes=[f"127.0.0.1:{cluster.nodes[0].port}"], timeout=0.5)
    yield store
    await store.close()


def keyOf(record: Record) -> bytes:
    """
    The key of a record.
    """
    return KEYS.bucket(record.sid).record(record.sid)


async def leftBehind(
    cluster: RedisCluster, store: RedisStore, end: Callable[[], Deferred[Any]]
) -> list[Record]:
    """
    End some sessions of a bucket while one of them has been moved, and the others have not,
    and again when all have.

    @return: Those that have not ended then.
    """
    now = time.time()
    sids = [sid for sid in (f"{n:032x}" for n in range(300)) if KEYS.bucket(sid) is BUCKET]
    records = [
        newRecord(sid=sid, sessionKey="anna", created=now - 4000, lastModified=now - 4000)
        for sid in sids[:3]
    ]
    await gatherResults([store.createSession(record) for record in records])
    move = Move(cluster, records[0])
    move.begin()
    move.move(keyOf(records[0]))
    assert not await isDone(end())
    await move.end()
    await until(lambda: isDone(end()), "the store is back")
    return [record for record in records if await store.hasSession(record.sid)]


ENDS: dict[str, Callable[[RedisStore], Deferred[Any]]] = {
    "all of an owner": lambda store: store.endSessions("anna"),
    "sweep": lambda store: store.claimExpired(10),
    "old ones": lambda store: store.deleteOldSessions(10),
}


@pytest.mark.parametrize("observers", [(), ("audit",)])
@pytest.mark.parametrize("end", ENDS)
@pytest_twisted.ensureDeferred
async def test_endsMoving(
    cluster: RedisCluster, store: RedisStore, end: str, observers: tuple[str, ...]
) -> None:
    """
    While sessions are on their way to another node those of their bucket are not ended
    together, and nobody is told that they were; afterwards all are.
    """
    for observer in observers:
        await store.enrol(observer)
    assert await leftBehind(cluster, store, lambda: ENDS[end](store)) == []
    for observer in observers:
        assert len(await store.takeEndings(observer, 10, 60.0)) == 3


@pytest_twisted.ensureDeferred
async def test_sweepsMovingUnguarded(
    cluster: RedisCluster, store: RedisStore, monkeypatch: Any
) -> None:
    """
    That goes red where a script names no key that does not exist.
    """
    names = property(lambda self: (self.deadlines, self.owners, self.deadlines))
    monkeypatch.setattr(Bucket, "sets", names)
    assert await leftBehind(cluster, store, lambda: store.claimExpired(10)) != []


async def isDone(operation: Deferred[Any]) -> bool:
    """
    Whether the store can do that now.
    """
    try:
        await operation
    except StoreUnavailable:
        return False
    return True


@pytest_twisted.ensureDeferred
async def test_tellsMoving(cluster: RedisCluster, store: RedisStore) -> None:
    """
    An ending that is on its way to another node is not dropped, but given later.
    """
    await store.enrol("audit")
    record = newRecord()
    await store.createSession(record)
    await store.deleteSession(record.sid)
    move = Move(cluster, record)
    move.begin()
    (entryKey,) = move.source.ask("KEYS", f"*ending:{record.sid}-*")
    move.move(entryKey)
    with pytest.raises(StoreUnavailable):
        await store.takeEndings("audit", 10, 60.0)
    await move.end()
    (entry,) = await store.takeEndings("audit", 10, 60.0)
    assert entry.record == record
