"""
A client of one server at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import random as randomNumber
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from .address import Access
from .connection import Answer, Connection, failEach
from .errors import CommandTimedOut, NotSent, QueueFull, ServerError
from .interfaces import ILocator, IRedis
from .link import Link
from .script import Script
from .subscriber import Subscriber
from .wire import PING, pack

TIMEOUT: Final = 2.0
"""
How long a command may take, in seconds.  A server that works answers in
milliseconds; a browser's user waits this long without a thought.
"""

MAXIMUM_WAITING: Final = 1000
"""
How many commands may wait at the same time, so that a server that hangs costs
bounded memory, and their failing does not hold the reactor.
"""

MAXIMUM_UNSENT: Final = 16 * 1024 * 1024
"""
How many bytes may wait for a connection that takes no more.
"""

TICKS: Final = 20
"""
In how many parts a time-out is measured: a command that hangs is told so at
most a part late.
"""


@implementer(IRedis)
class Client:
    """
    Sends commands to one server, over one connection.

    While the first connection is made, or one that worked and was closed is
    made again, commands wait in a queue.  While the server is known to be down
    they fail at once; one attempt at a time finds out whether it is back.

    @ivar timeout: See L{IRedis}.
    """

    def __init__(
        self,
        reactor: Any,
        locator: ILocator,
        *,
        access: Access = Access(),  # noqa: B008 - it is frozen
        scripts: Sequence[Script] = (),
        timeout: float = TIMEOUT,
        maximumWaiting: int = MAXIMUM_WAITING,
        random: Callable[[], float] = randomNumber,
    ) -> None:
        """
        @param reactor: The reactor.
        @param locator: Knows where the server is.
        @param access: How one gets in.
        @param scripts: The scripts that L{script} may be asked to run.
        @param timeout: How long a command, or an attempt to connect, may take,
            in seconds.
        @param maximumWaiting: How many commands may wait.
        @param random: Gives a number from 0 to 1.
        """
        self.timeout = timeout
        self._reactor = reactor
        self._seconds = reactor.seconds
        self._maximumWaiting = maximumWaiting
        self._loading = [("SCRIPT", "LOAD", script.source) for script in scripts]
        self._link = Link(
            reactor,
            locator,
            access,
            timeout,
            connect=self._connect,
            greeting=self._loading,
            up=self._up,
            down=self._down,
            random=random,
        )
        self._subscriber = Subscriber(reactor, locator, access, timeout, random=random)
        self._ready: Connection | None = None
        self._queue: deque[tuple[Answer, bytes]] = deque()
        self._resent = 0
        self._watching: IDelayedCall | None = None
        self._closing: list[Deferred[None]] | None = None

    def __repr__(self) -> str:
        """
        Where it leads.
        """
        return f"<{type(self).__name__} {self._link.address or 'not connected'}>"

    def execute(
        self,
        key: str | bytes,
        *command: str | bytes | int | float,
        answer: Answer | None = None,
    ) -> Deferred[Any]:
        """
        See L{IRedis.execute}.
        """
        return self.send(pack(command), answer or Answer())

    def script(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[str | bytes | int | float],
        answer: Answer | None = None,
    ) -> Deferred[Any]:
        """
        See L{IRedis.script}.
        """
        answer = answer or Answer()
        answer.script = packed = script.pack(keys, args)
        return self.send(packed, answer)

    def everywhere(self, *command: str | bytes | int | float) -> Deferred[list[Any]]:
        """
        See L{IRedis.everywhere}.
        """
        return self.execute(b"", *command).addCallback(lambda reply: [reply])

    def subscribe(
        self,
        channel: bytes,
        callback: Callable[[bytes], object],
        established: Callable[[], object] | None = None,
    ) -> Deferred[None]:
        """
        See L{IRedis.subscribe}.
        """
        return self._subscriber.subscribe(channel, callback, established)

    def send(self, packed: bytes, answer: Answer) -> Answer:
        """
        Send a command in its wire form.

        @param answer: The one that the reply goes to.
        @return: The same.
        """
        if not answer.deadline:
            answer.deadline = self._seconds() + self.timeout
        if self._watching is None:
            self._watching = self._reactor.callLater(self.timeout, self._watch)
        connection = self._ready
        if (
            connection is None
            or len(connection.waiting) >= self._maximumWaiting
            or connection.unsent > MAXIMUM_UNSENT
            or self._closing is not None
        ):
            self._delay(answer, packed)
        else:
            connection.send(answer, packed)
        return answer

    def close(self) -> Deferred[None]:
        """
        See L{IRedis.close}.
        """
        closed: Deferred[None] = Deferred()
        if self._closing is None:
            self._closing = [closed]
            Deferred.fromCoroutine(self._close()).addBoth(self._closed)
        else:
            self._closing.append(closed)
        return closed

    def _connect(self) -> Connection:
        """
        A new connection, for the link.
        """
        return Connection(self._reactor, self._link.lost, self._refused)

    def _delay(self, answer: Answer, packed: bytes) -> None:
        """
        Keep a command that cannot be sent now, or refuse it.
        """
        trouble = self._link.trouble
        if self._closing is not None:
            answer.failed(NotSent("the Redis client is being closed"))
        elif trouble is not None:
            answer.failed(type(trouble)(str(trouble)))
        elif self._ready is not None or len(self._queue) >= self._maximumWaiting:
            answer.failed(QueueFull(f"{self._maximumWaiting} commands wait for Redis already"))
        else:
            self._queue.append((answer, packed))
            self._link.start()

    def _up(self, connection: Connection) -> None:
        """
        Send what has waited.
        """
        self._ready = connection
        self._resent = 0
        queue, self._queue = self._queue, deque()
        for answer, packed in queue:
            if not answer.called:
                connection.send(answer, packed)

    def _down(self, trouble: NotSent | None) -> None:
        """
        There is no connection.  When that is no passing matter, nothing waits
        for one.
        """
        self._ready = None
        if trouble is None:
            return
        self._resent = 0
        queue, self._queue = self._queue, deque()
        waiting = [answer for answer, _ in queue]
        failEach(self._reactor, waiting, lambda: type(trouble)(str(trouble)))

    def _refused(self, connection: Connection, error: ServerError, answer: Answer) -> bool:
        """
        Look at each error reply: a server that was made a replica is not the
        one that was meant, and one that does not know a script is told it.

        @return: Whether the command is sent again.
        """
        if error.code == "READONLY" and connection is self._ready:
            self._link.drop(NotSent(f"Redis at {self._link.address} is a replica now"))
        if error.code != "NOSCRIPT" or answer.script is None or answer.called:
            return False
        self._loadAndSend(answer, answer.script)
        return True

    def _loadAndSend(self, answer: Answer, packed: bytes) -> None:
        """
        When the server does not know the script, load all of them and send the
        command again, before any that is newer.
        """
        answer.script = None
        trouble = self._link.trouble
        if trouble is not None:
            answer.failed(type(trouble)(str(trouble)))
            return
        self._queue.insert(self._resent, (answer, packed))
        self._resent += 1
        connection, self._ready = self._ready, None
        if connection is not None:
            # Its reply comes after those of all that was sent before it.
            answers = [connection.ask(answer.deadline, *command) for command in self._loading]
            DeferredList(answers, consumeErrors=True).addCallback(self._loaded, connection)

    def _loaded(self, results: list[tuple[bool, Any]], connection: Connection) -> None:
        """
        The server has answered the loading of scripts.
        """
        if self._link.connection is not connection:
            return
        problems = [str(result.value) for succeeded, result in results if not succeeded]
        while problems and self._resent:
            self._resent -= 1
            answer, _ = self._queue.popleft()
            if not answer.called:
                answer.failed(ServerError(f"ERR a script could not be loaded: {problems[0]}"))
        self._up(connection)

    def _watch(self) -> None:
        """
        Tell what is overdue, and give up a connection on which nothing comes.
        """
        self._watching = None
        now = self._seconds()
        waiting = self._waiting()
        connection = self._link.connection
        if connection is not None and connection.isSilent(now - self.timeout):
            self._link.drop(NotSent(f"Redis at {self._link.address} does not answer"))
        text = f"Redis did not answer within {self.timeout:g} s"
        overdue = [answer for answer in waiting if answer.deadline <= now]
        failEach(self._reactor, overdue, lambda: CommandTimedOut(text))
        # Also those of whom nobody wants to know any more: a server that hangs is found out.
        left = [answer.deadline for answer in waiting if answer.deadline > now]
        if left and self._watching is None:
            wait = max(min(left) - now, self.timeout / TICKS)
            self._watching = self._reactor.callLater(wait, self._watch)

    async def _close(self) -> None:
        """
        Wait for what was accepted, then close the connections.
        """
        while any(not answer.called for answer in self._waiting()):
            last = Answer()
            last.deadline = self._seconds() + self.timeout
            if self._watching is None:
                self._watching = self._reactor.callLater(self.timeout, self._watch)
            if self._ready is None:
                self._queue.append((last, PING))
            else:
                self._ready.send(last, PING)
            # Whatever the answer is, it comes after those of all the others.
            await DeferredList([last], consumeErrors=True)
        await self._subscriber.close()
        await self._link.stop()

    def _closed(self, result: object) -> object:
        """
        Tell all who wait for the end.
        """
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        closers, self._closing = self._closing or [], None
        for closed in closers:
            closed.callback(None)
        return result

    def _waiting(self) -> list[Answer]:
        """
        All answers that are due.
        """
        waiting = [answer for answer, _ in self._queue]
        if self._link.connection is not None:
            waiting.extend(self._link.connection.waiting)
        return waiting
