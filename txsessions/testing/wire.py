"""
A connection without a socket: what a server's protocol takes for its transport.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, ISSLTransport, ITCPTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

CLIENT = IPv4Address("TCP", "127.0.0.1", 50000)
"""
Where the requests of an in-memory browser come from.
"""


@implementer(ITCPTransport)
class Wire:
    """
    An in-memory transport.  Bytes arrive at once; that it was closed the server
    hears as soon as it has returned from handling what it got.

    @ivar isBusy: Whether the server is handling what it got.
    @ivar lost: Why the connection is closed; C{None} while it is open.
    """

    disconnecting = False
    _log = Logger()

    def __init__(
        self, isSecure: bool, dataReceived: Callable[[bytes], None], changed: Callable[[], None]
    ) -> None:
        """
        @param isSecure: Whether it passes for TLS.
        @param dataReceived: Called with what the server writes.
        @param changed: Called when something may have happened, and the server
            is not busy handling what it got.
        """
        if isSecure:
            directlyProvides(self, ISSLTransport)
        self.isBusy = False
        self.lost: Failure | None = None
        self._received = bytearray()
        self._port = 443 if isSecure else 80
        self._dataReceived = dataReceived
        self._changed = changed
        self._protocol: IProtocol | None = None
        self._isTold = False

    @property
    def received(self) -> bytes:
        """
        All that the server has written.
        """
        return bytes(self._received)

    def connect(self, protocol: IProtocol) -> None:
        """
        Give the server its end.
        """
        self._protocol = protocol
        self._hand(lambda: protocol.makeConnection(self))

    def send(self, data: bytes) -> None:
        """
        Send bytes to the server.
        """
        protocol = self._protocol
        if protocol is not None and self.lost is None:
            self._hand(lambda: protocol.dataReceived(data))

    def disconnect(self, reason: Failure) -> None:
        """
        Close the connection, from either side.
        """
        if self.lost is None:
            self.lost = reason
            self.disconnecting = True
        self._settle()

    def _hand(self, call: Callable[[], None]) -> None:
        """
        Have the server do something.  An error of its own is logged and ends the
        connection, as it is and does on a socket.
        """
        wasBusy, self.isBusy = self.isBusy, True
        try:
            call()
        except Exception:
            self._log.failure("The protocol of the site has failed")
            self.lost = self.lost or Failure()
        finally:
            self.isBusy = wasBusy
        self._settle()

    def _settle(self) -> None:
        """
        Tell both sides what has come about, unless the server is busy.
        """
        if self.isBusy:
            return
        if self.lost is not None and self._protocol is not None and not self._isTold:
            self._isTold = True
            self._protocol.connectionLost(self.lost)
        self._changed()

    def write(self, data: bytes) -> None:
        """
        See L{ITransport.write<twisted.internet.interfaces.ITransport.write>}.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"a transport takes bytes and not {type(data).__name__}")
        if self.lost is None:
            self._received += data
            self._dataReceived(data)
            self._settle()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        See L{ITransport.writeSequence
        <twisted.internet.interfaces.ITransport.writeSequence>}.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        See L{ITransport.loseConnection
        <twisted.internet.interfaces.ITransport.loseConnection>}.
        """
        self.disconnect(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """
        See L{ITCPTransport.abortConnection
        <twisted.internet.interfaces.ITCPTransport.abortConnection>}.
        """
        self.disconnect(Failure(ConnectionLost()))

    def loseWriteConnection(self) -> None:
        """
        See L{ITCPTransport.loseWriteConnection
        <twisted.internet.interfaces.ITCPTransport.loseWriteConnection>}: with
        a browser at the other end that is the end.
        """
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        """
        The browser's address.
        """
        return CLIENT

    def getHost(self) -> IPv4Address:
        """
        The server's address.
        """
        return IPv4Address("TCP", "127.0.0.1", self._port)

    def getPeerCertificate(self) -> None:
        """
        Browsers show none.
        """

    def getTcpNoDelay(self) -> bool:
        """
        Nothing is ever delayed.
        """
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Nothing is ever delayed.
        """

    def getTcpKeepAlive(self) -> bool:
        """
        There is nobody to ask.
        """
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        There is nobody to ask.
        """
