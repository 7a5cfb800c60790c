"""
A TCP proxy that is as bad as a network can be.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

PATIENCE: Final = 5.0
"""
How long the server may take to accept a connection, in seconds.
"""


class Side(Protocol):
    """
    One end of a connection through the proxy.

    @ivar other: The other end, when there is one.
    """

    transport: Any

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.other: Side | None = None
        self._early: list[bytes] = []
        self._waiting: deque[tuple[bytes, Any]] = deque()
        self._due = 0.0

    def connectionMade(self) -> None:
        """
        It may be used.
        """
        self._proxy.sides.add(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass it on, as the proxy does just now.
        """
        self._proxy.carry(self, data)

    def sendLate(self, data: bytes, delay: float) -> None:
        """
        Send what came from the other end, so many seconds late, and not before what
        came earlier.
        """
        reactor = self._proxy.reactor
        due = max(reactor.seconds() + delay, self._due)
        if not self._waiting and due <= reactor.seconds():
            self.transport.write(data)
            return
        self._due = due
        call = reactor.callLater(max(0.0, due - reactor.seconds()), self._sendNext)
        self._waiting.append((data, call))

    def _sendNext(self) -> None:
        """
        Send what waits longest.
        """
        data, _ = self._waiting.popleft()
        self.transport.write(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        The other end is closed too.
        """
        self._proxy.sides.discard(self)
        for _, call in self._waiting:
            call.cancel()
        self._waiting.clear()
        if self.other is not None and not self._proxy.isDeaf:
            self.other.close()

    def join(self, other: Side) -> None:
        """
        From now on, what comes in here leaves there, and the other way round.
        """
        self.other, other.other = other, self
        early, self._early = self._early, []
        for data in early:
            self._proxy.carry(self, data)

    def keep(self, data: bytes) -> None:
        """
        Keep what came before there was another end.
        """
        self._early.append(data)

    def close(self) -> None:
        """
        Close this end, when what was sent has left.
        """
        self.transport.loseConnection()

    def abort(self) -> None:
        """
        Close this end at once.
        """
        self.transport.abortConnection()


class Inner(Side):
    """
    The end of somebody who wants to reach the server.
    """

    def connectionMade(self) -> None:
        """
        Connect to the server as well.
        """
        super().connectionMade()
        self._proxy.connect(self)


class Proxy:
    """
    Listens at a port, and passes on what it gets.

    @ivar reactor: Where it runs.
    @ivar port: Where it listens, at 127.0.0.1.
    @ivar sides: The ends of all connections.
    @ivar isDeaf: Whether it swallows everything, and keeps all connections.
    @ivar delay: How late it passes on what it gets, in seconds.
    """

    def __init__(self, reactor: Any, server: int) -> None:
        """
        @param server: The port of the server, at 127.0.0.1.
        """
        self.reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server, timeout=PATIENCE)
        self._listening: Any = None
        self.port = 0
        self.sides: set[Side] = set()
        self._connecting: set[Deferred[Any]] = set()
        self.isDeaf = False
        self.delay = 0.0

    def start(self) -> None:
        """
        Begin to listen.
        """
        factory = Factory.forProtocol(partial(Inner, self))
        self._listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        """
        Stop listening, and drop all connections.
        """
        self.hear()
        for connecting in list(self._connecting):
            connecting.cancel()
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)

    def drop(self) -> None:
        """
        Drop all connections.
        """
        for side in list(self.sides):
            side.abort()

    def hear(self) -> None:
        """
        Be deaf no more.  What was swallowed is missing, so that no connection can go
        on.
        """
        self.isDeaf = False
        self.drop()

    def carry(self, side: Side, data: bytes) -> None:
        """
        Pass on what came in at one end.
        """
        if self.isDeaf:
            return
        if side.other is None:
            side.keep(data)
        else:
            side.other.sendLate(data, self.delay)

    def connect(self, side: Side) -> None:
        """
        Connect somebody to the server.
        """
        connecting = self._endpoint.connect(Factory.forProtocol(partial(Side, self)))
        self._connecting.add(connecting)

        def settled(result: Any) -> Any:
            self._connecting.discard(connecting)
            return result

        connecting.addBoth(settled).addCallbacks(side.join, lambda _: side.abort())
