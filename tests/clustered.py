"""
Two sites over one store, as in two processes: each has a store of its own, and real
sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from httpclient import Client
from pages import Page
from servers import until
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from txsessions import Site
from txsessions.stores import openStore

SOON = 1.0
"""
How soon something has to be known everywhere, in seconds.
"""

SLACK = 1.0
"""
How much longer that may take on a machine that has other things to do.
"""


def answer(request: Any) -> Any:
    """
    What the sites do.
    """
    session = request.getSession()
    word = request.path[1:].decode()
    if word == "begin":
        session.data["n"] = 1
    elif word == "login":
        return done(request, session.logIn("alice"))
    elif word == "rework":
        return done(request, session.rework())
    elif word == "logout":
        session.expire()
    elif word == "hasten":
        session.sessionTimeout = 1.5
    elif word == "events":
        request.setHeader(b"content-type", b"text/event-stream")
        request.write(b"data: hello\n\n")
        session.bind(request)
        return NOT_DONE_YET
    request.setHeader(b"content-length", b"2")
    return b"ok"


def done(request: Any, step: Any) -> Any:
    """
    Answer when that is done.
    """

    def finish(_: object) -> None:
        request.setHeader(b"content-length", b"2")
        request.write(b"ok")
        request.finish()

    step.addCallbacks(finish, request.processingFailed)
    return NOT_DONE_YET


class Place:
    """
    One of the sites.
    """

    def __init__(self, text: str) -> None:
        """
        @param text: The store, as twistd has it.
        """
        self.store = openStore(text, reactor)
        self.site = Site(Page(answer), sessionStore=self.store)
        self._port: Any = None
        self._client: Any = None

    @property
    def manager(self) -> Any:
        """
        The manager of the site.
        """
        return self.site.sessionManager

    @property
    def port(self) -> int:
        """
        Where it listens.
        """
        return self._port.getHost().port

    async def start(self) -> None:
        """
        Begin to serve.
        """
        await self.store.setup()
        self._port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self._client = Client(self.port)

    async def stop(self) -> None:
        """
        Stop serving.
        """
        self._client.close()
        await self._port.stopListening()
        await self.site.stopSessions()

    async def ask(self, path: str, cookie: str | None = None) -> str | None:
        """
        Ask for a page.

        @return: The cookie from now on.
        """
        answer = await self._client.ask(path, cookie)
        assert answer.code == 200, answer
        return answer.cookie or cookie

    def session(self, cookie: str) -> Any:
        """
        The live session that a cookie opens.
        """
        return self.site.sessions[cookie.partition("=")[2].encode()]


class Told:
    """
    A callback that notes when it was called.
    """

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, *_: object) -> None:
        self.times.append(time.monotonic())

    async def wait(self, tries: int = 1000) -> float:
        """
        Wait until it is called, once.

        @return: When it was.
        """
        await until(lambda: self.times, "it is told", tries)
        assert len(self.times) == 1
        return self.times[0]


class Line(Protocol):
    """
    One end of a connection.

    @ivar received: What has come.
    @ivar lost: When it was lost.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost = Told()

    def dataReceived(self, data: bytes) -> None:
        """
        Something has come.
        """
        self.received += data

    def connectionLost(self, reason: Failure) -> None:
        """
        It is closed.
        """
        self.lost()


class Exchange:
    """
    Connections that have nothing to do with the web.

    @ivar ours: The ends that are bound to sessions.
    """

    def __init__(self) -> None:
        self.ours: list[Line] = []
        self._theirs: list[Line] = []
        factory = Factory.forProtocol(Line)
        factory.buildProtocol = self._build  # type: ignore[assignment,method-assign]
        self._port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")

    def _build(self, address: object) -> Line:
        """
        Another one.
        """
        self.ours.append(Line())
        return self.ours[-1]

    async def connect(self) -> tuple[Line, Line]:
        """
        A new connection: our end, and that of the client.
        """
        theirs = await dial(self._port.getHost().port)
        self._theirs.append(theirs)
        await until(lambda: len(self.ours) == len(self._theirs), "there is a connection")
        return self.ours[-1], theirs

    async def close(self) -> None:
        """
        Leave nothing behind.
        """
        await self._port.stopListening()
        for line in self._theirs:
            line.transport.abortConnection()  # type: ignore[union-attr]
        await until(lambda: all(line.lost.times for line in self.ours), "all are closed")


async def dial(port: int, text: str = "") -> Line:
    """
    A connection as a client has it.

    @param text: What to send.
    """
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    line: Line = await endpoint.connect(Factory.forProtocol(Line))
    line.transport.write(text.encode())  # type: ignore[union-attr]
    return line


async def inTime(step: Callable[[], Any], told: Told, since: float | None = None) -> float:
    """
    Do something of which somebody is to be told in time.

    @param since: When it is to be known from, if that is not when it is done.
    @return: How long it took, in seconds.
    """
    await step()
    began = time.monotonic() if since is None else since
    took = await told.wait() - began
    assert took < SOON + SLACK, took
    return took
