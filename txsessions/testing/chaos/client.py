"""
A small HTTP/1.1 client that keeps its connections, tells what was sent from what was
not, and repeats nothing by itself.
"""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

PATIENCE: Final = 5.0
"""
How long an answer may take until it counts as lost, in seconds.
"""

UNSENT: Final = ConnectError
"""
Raised when a request was not sent.
"""

UNANSWERED: Final = (ConnectionLost, TimeoutError, CancelledError)
"""
Raised when it was sent, and nobody knows what came of it.
"""


@attrs.frozen
class Answer:
    """
    A response.

    @ivar headers: Their names are in lower case.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cookie(self) -> str | None:
        """
        What the browser is to send from now on; C{None} if the response brings
        nothing, or takes the cookie away.
        """
        line = self.headers.get("set-cookie")
        pair = "" if line is None else line.partition(";")[0]
        return pair if pair.partition("=")[2] else None

    @property
    def content(self) -> dict[str, Any]:
        """
        The body, which is JSON where the status is 200; else nothing.
        """
        if self.status != 200:
            return {}
        content: dict[str, Any] = json.loads(self.body)
        return content


class Connection(Protocol):
    """
    One connection, with one request at a time.

    @ivar isOpen: Whether it can be used.
    """

    transport: Any

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: Deferred[Answer] | None = None
        self.isOpen = False

    def connectionMade(self) -> None:
        """
        It can be used.
        """
        self.isOpen = True

    def send(self, request: bytes) -> Deferred[Answer]:
        """
        Send a request; its answer.
        """
        self._waiting = Deferred()
        self.transport.write(request)
        return self._waiting

    def dataReceived(self, data: bytes) -> None:
        """
        A part of an answer has come.
        """
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers["content-length"])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if headers.get("connection", "").lower() == "close":
            self.close()
        self._settle(Answer(int(status.split()[1]), headers, rest[:length]))

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        Nothing will come any more.
        """
        self.isOpen = False
        self._settle(Failure(ConnectionLost()))

    def close(self) -> None:
        """
        Use it no more.
        """
        self.isOpen = False
        self.transport.abortConnection()

    def _settle(self, result: Any) -> None:
        """
        Tell whoever waits.
        """
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(result)


class Client:
    """
    Asks one worker, over a connection that it makes when there is none.
    """

    def __init__(self, reactor: Any, port: int) -> None:
        self._reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=PATIENCE)
        self._connection: Connection | None = None

    async def ask(self, path: str, cookie: str | None = None) -> Answer:
        """
        Send a request.

        @raise ConnectError: It was not sent.
        @raise ConnectionLost: It was sent, and nobody knows what came of it.
        @raise TimeoutError: As L{ConnectionLost}.
        """
        connection = await self._connect()
        header = "" if cookie is None else f"Cookie: {cookie}\r\n"
        request = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: 0\r\n\r\n"
        answering = connection.send(request.encode()).addTimeout(PATIENCE, self._reactor)
        try:
            return await answering
        except UNANSWERED:
            # A late answer must not be taken for that to another request.
            connection.close()
            raise

    def close(self) -> None:
        """
        Close the connection.
        """
        if self._connection is not None and self._connection.isOpen:
            self._connection.close()

    async def _connect(self) -> Connection:
        """
        The connection.
        """
        if self._connection is None or not self._connection.isOpen:
            made = await self._endpoint.connect(Factory.forProtocol(Connection))
            assert isinstance(made, Connection)
            self._connection = made
        return self._connection
