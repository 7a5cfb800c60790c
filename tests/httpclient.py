"""
A small HTTP client that tells what was sent from what was not, repeats nothing by
itself, and is cheap enough for hundreds of connections in one process.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

PATIENCE = 30
"""
How long an answer may take, in seconds.
"""


@attrs.frozen
class Answer:
    """
    A response.

    @ivar headers: Their names are in lower case.
    """

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def cookie(self) -> str | None:
        """
        What the browser is to send from now on; C{None} if the response has no
        C{Set-Cookie}.
        """
        line = self.headers.get("set-cookie")
        return None if line is None else line.partition(";")[0]

    @property
    def content(self) -> Any:
        """
        The body, which is JSON.
        """
        return json.loads(self.body)


class Connection(Protocol):
    """
    One connection, with one request at a time.
    """

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
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers["content-length"])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if headers.get("connection", "").lower() == "close":
            self.isOpen = False
            self.transport.loseConnection()
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "an answer that nobody asked for"
        waiting.callback(Answer(int(status.split()[1]), headers, rest[:length]))

    def connectionLost(self, reason: Failure) -> None:
        """
        Nothing will come any more.
        """
        self.isOpen = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(ConnectionLost())


class Client:
    """
    Asks one server, over a connection that it makes when there is none.
    """

    def __init__(self, port: int) -> None:
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=PATIENCE)
        self._connection: Connection | None = None

    async def connect(self) -> None:
        """
        Make a connection, unless there is one.

        @raise ConnectError: There is none.
        """
        if self._connection is None or not self._connection.isOpen:
            self._connection = await self._endpoint.connect(Factory.forProtocol(Connection))

    async def ask(self, path: str, cookie: str | None = None) -> Answer:
        """
        Send a request.

        @raise ConnectError: It was not sent.
        @raise ConnectionLost: It was sent, and nobody knows what came of it.
        @raise TimeoutError: As L{ConnectionLost}.
        """
        await self.connect()
        header = "" if cookie is None else f"Cookie: {cookie}\r\n"
        request = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\n{header}Content-Length: 0\r\n\r\n"
        assert self._connection is not None
        return await self._connection.send(request.encode()).addTimeout(PATIENCE, reactor)

    def close(self) -> None:
        """
        Close the connection.
        """
        if self._connection is not None and self._connection.isOpen:
            self._connection.transport.abortConnection()
