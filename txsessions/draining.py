"""
A site that finishes what is under way before its process ends.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server

from .web.request import Request
from .web.site import Site

GRACE: Final = 10.0
"""
How long requests that are under way may take when the process is to end, in
seconds: less than what service managers wait before they kill.
"""

FLUSH_INTERVAL: Final = 0.05
"""
How often to look whether all bytes have left, in seconds.
"""


class CountedRequest(Request):
    """
    A request that its site knows of while it is under way.
    """

    def process(self) -> None:
        """
        See L{twisted.web.server.Request.process}.
        """
        channel: Any = self.channel
        site = channel.site
        site.begun(self)
        self.notifyFinish().addBoth(lambda _: site.done(self))
        super().process()

    def makeLast(self) -> None:
        """
        Let the connection end with this response (RFC 9112, 9.6), so that a
        client that is always busy keeps nobody waiting.
        """
        # A stream of HTTP/2 has a channel of its own, and no such attribute.
        if getattr(self.channel, "persistent", False):
            self.channel.persistent = False
            if not self.startedWriting:
                self.setHeader(b"connection", b"close")


class DrainingSite(Site):
    """
    A L{Site} that can wait for its requests.

    @ivar _underWay: The requests without a whole response.
    @ivar _drained: Fires when there is none; C{None} as long as nobody wants
        to know.
    """

    requestFactory = CountedRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._underWay: set[CountedRequest] = set()
        self._drained: Deferred[None] | None = None

    def begun(self, request: CountedRequest) -> None:
        """
        A request is under way.
        """
        self._underWay.add(request)
        if self._drained is not None:
            request.makeLast()

    def done(self, request: CountedRequest) -> None:
        """
        A request has got its response, or its client has gone.
        """
        self._underWay.discard(request)
        if self._drained is not None and not self._underWay and not self._drained.called:
            self._drained.callback(None)

    async def drain(self) -> None:
        """
        Wait until no request is under way and all bytes have left, or for
        L{GRACE} seconds.
        """
        drained: Deferred[None] = Deferred()
        self._drained = drained
        for request in self._underWay:
            request.makeLast()
        if not self._underWay:
            drained.callback(None)
        end = self.reactor.seconds() + GRACE
        await drained.addTimeout(GRACE, self.reactor, onTimeoutCancel=lambda *_: None)
        while self._isWriting() and self.reactor.seconds() < end:
            await deferLater(self.reactor, FLUSH_INTERVAL)

    def _isWriting(self) -> bool:
        """
        Whether a connection to a client has bytes that have not left.
        """
        writers = self.reactor.getWriters() if IReactorFDSet.providedBy(self.reactor) else ()
        return any(isinstance(writer, Server) for writer in writers)
