"""
What is said at once of endings, in a channel of its own, and heard by all
processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...redis.errors import RedisError
from ...redis.interfaces import IRedis
from ..watchers import Watchers

LATE: Final = 1.0
"""
How soon after somebody begins to watch the server must have confirmed that, in
seconds; later than that some endings may have been missed.
"""


class Notices:
    """
    Listens while somebody watches, over a client of its own.

    @ivar _client: The client, while there is one.
    @ivar _since: When it was made; C{None} when it has been confirmed that it
        listens.
    @ivar _closing: Clients that are being closed.
    """

    _log = Logger()

    def __init__(
        self,
        channel: bytes,
        connect: Callable[[], IRedis],
        reactor: Callable[[], IReactorTime],
    ) -> None:
        """
        @param channel: Where endings are told.
        @param connect: Makes a client.
        @param reactor: Gives the reactor.
        """
        self._channel = channel
        self._connect = connect
        self._reactor = reactor
        self._watchers = Watchers()
        self._client: IRedis | None = None
        self._since: float | None = None
        self._closing: set[Deferred[None]] = set()

    def watch(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings
        <txsessions.interfaces.ISessionNotices.watchEndings>}.
        """
        stop = self._watchers.watch(ended, missed)
        if self._client is None:
            client = self._client = self._connect()
            self._since = self._reactor().seconds()
            client.subscribe(
                self._channel, self._heard, lambda: self._established(client)
            ).addErrback(self._unconfirmed)

        def stopWatching() -> None:
            stop()
            if not self._watchers:
                self._rest()

        return stopWatching

    def close(self) -> Deferred[None]:
        """
        Listen no more, whoever watches.

        @return: A L{Deferred} that fires with L{None} when nothing is left
            behind.
        """
        self._watchers = Watchers()
        self._rest()
        return DeferredList(list(self._closing)).addCallback(lambda _: None)

    def _rest(self) -> None:
        """
        Close the client.
        """
        client, self._client = self._client, None
        if client is not None:
            closing = client.close()
            self._closing.add(closing)
            closing.addCallback(lambda _: self._closing.discard(closing))

    def _heard(self, message: bytes) -> None:
        """
        Tell what has ended: a line for each session, the handle and the reason.
        """
        for line in message.decode("utf-8", "replace").splitlines():
            sid, _, reason = line.partition(" ")
            self._watchers.ended(sid, reason)

    def _established(self, client: IRedis) -> None:
        """
        The server has confirmed that it will tell.  What ended since it could
        not is unknown.
        """
        if client is not self._client:
            return
        since, self._since = self._since, None
        if since is None or self._reactor().seconds() - since > LATE:
            self._watchers.missed()

    def _unconfirmed(self, failure: Failure) -> None:
        """
        It may yet be confirmed, when the server is back.
        """
        failure.trap(RedisError)
        if self._client is not None:
            self._since = float("-inf")
            self._log.warn("endings are not heard of at once: {error}", error=failure.value)
