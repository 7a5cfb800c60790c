"""
Tests for L{txsessions.stores.redis}: the contract on one server and on a Cluster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import pytest_twisted
from servers import RedisCluster, RedisServer, until
from twisted.internet import reactor

from txsessions.errors import StoreUnavailable
from txsessions.redis.address import Address
from txsessions.redis.client import Client
from txsessions.redis.cluster import ClusterClient
from txsessions.redis.errors import RedisError
from txsessions.redis.interfaces import IRedis
from txsessions.redis.locator import Fixed
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.keys import Keys
from txsessions.stores.redisserver.scripts import Scripts
from txsessions.stores.redisserver.together import together
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    DurableJournalContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")

TIME_OF_TEST = """
local function present()
  return tonumber(redis.call('GET', string.match(KEYS[1], '^{.-}') .. 'clock'))
end
"""

prefixes = count(1)


class TimedStore(RedisStore):
    """
    A store whose server has the time of the test.
    """

    _scripts = Scripts(TIME_OF_TEST)


class RedisContract(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
    ConnectedContract,
    DurabilityContract,
    DurableJournalContract,
    AvailabilityContract,
    CorruptionContract,
):
    """
    The contract, with the hooks of a store on Redis.

    @ivar nodes: The servers.
    @ivar tool: A client for what the store does not do.
    @ivar prefix: How the keys of the running test begin.
    """

    nodes: list[RedisServer]
    tool: IRedis
    prefix: str

    def parameters(self) -> dict[str, Any]:
        """
        Where the store is.
        """
        raise NotImplementedError

    async def makeStore(self) -> RedisStore:
        """
        See L{Contract.makeStore}.
        """
        self.prefix = f"test{next(prefixes)}"
        await self.setServerTime()
        return self.open()

    async def run(self, function: Any) -> None:
        """
        See L{Contract.run}.
        """
        try:
            await super().run(function)
        finally:
            await self.tool.close()

    def open(self) -> RedisStore:
        """
        A handle on the data of the test.
        """
        return TimedStore(prefix=self.prefix, clock=self.clock, **self.parameters())

    async def setServerTime(self) -> None:
        """
        Let the server have the time of the test.
        """
        keys = [bucket.base + b"clock" for bucket in Keys(self.prefix).buckets]
        now = repr(self.clock.seconds())
        await together(self.tool.execute(key, "SET", key, now) for key in keys)

    async def advance(self, seconds: float) -> None:
        """
        See L{Contract.advance}.
        """
        await super().advance(seconds)
        await self.setServerTime()

    async def concurrentStore(self, store: RedisStore) -> RedisStore:
        """
        See L{Contract.concurrentStore}.
        """
        return self.open()

    async def reopen(self, store: RedisStore) -> RedisStore:
        """
        See L{Contract.reopen}.
        """
        await store.close()
        await self.breakStore(store)
        store = self.open()
        await self.mendStore(store)
        return store

    async def breakStore(self, store: RedisStore) -> None:
        """
        See L{Contract.breakStore}.
        """
        for node in self.nodes:
            await node.kill()

    async def mendStore(self, store: RedisStore) -> None:
        """
        See L{Contract.mendStore}.
        """
        for node in self.nodes:
            await node.start()
        for handle in (self.tool, store):
            await until(lambda handle=handle: self.answers(handle), "the store is back")

    async def answers(self, handle: Any) -> bool:
        """
        Whether all nodes answer.
        """
        buckets = Keys(self.prefix).buckets
        try:
            if isinstance(handle, RedisStore):
                await handle.findSessions("nobody")
            else:
                keys = [bucket.base for bucket in buckets]
                await together(handle.execute(key, "GET", key) for key in keys)
        except (StoreUnavailable, RedisError):
            return False
        return True

    async def damageSession(self, store: RedisStore, sid: str) -> None:
        """
        See L{Contract.damageSession}.
        """
        key = Keys(self.prefix).bucket(sid).record(sid)
        assert await self.tool.execute(key, "HSET", key, "m", "yesterday") == 0


@pytest_twisted.async_yield_fixture(scope="module")
async def server(tmp_path_factory: Any) -> AsyncIterator[RedisServer]:
    """
    A server that the tests of this module share.
    """
    server = RedisServer(tmp_path_factory.mktemp("server"), *DURABLE)
    await server.start()
    yield server
    await server.kill()


@pytest_twisted.async_yield_fixture(scope="module")
async def cluster(tmp_path_factory: Any) -> AsyncIterator[RedisCluster]:
    """
    A Cluster that the tests of this module share.
    """
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"), *DURABLE)
    await cluster.start()
    yield cluster
    await cluster.kill()


class TestOneServer(RedisContract):
    """
    The contract on one server.
    """

    @pytest.fixture(autouse=True)
    def useServer(self, server: RedisServer) -> None:
        """
        Take the server of the module.
        """
        self.nodes = [server]
        self.tool = Client(reactor, Fixed(Address(path=server.path)))

    def parameters(self) -> dict[str, Any]:
        """
        See L{RedisContract.parameters}.
        """
        return {"path": self.nodes[0].path}


class TestCluster(RedisContract):
    """
    The contract on a Cluster of three nodes.
    """

    cluster: RedisCluster

    @pytest.fixture(autouse=True)
    def useCluster(self, cluster: RedisCluster) -> None:
        """
        Take the Cluster of the module.
        """
        self.cluster = cluster
        self.nodes = cluster.nodes
        self.tool = ClusterClient(reactor, [Address("127.0.0.1", self.nodes[0].port)])

    def parameters(self) -> dict[str, Any]:
        """
        See L{RedisContract.parameters}.
        """
        return {"nodes": [f"127.0.0.1:{node.port}" for node in self.nodes]}

    async def mendStore(self, store: RedisStore) -> None:
        """
        See L{Contract.mendStore}.
        """
        for node in self.nodes:
            await node.start()
        await until(self.cluster.isWhole, "the Cluster is whole again")
        for handle in (self.tool, store):
            await until(lambda handle=handle: self.answers(handle), "the store is back")
