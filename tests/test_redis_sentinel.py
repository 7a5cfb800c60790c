"""
Tests for L{txsessions.redis.sentinel}: the client follows the master.
"""

from __future__ import annotations

from typing import Any

import pytest_twisted
from servers import RedisServer, until, withReplica
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from zope.interface.verify import verifyObject

from txsessions.redis.address import Address
from txsessions.redis.client import Client
from txsessions.redis.errors import NotSent, RedisError
from txsessions.redis.interfaces import ILocator
from txsessions.redis.locator import Fixed
from txsessions.redis.sentinel import Sentinels
from txsessions.testing.ports import freePort


def reply(port: int, epoch: int) -> tuple[bool, list[bytes]]:
    """
    What a Sentinel says of a master.
    """
    facts = {"name": "main", "ip": "127.0.0.1", "port": port, "config-epoch": epoch}
    return True, [str(word).encode() for pair in facts.items() for word in pair]


def sentinelsAt(*ports: int, **options: Any) -> Sentinels:
    """
    A locator that asks the Sentinels at these ports.
    """
    addresses = [Address("127.0.0.1", port) for port in ports]
    return Sentinels(reactor, addresses, "main", random=lambda: 0.0, **options)


async def givesUp(command: Deferred[Any]) -> Any:
    """
    The error that a command fails with.
    """
    [(succeeded, result)] = await DeferredList([command], consumeErrors=True)
    assert not succeeded
    return result.value


def test_locators() -> None:
    """
    Both kinds of locator provide their interface.
    """
    assert verifyObject(ILocator, sentinelsAt(1))
    assert verifyObject(ILocator, Fixed(Address()))


def test_newestConfiguration() -> None:
    """
    The Sentinel with the newest configuration is believed, not the first and not the most.
    """
    sentinels = sentinelsAt(1)
    answers = [reply(1, 3), reply(2, 4), reply(1, 3)]
    assert sentinels._newest(answers) == Address("127.0.0.1", 2)


@pytest_twisted.ensureDeferred
async def test_noSentinel() -> None:
    """
    When no Sentinel answers commands fail at once, with the name of the master.
    """
    client = Client(reactor, sentinelsAt(freePort(), freePort()), timeout=1.0)
    error = await givesUp(client.execute("a", "GET", "a"))
    assert isinstance(error, NotSent)
    assert "none of 2 Sentinels" in str(error)
    assert "'main'" in str(error)
    await client.close()


@pytest_twisted.ensureDeferred
async def test_noMaster(run: Any, tmp_path: Any) -> None:
    """
    A server that is no master is not used, whatever a Sentinel says.
    """
    server = await run(RedisServer(tmp_path / "server"))
    server.ask("REPLICAOF", "127.0.0.1", str(freePort()))
    locator = Fixed(Address("127.0.0.1", server.port))
    locator = type("Strict", (Fixed,), {"expectsMaster": True})(locator.address)
    client = Client(reactor, locator, timeout=1.0)
    assert "is no master" in str(await givesUp(client.execute("a", "GET", "a")))
    await client.close()


@pytest_twisted.ensureDeferred
async def test_failOver(run: Any, tmp_path: Any) -> None:
    """
    When the master dies the client goes to the new one by itself, whichever Sentinels are
    dead; subscriptions go with it.
    """
    master, replica, sentinel = await withReplica(run, tmp_path)
    client = Client(reactor, sentinelsAt(freePort(), sentinel.port), timeout=1.0)
    heard: list[bytes] = []
    assert await client.execute("a", "SET", "a", "1") == b"OK"
    await client.subscribe(b"channel", heard.append)
    await until(lambda: replica.ask("GET", "a") == b"1", "the replica has it")
    await master.kill()

    async def writes() -> bool:
        try:
            return await client.execute("a", "SET", "a", "2") == b"OK"
        except RedisError:
            return False

    await until(writes, "the client writes to the new master")
    assert replica.ask("GET", "a") == b"2"
    await until(lambda: replica.ask("PUBLISH", "channel", "x"), "somebody listens")
    await until(lambda: heard == [b"x"], "the message comes")
    await client.close()


@pytest_twisted.ensureDeferred
async def test_switchWithoutDeath(run: Any, tmp_path: Any) -> None:
    """
    When another server is made the master while the old one lives, the client leaves the old
    one although nothing failed on it.
    """
    _, replica, sentinel = await withReplica(run, tmp_path)
    client = Client(reactor, sentinelsAt(sentinel.port), timeout=1.0)
    assert await client.execute("a", "SET", "a", "1") == b"OK"
    await until(
        lambda: sentinel.ask("SENTINEL", "FAILOVER", "main") == b"OK",
        "the Sentinel begins to switch",
    )
    await until(lambda: client._link.address.port == replica.port, "the client has moved")

    async def writes() -> bool:
        try:
            return await client.execute("a", "SET", "a", "2") == b"OK"
        except RedisError:
            return False

    await until(writes, "the client writes to the new master")
    assert replica.ask("GET", "a") == b"2"
    await client.close()
