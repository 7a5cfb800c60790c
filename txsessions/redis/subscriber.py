"""
Subscriptions to channels, on a connection of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .address import Access
from .connection import Answer, Connection
from .errors import NotSent, RedisError, ServerError
from .interfaces import ILocator
from .link import Link
from .wire import PING, pack

PULSE: Final = 5.0
"""
How often the server must be heard of, in seconds.  It is asked for a sign of
life, because a channel on which nothing comes looks like a connection that
hangs.
"""


class SubscribedConnection(Connection):
    """
    A connection that carries messages once it has been greeted.

    @ivar isSubscribed: Whether what comes are messages.
    @ivar told: Called with each of them, a L{list}.
    """

    isSubscribed = False
    told: Callable[[list[Any]], None]

    def say(self, packed: bytes) -> None:
        """
        Send a command whose reply comes as a message.
        """
        self.transport.write(packed)

    def repliesReceived(self, replies: list[Any]) -> None:
        """
        Give messages to the one who listens.
        """
        if not self.isSubscribed:
            super().repliesReceived(replies)
            return
        for reply in replies:
            self.told(reply if isinstance(reply, list) else [b"error", reply])


class Subscriber:
    """
    Keeps subscriptions, over whatever connections it takes.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        locator: ILocator,
        access: Access,
        timeout: float,
        *,
        random: Callable[[], float],
        pulse: float = PULSE,
    ) -> None:
        """
        @param timeout: How long an attempt to connect, or a sign of life, may
            take, in seconds.
        @param pulse: How often the server must be heard of, in seconds.
        """
        self._reactor: IReactorTime = reactor
        self._timeout = timeout
        self._pulse = pulse
        self._link = Link(
            reactor,
            locator,
            access,
            timeout,
            connect=self._connect,
            greeting=(),
            up=self._up,
            down=self._down,
            random=random,
        )
        self._callbacks: dict[bytes, list[Callable[[bytes], object]]] = {}
        self._established: dict[bytes, list[Callable[[], object]]] = {}
        self._waiting: dict[bytes, list[Deferred[None]]] = {}
        self._beating: IDelayedCall | None = None

    def subscribe(
        self,
        channel: bytes,
        callback: Callable[[bytes], object],
        established: Callable[[], object] | None = None,
    ) -> Deferred[None]:
        """
        See L{IRedis.subscribe<txsessions.redis.interfaces.IRedis.subscribe>}.
        """
        self._callbacks.setdefault(channel, []).append(callback)
        if established is not None:
            self._established.setdefault(channel, []).append(established)
        confirmed: Deferred[None] = Deferred()
        self._waiting.setdefault(channel, []).append(confirmed)
        if self._link.connection is not None:
            self._say(self._link.connection, channel)
        else:
            self._link.start()
        confirmed.addTimeout(self._timeout, self._reactor)
        return confirmed.addErrback(self._unconfirmed)

    def close(self) -> Deferred[None]:
        """
        Forget all subscriptions and close the connection.

        @return: A L{Deferred} that fires with L{None}.
        """
        self._callbacks.clear()
        self._established.clear()
        self._rest()
        self._refuse(NotSent("the Redis client is being closed"))
        return self._link.stop()

    def _connect(self) -> Connection:
        """
        A new connection, for the link.
        """
        return SubscribedConnection(self._reactor, self._link.lost, _ignore)

    def _up(self, connection: SubscribedConnection) -> None:
        """
        Subscribe to everything.
        """
        connection.told = self._told
        connection.isSubscribed = True
        if self._callbacks:
            self._say(connection, *self._callbacks)
        self._beating = self._reactor.callLater(self._pulse, self._beat, connection)

    def _down(self, trouble: NotSent | None) -> None:
        """
        There is no connection.
        """
        self._rest()
        if trouble is not None:
            self._refuse(trouble)

    def _say(self, connection: Any, *channels: bytes) -> None:
        """
        Subscribe to some channels.
        """
        connection.say(pack(("SUBSCRIBE", *channels)))

    def _told(self, message: list[Any]) -> None:
        """
        Something came: a message, a confirmation, or a sign of life.
        """
        if message[0] == b"message":
            for callback in list(self._callbacks.get(message[1], ())):
                self._tell(callback, message[2])
        elif message[0] == b"subscribe":
            for confirmed in self._waiting.pop(message[1], ()):
                if not confirmed.called:
                    confirmed.callback(None)
            for established in list(self._established.get(message[1], ())):
                self._tell(established)
        elif message[0] == b"error":
            self._refuse(message[1])

    def _tell(self, callback: Callable[..., object], *message: bytes) -> None:
        """
        Tell one who listens.  What it raises harms nobody else.
        """
        try:
            callback(*message)
        except Exception:
            self._log.failure("A callback of a Redis channel raised an exception")

    def _beat(self, connection: SubscribedConnection) -> None:
        """
        Ask for a sign of life, and look for it later.
        """
        asked = self._reactor.seconds()
        self._beating = self._reactor.callLater(self._timeout, self._listen, connection, asked)
        connection.say(PING)

    def _listen(self, connection: SubscribedConnection, asked: float) -> None:
        """
        Look whether the sign of life came.
        """
        if connection.heard >= asked:
            self._beating = self._reactor.callLater(self._pulse, self._beat, connection)
        else:
            self._beating = None
            self._link.drop(NotSent(f"Redis at {self._link.address} does not answer"))

    def _rest(self) -> None:
        """
        Ask for no sign of life.
        """
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    def _refuse(self, trouble: RedisError) -> None:
        """
        Tell those who wait for a confirmation that it does not come now.
        """
        waiting, self._waiting = self._waiting, {}
        for confirmed in (each for channel in waiting.values() for each in channel):
            if not confirmed.called:
                confirmed.errback(NotSent(str(trouble)))

    def _unconfirmed(self, failure: Failure) -> Failure:
        """
        A subscription has not been confirmed.
        """
        if failure.check(TimeoutError):
            text = f"Redis did not confirm a subscription within {self._timeout:g} s"
            return Failure(NotSent(text))
        return failure


def _ignore(connection: Connection, error: ServerError, answer: Answer) -> bool:
    """
    An error reply to the greeting fails its answer; that is enough.
    """
    return False
