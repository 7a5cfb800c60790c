"""
One connection: commands go out, replies come in, in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IPushProducer,
    IReactorTime,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from .errors import ConnectionBroken, NotSent, ServerError
from .wire import pack

PARTIAL: Final = object()
"""
What the parser gives when it has no whole reply.
"""

SLICE: Final = 200
"""
How many answers fail in one turn of the reactor.
"""


class Answer(Deferred[Any]):
    """
    The Deferred of one command.

    It has no canceller: one that was cancelled or timed out keeps its place
    among those that wait, and its reply is dropped when it comes.  So no reply
    ever goes to another caller.

    A subclass makes of the reply what its caller wants to have, which costs less
    than a callback.

    @ivar deadline: Until when the reply may come, in seconds on the reactor's
        clock; 0 until the command is sent.
    @ivar script: The command, if it runs a script and was not sent again yet.
    """

    deadline: float = 0.0
    script: bytes | None = None

    def replied(self, reply: Any) -> None:
        """
        The reply has come.
        """
        self.callback(reply)

    def failed(self, error: Exception) -> None:
        """
        No reply will come, or it is an error.
        """
        self.errback(error)


@implementer(IPushProducer)
class Connection(Protocol):
    """
    Sends commands without waiting for the replies of earlier ones.  What is
    sent in one turn of the reactor goes out in one write.

    @ivar waiting: The answers that are due, in the order of their commands.
    @ivar heard: The last moment at which the server gave something or owed
        nothing, in seconds on the reactor's clock.
    @ivar unsent: How many bytes have been given to L{send} since the transport
        cannot take more.
    @ivar isProven: Set whenever replies come; whoever watches may clear it.
    @ivar closed: Fires with C{None} when the connection has ended.
    """

    transport: Any = None

    def __init__(
        self,
        clock: IReactorTime,
        lost: Callable[[Connection], None],
        refused: Callable[[Connection, ServerError, Answer], bool],
    ) -> None:
        """
        @param lost: Called when the connection has ended, before the answers
            that are due fail.
        @param refused: Called with each error reply and its answer, which fails
            unless it gives C{True}.
        """
        self.waiting: deque[Answer] = deque()
        self.heard = clock.seconds()
        self.unsent = 0
        self.isProven = False
        self.closed: Deferred[None] = Deferred()
        self._clock = clock
        self._lost = lost
        self._refused = refused
        self._reader = hiredis.Reader(replyError=ServerError, notEnoughData=PARTIAL)
        self._outgoing: list[bytes] = []
        self._isReceiving = False
        self._isPaused = False
        self._isLost = False
        self._detail: str | None = None

    def connectionMade(self) -> None:
        """
        Set the socket up, where there is one.
        """
        # Of a Unix socket older releases of Twisted say that it is a TCP one, too.
        isTCP = ITCPTransport.providedBy(self.transport)
        if isTCP and not IUNIXTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)

    def send(self, answer: Answer, packed: bytes) -> None:
        """
        Send a command.

        @param answer: Fires with the reply; fails with
            L{ServerError<txsessions.redis.errors.ServerError>} or
            L{ConnectionBroken<txsessions.redis.errors.ConnectionBroken>}.
        @param packed: The command in its wire form.
        """
        if self._isLost:
            answer.failed(NotSent("the connection to the Redis server has ended"))
            return
        waiting = self.waiting
        if not waiting:
            self.heard = self._clock.seconds()
        waiting.append(answer)
        outgoing = self._outgoing
        if not outgoing and not self._isReceiving:
            self._clock.callLater(0, self._flush)
        outgoing.append(packed)
        if self._isPaused:
            self.unsent += len(packed)

    def ask(self, deadline: float, *command: str | bytes | int) -> Answer:
        """
        Pack and send a command.

        @return: Its L{Answer}.
        """
        answer = Answer()
        answer.deadline = deadline
        self.send(answer, pack(command))
        return answer

    def isSilent(self, since: float) -> bool:
        """
        Whether the server owes a reply, and has given nothing since that
        moment.
        """
        return bool(self.waiting) and self.heard <= since

    def dataReceived(self, data: bytes) -> None:
        """
        Parse the replies.  What their receivers send in turn goes out in one
        write at the end.
        """
        self.heard = self._clock.seconds()
        self.isProven = True
        self._isReceiving = True
        try:
            self.repliesReceived(self._parse(data))
        finally:
            self._isReceiving = False
        if self._outgoing:
            self._flush()

    def repliesReceived(self, replies: list[Any]) -> None:
        """
        Give each reply to the answer that is due.
        """
        waiting = self.waiting
        for reply in replies:
            if not waiting:
                self._violated()
                return
            answer = waiting.popleft()
            if type(reply) is ServerError:
                self._refuse(answer, reply)
            elif not answer.called:
                answer.replied(reply)

    def hangUp(self) -> None:
        """
        End the connection when all that was written has left.
        """
        self._flush()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """
        End the connection now.
        """
        if not self._isLost:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fail what still waits.
        """
        self._isLost = True
        self._lost(self)
        waiting, self.waiting = self.waiting, deque()
        self._outgoing.clear()
        detail = self._detail or reason.getErrorMessage()
        text = f"the connection to the Redis server broke before the reply came: {detail}"
        failEach(self._clock, waiting, lambda: ConnectionBroken(text), self.closed)

    def pauseProducing(self) -> None:
        """
        The transport cannot take more now.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        The transport can take more.
        """
        self._isPaused = False
        self.unsent = 0
        self._flush()

    def stopProducing(self) -> None:
        """
        The connection has ended; L{connectionLost} tells why.
        """

    def _parse(self, data: bytes) -> list[Any]:
        """
        The whole replies that have come.  After bytes that are none the
        connection ends.
        """
        replies: list[Any] = []
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            reply = gets()
            while reply is not PARTIAL:
                replies.append(reply)
                reply = gets()
        except hiredis.ProtocolError:
            self._violated()
        return replies

    def _refuse(self, answer: Answer, error: ServerError) -> None:
        """
        Give an error reply to the answer that is due.
        """
        if not self._refused(self, error, answer) and not answer.called:
            answer.failed(error)

    def _violated(self) -> None:
        """
        The other side does not speak the protocol: no later reply can be
        matched.
        """
        self._detail = "what it answers is not the Redis protocol"
        self.abort()

    def _flush(self) -> None:
        """
        Write what is to be sent in one piece.
        """
        if self._outgoing and not self._isPaused:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self.transport.write(data)


def failEach(
    clock: IReactorTime,
    answers: Iterable[Answer],
    error: Callable[[], Exception],
    done: Deferred[None] | None = None,
) -> None:
    """
    Fail all of these answers that have not fired, some in each turn of the
    reactor, so that many of them do not hold it.

    @param error: Makes an exception.
    @param done: Fires with C{None} at the end.
    """
    left = deque(answer for answer in answers if not answer.called)

    def failSome() -> None:
        for _ in range(min(SLICE, len(left))):
            answer = left.popleft()
            if not answer.called:
                answer.failed(error())
        if left:
            clock.callLater(0, failSome)
        elif done is not None:
            done.callback(None)

    failSome()


class ConnectionFactory(Factory):
    """
    Gives an endpoint the one connection that was made for it.
    """

    noisy = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: object) -> Connection:
        """
        The connection.
        """
        return self._connection
