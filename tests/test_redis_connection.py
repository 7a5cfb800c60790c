"""
Tests for L{txsessions.redis.connection}: each reply goes to the one who asked.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import pytest_twisted
from servers import RedisServer, until
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from txsessions.redis.connection import Answer, Connection, ConnectionFactory
from txsessions.redis.errors import CommandTimedOut, ConnectionBroken, NotSent, ServerError
from txsessions.redis.wire import pack

COMMANDS = 100_000
BATCH = 500
GIVEN_UP = (CancelledError, CommandTimedOut, ConnectionBroken)


class Wire(StringTransport):
    """
    A transport in memory that counts the writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        """
        Note what is written.
        """
        self.writes.append(data)


class Fake:
    """
    A connection over a L{Wire}.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.lost: list[Connection] = []
        self.refused: list[ServerError] = []
        self.connection = Connection(self.clock, self.lost.append, self._refuse)
        self.wire = Wire()
        self.connection.makeConnection(self.wire)

    def ask(self, *command: str) -> Answer:
        """
        Send a command.
        """
        return self.connection.ask(10.0, *command)

    def _refuse(self, connection: Connection, error: ServerError, answer: Answer) -> bool:
        """
        Note an error reply.
        """
        self.refused.append(error)
        return False


def results(*answers: Deferred[Any]) -> list[Any]:
    """
    What each of these fires with, now or later.
    """
    found: list[Any] = []
    for answer in answers:
        answer.addBoth(found.append)
    return found


def test_providesProducer() -> None:
    """
    A connection takes back-pressure as a push producer does.
    """
    assert verifyObject(IPushProducer, Fake().connection)


def test_oneWritePerTurn() -> None:
    """
    All commands of one turn of the reactor leave in one write.
    """
    fake = Fake()
    for number in range(3):
        fake.ask("GET", str(number))
    assert fake.wire.writes == []
    fake.clock.advance(0)
    assert fake.wire.writes == [b"".join(pack(("GET", str(number))) for number in range(3))]
    assert fake.clock.getDelayedCalls() == []


def test_answersAreAskedInOneWrite() -> None:
    """
    What the receivers of replies ask next leaves in one write, without another turn.
    """
    fake = Fake()
    for _ in range(3):
        fake.ask("GET", "a").addCallback(lambda _: fake.ask("GET", "b"))
    fake.clock.advance(0)
    fake.connection.dataReceived(b"+1\r\n+2\r\n+3\r\n")
    assert fake.wire.writes[1:] == [pack(("GET", "b")) * 3]


def test_repliesInOrder() -> None:
    """
    Replies go to the commands in their order, however the bytes are cut.
    """
    fake = Fake()
    found = results(*(fake.ask("GET", "x") for _ in range(4)))
    for byte in b"$3\r\none\r\n:2\r\n*2\r\n$-1\r\n+x\r\n$-1\r\n":
        fake.connection.dataReceived(bytes([byte]))
    assert found == [b"one", 2, [None, b"x"], None]


def test_errorReply() -> None:
    """
    An error reply fails its own command, and no other.
    """
    fake = Fake()
    found = results(fake.ask("A"), fake.ask("B"))
    fake.connection.dataReceived(b"-WRONGTYPE no such thing\r\n+OK\r\n")
    assert found[1] == b"OK"
    assert found[0].value.code == "WRONGTYPE"
    assert fake.refused == [found[0].value]


def test_errorQuotesNoArguments() -> None:
    """
    An error tells no argument that the server quotes.
    """
    error = ServerError("ERR unknown command 'FOO', with args beginning with: 'hunter2' ")
    assert str(error) == "ERR unknown command 'FOO'"
    assert "hunter2" not in repr(error)


def test_cancelledKeepsItsPlace() -> None:
    """
    The reply to a cancelled command goes to nobody.
    """
    fake = Fake()
    answers = [fake.ask("GET", str(number)) for number in range(3)]
    found = results(*answers)
    answers[1].cancel()
    fake.connection.dataReceived(b"+0\r\n+1\r\n+2\r\n")
    assert found[0].check(CancelledError)
    assert found[1:] == [b"0", b"2"]


def test_lostFailsWhatWaits() -> None:
    """
    When the connection ends, whoever waits is told that the outcome is not known; whoever
    asks later, that nothing was sent.
    """
    fake = Fake()
    found = results(fake.ask("A"), fake.ask("B"))
    fake.wire.loseConnection()
    fake.connection.connectionLost()
    assert [failure.type for failure in found] == [ConnectionBroken] * 2
    assert fake.lost == [fake.connection]
    assert results(fake.ask("C"))[0].check(NotSent)
    fake.clock.advance(0)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"+1\r\n+2\r\n"])
def test_noSuchProtocol(data: bytes) -> None:
    """
    A server that does not speak the protocol, or says more than it was asked, is left.
    """
    fake = Fake()
    found = results(fake.ask("A"))
    fake.connection.dataReceived(data)
    assert fake.wire.disconnecting or fake.wire.disconnected
    fake.connection.connectionLost()
    assert found == [b"1"] or "not the Redis protocol" in str(found[0].value)


def test_backPressure() -> None:
    """
    While the transport takes no more nothing is written, and the bytes are counted.
    """
    fake = Fake()
    fake.connection.pauseProducing()
    fake.ask("GET", "a")
    fake.clock.advance(0)
    assert fake.wire.writes == []
    assert fake.connection.unsent == len(pack(("GET", "a")))
    fake.connection.resumeProducing()
    assert fake.wire.writes == [pack(("GET", "a"))]
    assert fake.connection.unsent == 0


def test_silence() -> None:
    """
    A server is silent when it owes a reply and nothing has come since; one that owes nothing
    is not.
    """
    fake = Fake()
    fake.clock.advance(100)
    assert not fake.connection.isSilent(99)
    fake.ask("A")
    fake.ask("B")
    assert not fake.connection.isSilent(99)
    fake.clock.advance(2)
    assert fake.connection.isSilent(100)
    fake.connection.dataReceived(b"+1\r\n")
    assert not fake.connection.isSilent(100)


class ForgetfulConnection(Connection):
    """
    Broken on purpose: a command that was cancelled or timed out loses its place.
    """

    def repliesReceived(self, replies: list[Any]) -> None:
        """
        Forget those who do not wait any longer.
        """
        for answer in [each for each in self.waiting if each.called]:
            self.waiting.remove(answer)
        super().repliesReceived(replies[: len(self.waiting)])


async def storm(connection: Connection, commands: int, counts: list[int]) -> None:
    """
    Ask for many different replies, and give up on about a third of them at once, a turn
    later, or while replies come in.

    @param counts: How many replies went to the right caller, and how many to a wrong one.
    """
    random = Random(20)

    def received(reply: Any, number: int) -> None:
        counts[reply != b"%d" % number] += 1

    def giveUp(answer: Answer) -> None:
        if random.random() < 0.5:
            answer.cancel()
        elif not answer.called:
            answer.errback(CommandTimedOut("too late"))

    for start in range(0, commands, BATCH):
        answers = [connection.ask(0.0, "ECHO", str(start + each)) for each in range(BATCH)]
        last: Deferred[None] = Deferred()
        for number, answer in enumerate(answers, start):
            answer.addCallbacks(received, lambda f: f.trap(*GIVEN_UP), (number,))
        for answer in random.sample(answers, BATCH * 3 // 10):
            when = random.randrange(3)
            if when == 0:
                giveUp(answer)
            elif when == 1:
                reactor.callLater(0, giveUp, answer)
            else:
                random.choice(answers).addCallback(lambda _, answer=answer: giveUp(answer))
        connection.ask(0.0, "PING").chainDeferred(last)
        await last


async def connected(
    server: RedisServer, kind: Callable[..., Connection]
) -> tuple[Connection, Deferred[None]]:
    """
    A connection to a real server.
    """
    connection = kind(reactor, lambda connection: None, lambda connection, error: None)
    endpoint = UNIXClientEndpoint(reactor, server.path)
    await endpoint.connect(ConnectionFactory(connection))
    return connection, connection.closed


@pytest_twisted.ensureDeferred
async def test_cancelStorm(run: Any, tmp_path: Any) -> None:
    """
    Of 100,000 pipelined commands of which three in ten are cancelled or time out, no reply
    goes to a wrong caller.
    """
    server = await run(RedisServer(tmp_path))
    connection, closed = await connected(server, Connection)
    counts = [0, 0]
    await storm(connection, COMMANDS, counts)
    assert counts[1] == 0
    assert counts[0] > COMMANDS // 2
    connection.hangUp()
    await closed


@pytest_twisted.ensureDeferred
async def test_cancelStormFindsShifts(run: Any, tmp_path: Any) -> None:
    """
    The storm goes red on a connection on which who gives up loses its place.
    """
    server = await run(RedisServer(tmp_path))
    connection, closed = await connected(server, ForgetfulConnection)
    counts = [0, 0]
    attempt = Deferred.fromCoroutine(storm(connection, 10 * BATCH, counts))
    attempt.addErrback(lambda f: f.trap(ConnectionBroken))
    await until(lambda: counts[1], "a reply goes to a wrong caller")
    connection.abort()
    await closed
