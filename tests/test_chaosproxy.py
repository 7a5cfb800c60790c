"""
Tests for the network of a chaos run, and for its client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_twisted
from servers import until
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol

from txsessions.testing.chaos.client import UNSENT, Client
from txsessions.testing.chaos.fault import DROP, FREEZE_WORKER
from txsessions.testing.chaos.figures import Figures
from txsessions.testing.chaos.mischief import Done
from txsessions.testing.chaos.operation import DONE, READ, REFUSED, Operation
from txsessions.testing.chaos.plot import TIMES, draw
from txsessions.testing.chaos.proxy import Proxy
from txsessions.testing.ports import freePort


class Echo(Protocol):
    """
    Sends back what it gets.
    """

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Ear(Protocol):
    """
    Notes what it hears, and whether there is anybody.
    """

    def __init__(self) -> None:
        self.heard = b""
        self.isOpen = True

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.isOpen = False


@pytest_twisted.async_yield_fixture
async def proxy() -> AsyncIterator[Proxy]:
    """
    A proxy before somebody who echoes.
    """
    server = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    proxy = Proxy(reactor, server.getHost().port)
    proxy.start()
    yield proxy
    await proxy.stop()
    await until(lambda: not proxy.sides, "all connections are closed")
    await server.stopListening()


async def connected(proxy: Proxy) -> Any:
    """
    A connection through it, that works.
    """
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.port)
    ear: Any = await endpoint.connect(Factory.forProtocol(Ear))
    ear.transport.write(b"1")
    await until(lambda: ear.heard == b"1", "it works")
    return ear


class TestProxy:
    """
    The proxy.
    """

    @pytest_twisted.ensureDeferred
    async def test_drop(self, proxy: Proxy) -> None:
        """
        It drops all connections, and takes new ones.
        """
        ear = await connected(proxy)
        proxy.drop()
        await until(lambda: not ear.isOpen, "it is dropped")
        await connected(proxy)

    @pytest_twisted.ensureDeferred
    async def test_delay(self, proxy: Proxy) -> None:
        """
        What is late arrives, and in its order.
        """
        ear = await connected(proxy)
        proxy.delay, start = 0.1, reactor.seconds()
        ear.transport.write(b"2")
        # There and not yet back again when the network is fast once more.
        await until(lambda: reactor.seconds() > start + 0.15, "it is on its way")
        proxy.delay = 0.0
        ear.transport.write(b"3")
        await until(lambda: ear.heard == b"123", "all of it arrives")
        assert reactor.seconds() - start >= 0.2

    @pytest_twisted.ensureDeferred
    async def test_deaf(self, proxy: Proxy) -> None:
        """
        It swallows everything, keeps all connections, takes further ones, and drops them
        when it hears again, for something is missing there.
        """
        ear = await connected(proxy)
        proxy.isDeaf = True
        ear.transport.write(b"2")
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.port)
        other: Any = await endpoint.connect(Factory.forProtocol(Ear))
        other.transport.write(b"3")
        await until(lambda: len(proxy.sides) == 4, "both are connected")
        assert (ear.isOpen, other.isOpen) == (True, True)
        proxy.hear()
        await until(lambda: not ear.isOpen and not other.isOpen, "both are dropped")
        assert (ear.heard, other.heard) == (b"1", b"")
        await connected(proxy)

    @pytest_twisted.ensureDeferred
    async def test_nobody(self) -> None:
        """
        Where there is no server there is no connection.
        """
        proxy = Proxy(reactor, freePort())
        proxy.start()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.port)
        ear: Any = await endpoint.connect(Factory.forProtocol(Ear))
        await until(lambda: not ear.isOpen, "it is dropped")
        await proxy.stop()


class TestClient:
    """
    The client tells what was sent from what was not.
    """

    @pytest_twisted.ensureDeferred
    async def test_unsent(self) -> None:
        """
        Where nobody listens nothing is sent.
        """
        with pytest.raises(UNSENT):
            await Client(reactor, freePort()).ask("read")

    @pytest_twisted.ensureDeferred
    async def test_unanswered(self) -> None:
        """
        What was sent, and then the connection was lost, is something else.
        """

        class Rude(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
                self.transport.loseConnection()

        server = reactor.listenTCP(0, Factory.forProtocol(Rude), interface="127.0.0.1")
        with pytest.raises(ConnectionLost):
            await Client(reactor, server.getHost().port).ask("read")
        await server.stopListening()


def test_picture() -> None:
    """
    The picture is XML, with a curve for each percentile and a bar for each fault.
    """
    figures = Figures()
    for start, end, outcome in [(0, 0.5, DONE), (1, 1.1, DONE), (3, 3.1, REFUSED), (8, 9, DONE)]:
        figures.note(Operation(0, 0, 0, READ, 0, start, end, outcome=outcome))
    faults = [Done(DROP, 1.0, 1.0), Done(FREEZE_WORKER, 2.0, 4.5), Done(DROP, 9.0, 9.0)]
    text = draw("a < b", "in short", 10.0, figures, faults)
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(text)
    assert len(root.findall(f"{space}rect[@class='mark']")) == len(faults)
    assert len(root.findall(f"{space}path[@class='curve']")) == 2
    words = [each.text for each in root.findall(f"{space}text")]
    assert {"a < b", "in short", DROP, f"{TIMES} 2"} <= set(words)


def test_latency() -> None:
    """
    What a page was told to take is no latency.
    """
    figures = Figures()
    figures.note(Operation(0, 0, 0, READ, 0, 1.0, 2.75, slow=1.5, outcome=DONE))
    assert figures.latencies == {2: [0.25]}
