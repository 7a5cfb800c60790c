"""
Tests for L{txsessions.redis.subscriber}: subscriptions that outlive connections.
"""

from __future__ import annotations

from typing import Any

import pytest_twisted
from servers import RedisServer, until
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.logger import globalLogPublisher

from txsessions.redis.address import Access, Address
from txsessions.redis.client import Client
from txsessions.redis.errors import NotSent
from txsessions.redis.locator import Fixed
from txsessions.redis.subscriber import Subscriber


def subscriberOf(server: RedisServer, **options: Any) -> Subscriber:
    """
    A subscriber of a server, with short times.
    """
    return Subscriber(
        reactor,
        Fixed(Address(path=server.path)),
        Access(),
        timeout=0.3,
        random=lambda: 0.0,
        **options,
    )


@pytest_twisted.ensureDeferred
async def test_messages(run: Any, tmp_path: Any) -> None:
    """
    All who listen to a channel get what is published in it, and only that; one who raises
    harms no other.
    """
    server = await run(RedisServer(tmp_path))
    client = Client(reactor, Fixed(Address(path=server.path)), timeout=1.0)
    heard: list[Any] = []
    events: list[Any] = []

    def broken(message: bytes) -> None:
        heard.append(("broken", message))
        raise ZeroDivisionError

    await client.subscribe(b"one", broken)
    await client.subscribe(b"one", lambda message: heard.append(("one", message)))
    await client.subscribe(b"two", lambda message: heard.append(("two", message)))
    globalLogPublisher.addObserver(events.append)
    await client.execute("", "PUBLISH", "one", b"\x00a")
    await client.execute("", "PUBLISH", "two", "b")
    await client.execute("", "PUBLISH", "three", "c")
    await until(lambda: len(heard) == 3, "the messages come")
    globalLogPublisher.removeObserver(events.append)
    assert heard == [("broken", b"\x00a"), ("one", b"\x00a"), ("two", b"b")]
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
    await client.close()


@pytest_twisted.ensureDeferred
async def test_subscribesAgain(run: Any, tmp_path: Any) -> None:
    """
    After the server has been killed and started again the subscriptions stand.
    """
    server = await run(RedisServer(tmp_path))
    subscriber = subscriberOf(server)
    heard: list[bytes] = []
    await subscriber.subscribe(b"one", heard.append)
    await server.kill()
    await server.start()
    await until(lambda: server.ask("PUBLISH", "one", "x"), "somebody listens")
    await until(lambda: heard == [b"x"], "the message comes")
    await subscriber.close()


@pytest_twisted.ensureDeferred
async def test_whileDown(run: Any, tmp_path: Any) -> None:
    """
    A subscription that cannot be made now says so in time, and is made when the server is
    there.
    """
    server = RedisServer(tmp_path)
    subscriber = subscriberOf(server)
    heard: list[bytes] = []
    [(succeeded, result)] = await DeferredList(
        [subscriber.subscribe(b"one", heard.append)], consumeErrors=True
    )
    assert not succeeded
    assert result.check(NotSent)
    await run(server)
    await until(lambda: server.ask("PUBLISH", "one", "x"), "somebody listens")
    await until(lambda: heard == [b"x"], "the message comes")
    await subscriber.close()


@pytest_twisted.ensureDeferred
async def test_hangingServer(run: Any, tmp_path: Any) -> None:
    """
    A connection on which nothing comes any more is noticed, although nothing was expected on
    it, and made again; one that is merely quiet is kept.
    """
    server = await run(RedisServer(tmp_path))
    subscriber = subscriberOf(server, pulse=0.1)
    heard: list[bytes] = []
    await subscriber.subscribe(b"one", heard.append)
    quiet = subscriber._link.connection
    began = reactor.seconds()
    await until(lambda: reactor.seconds() - began > 0.8, "time passes")
    assert subscriber._link.connection is quiet
    server.freeze()
    await until(lambda: subscriber._link.trouble is not None, "the hanging is noticed")
    server.thaw()
    # At first the server takes the connection that was given up for one that listens.
    await until(lambda: server.ask("PUBLISH", "one", "x") and heard, "a message comes")
    await subscriber.close()


@pytest_twisted.ensureDeferred
async def test_forbiddenChannel(run: Any, tmp_path: Any) -> None:
    """
    A channel that the user may not read is told by the server's own words.
    """
    server = await run(RedisServer(tmp_path))
    server.ask("ACL", "SETUSER", "default", "resetchannels", "&mine")
    subscriber = subscriberOf(server)
    [(succeeded, result)] = await DeferredList(
        [subscriber.subscribe(b"theirs", list)], consumeErrors=True
    )
    assert not succeeded
    assert "NOPERM" in result.getErrorMessage()
    await subscriber.close()
