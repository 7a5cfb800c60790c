"""
Tests for L{txsessions.redis.client}: one server, up, down, hanging and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from servers import RedisServer, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txsessions.redis.address import Access, Address
from txsessions.redis.client import MAXIMUM_UNSENT, Client
from txsessions.redis.connection import Connection
from txsessions.redis.errors import (
    CommandTimedOut,
    ConnectionBroken,
    NotSent,
    OutcomeUnknown,
    QueueFull,
    RedisError,
    ServerError,
)
from txsessions.redis.interfaces import IRedis
from txsessions.redis.locator import Fixed
from txsessions.redis.script import Script
from txsessions.testing.ports import freePort

SECRET = "hunter2-is-secret"
APPEND = Script(
    "append", "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])"
)
READ = Script("read", "return redis.call('LRANGE', KEYS[1], 0, -1)")


def clientOf(server: RedisServer, **options: Any) -> Client:
    """
    A client of a server, by its Unix socket.
    """
    options.setdefault("timeout", 1.0)
    return Client(reactor, Fixed(Address(path=server.path)), **options)


async def failure(command: Deferred[Any]) -> Any:
    """
    The error that a command fails with.
    """
    [(succeeded, result)] = await DeferredList([command], consumeErrors=True)
    assert not succeeded, f"it fired with {result!r}"
    assert isinstance(result, Failure)
    return result.value


async def elapsed(command: Deferred[Any]) -> float:
    """
    How long it takes, in seconds.
    """
    began = reactor.seconds()
    await DeferredList([command], consumeErrors=True)
    return reactor.seconds() - began


@pytest_twisted.ensureDeferred
async def test_provides() -> None:
    """
    A client provides the interface that all three kinds share.
    """
    assert verifyObject(IRedis, Client(Clock(), Fixed(Address())))


@pytest_twisted.ensureDeferred
async def test_commands(run: Any, tmp_path: Any) -> None:
    """
    Commands given before the connection is there wait for it, and all go over one.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server)
    replies = await gatherResults(
        [
            client.execute("a", "SET", "a", b"\xff\x00"),
            client.execute("a", "GET", "a"),
            client.execute("n", "INCRBY", "n", 5),
            client.execute("b", "GET", "b"),
        ]
    )
    assert replies == [b"OK", b"\xff\x00", 5, None]
    assert await client.everywhere("GET", "n") == [b"5"]
    assert int(server.facts("INFO", "stats")["total_connections_received"]) <= 8
    assert isinstance(await failure(client.execute("a", "LPUSH", "a", "x")), ServerError)
    await client.close()


@pytest_twisted.ensureDeferred
async def test_accessAndDatabase(run: Any, tmp_path: Any) -> None:
    """
    A user of an ACL gets in with the password, and works in the database that is named.
    """
    server = await run(RedisServer(tmp_path))
    server.ask("ACL", "SETUSER", "app", "on", f">{SECRET}", "~*", "+@all")
    client = clientOf(server, access=Access("app", SECRET, database=3))
    await client.execute("a", "SET", "a", "1")
    assert await client.execute("", "ACL", "WHOAMI") == b"app"
    assert "db3" in server.facts("INFO", "keyspace")
    await client.close()


@pytest_twisted.ensureDeferred
async def test_passwordOfTheDefaultUser(run: Any, tmp_path: Any) -> None:
    """
    A server with a mere password is asked with that; without it the error says what lacks.
    """
    server = await run(RedisServer(tmp_path))
    server.ask("CONFIG", "SET", "requirepass", SECRET)
    client = clientOf(server, access=Access(password=SECRET))
    assert await client.execute("a", "PING") == b"PONG"
    stranger = clientOf(server)
    assert "NOAUTH" in str(await failure(stranger.execute("a", "PING")))
    await client.close()
    await stranger.close()


@pytest_twisted.ensureDeferred
async def test_forbiddenPing(run: Any, tmp_path: Any) -> None:
    """
    A user who may not PING gets in all the same.
    """
    server = await run(RedisServer(tmp_path))
    server.ask("ACL", "SETUSER", "app", "on", f">{SECRET}", "~*", "+get")
    client = clientOf(server, access=Access("app", SECRET))
    assert await client.execute("a", "GET", "a") is None
    await client.close()


@pytest_twisted.ensureDeferred
async def test_secretsStaySecret(run: Any, tmp_path: Any) -> None:
    """
    A wrong password is in no error, no log event and no repr.
    """
    server = await run(RedisServer(tmp_path))
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        access = Access("app", SECRET)
        client = clientOf(server, access=access)
        error = await failure(client.execute("a", "SET", "a", SECRET))
        again = await failure(client.execute("a", "SET", "a", SECRET))
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert "WRONGPASS" in str(error)
    assert any("trouble" in event for event in events)
    for text in (str(error), repr(again), repr(events), repr(access), repr(client), repr(APPEND)):
        assert SECRET not in text
    await client.close()


@pytest_twisted.ensureDeferred
async def test_IPv6(run: Any, tmp_path: Any) -> None:
    """
    A server is reached by IPv6.
    """
    server = await run(RedisServer(tmp_path))
    client = Client(reactor, Fixed(Address("::1", server.port)), timeout=1.0)
    try:
        assert await client.execute("", "PING") == b"PONG"
    except NotSent as e:
        if "refused" in str(e) or "Cannot assign" in str(e) or "unreachable" in str(e):
            pytest.skip("this machine has no IPv6")
        raise
    finally:
        await client.close()


@pytest_twisted.ensureDeferred
async def test_downFailsFast(run: Any, tmp_path: Any) -> None:
    """
    While a server is down commands fail at once, and say where and why; when it is back
    it is used again within two seconds, though nobody asked in between.
    """
    server = RedisServer(tmp_path, port=freePort())
    client = Client(reactor, Fixed(Address("127.0.0.1", server.port)), timeout=1.0)
    error = await failure(client.execute("a", "GET", "a"))
    assert isinstance(error, NotSent)
    assert f"127.0.0.1:{server.port}" in str(error)
    assert "refused" in str(error)
    waits = [await elapsed(client.execute("a", "GET", "a")) for _ in range(100)]
    assert max(waits) < 0.05
    await run(server)
    up = reactor.seconds()

    async def answers() -> bool:
        try:
            return await client.execute("a", "PING") == b"PONG"
        except NotSent:
            return False

    await until(answers, "the client finds the server again")
    assert reactor.seconds() - up < 2.0
    await client.close()


@pytest_twisted.ensureDeferred
async def test_killedAndRestarted(run: Any, tmp_path: Any) -> None:
    """
    When a server is killed, what was under way fails with "unknown" and what comes later at
    once; after its restart scripts run again without being asked for.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, scripts=[APPEND])
    assert await client.script(APPEND, ["a"], ["x"]) == 1
    server.freeze()
    under = [client.execute("a", "GET", "a") for _ in range(10)]
    await server.kill()
    for command in under:
        assert isinstance(await failure(command), ConnectionBroken)
    assert isinstance(await failure(client.execute("a", "GET", "a")), NotSent)
    await server.start()

    async def answers() -> bool:
        try:
            return await client.script(APPEND, ["a"], ["x"]) >= 1
        except RedisError:
            return False

    await until(answers, "the client finds the server again")
    assert server.calls("eval") == 0
    await client.close()


@pytest_twisted.ensureDeferred
async def test_frozen(run: Any, tmp_path: Any) -> None:
    """
    A server that hangs: commands fail at their deadline, later ones at once, one attempt at a
    time looks whether it is back, and then it is used again.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, timeout=0.4)
    await client.execute("a", "SET", "a", "1")
    before = int(server.facts("INFO", "stats")["total_connections_received"])
    server.freeze()
    began = reactor.seconds()
    error = await failure(client.execute("a", "GET", "a"))
    assert isinstance(error, CommandTimedOut)
    assert 0.4 <= reactor.seconds() - began < 0.55
    waits = [await elapsed(client.execute("a", "GET", "a")) for _ in range(100)]
    assert max(waits) < 0.05
    await until(lambda: reactor.seconds() - began > 1.5, "time passes")
    server.thaw()

    async def answers() -> bool:
        try:
            return await client.execute("a", "GET", "a") == b"1"
        except RedisError:
            return False

    await until(answers, "the client finds the server again")
    # In 1.1 s of trouble: attempts of 0.4 s, with waits in between, and our own question.
    after = int(server.facts("INFO", "stats")["total_connections_received"])
    assert after - before <= 6
    await client.close()


@pytest_twisted.ensureDeferred
async def test_boundedWaiting(run: Any, tmp_path: Any) -> None:
    """
    No more commands wait than is allowed, neither for a connection nor for replies: the next
    one fails at once.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, maximumWaiting=5)
    queued = [client.execute("n", "INCR", "n") for _ in range(8)]
    errors = [await failure(command) for command in queued[5:]]
    assert [type(error) for error in errors] == [QueueFull] * 3
    assert await gatherResults(queued[:5]) == [1, 2, 3, 4, 5]
    piped = [client.execute("n", "INCR", "n") for _ in range(8)]
    assert isinstance(await failure(piped[7]), QueueFull)
    assert await gatherResults(piped[:5]) == [6, 7, 8, 9, 10]
    assert [type(await failure(each)) for each in piped[5:7]] == [QueueFull] * 2
    await client.close()


@pytest_twisted.ensureDeferred
async def test_scriptInOneRoundTrip(run: Any, tmp_path: Any) -> None:
    """
    A script takes one command, and none that carries its text.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, scripts=[APPEND, READ])
    for _ in range(10):
        await client.script(APPEND, ["a"], ["x"])
    assert server.calls("evalsha") == 10
    assert server.calls("script|load") == 2
    await client.close()


@pytest_twisted.ensureDeferred
async def test_flushedScripts(run: Any, tmp_path: Any) -> None:
    """
    When the server has forgotten its scripts nobody notices, and everything that was
    called at the same time, or while they are loaded, is done in its order.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, scripts=[APPEND, READ])
    await client.script(APPEND, ["a"], [0])
    later: list[Deferred[Any]] = []
    for start in range(1, 500, 50):
        server.ask("SCRIPT", "FLUSH")
        commands = [client.script(APPEND, ["a"], [n]) for n in range(start, start + 40)]
        commands[0].addCallback(
            lambda reply, start=start: later.extend(
                client.script(APPEND, ["a"], [n]) for n in range(start + 40, start + 50)
            )
        )
        await gatherResults(commands)
    await gatherResults(later)
    assert await client.script(READ, ["a"], []) == [b"%d" % n for n in range(501)]
    await client.close()


@pytest_twisted.ensureDeferred
async def test_scriptThatCannotBeLoaded(run: Any, tmp_path: Any) -> None:
    """
    A script with an error in it is told by the server's own words.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, scripts=[Script("broken", "return (")])
    error = await failure(client.script(APPEND, ["a"], [0]))
    assert "Error compiling script" in str(error)
    await client.close()


@pytest_twisted.ensureDeferred
async def test_closeDrains(run: Any, tmp_path: Any) -> None:
    """
    Closing lets what was accepted finish, takes nothing new, and may be called twice; a later
    command opens the connection again.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server)
    commands = [client.execute("n", "INCR", "n") for _ in range(50)]
    closing = client.close()
    again = client.close()
    assert isinstance(await failure(client.execute("n", "INCR", "n")), NotSent)
    await closing
    await again
    assert await gatherResults(commands) == list(range(1, 51))
    await client.close()
    assert await client.execute("n", "INCR", "n") == 51
    await client.close()


@pytest_twisted.ensureDeferred
async def test_closeWhileFrozen(run: Any, tmp_path: Any) -> None:
    """
    Closing waits no longer than the deadlines of what is under way.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server, timeout=0.3)
    await client.execute("n", "INCR", "n")
    server.freeze()
    command = client.execute("n", "INCR", "n")
    assert await elapsed(client.close()) < 1.0
    assert isinstance(await failure(command), OutcomeUnknown)
    server.thaw()


@pytest_twisted.ensureDeferred
async def test_becameReplica(run: Any, tmp_path: Any) -> None:
    """
    A server that has been made a replica is left, and looked for again.
    """
    server = await run(RedisServer(tmp_path))
    client = clientOf(server)
    await client.execute("a", "SET", "a", "1")
    server.ask("REPLICAOF", "127.0.0.1", "1")
    assert (await failure(client.execute("a", "SET", "a", "2"))).code == "READONLY"
    assert "replica" in str(await failure(client.execute("a", "SET", "a", "2")))
    server.ask("REPLICAOF", "NO", "ONE")

    async def writes() -> bool:
        try:
            return await client.execute("a", "SET", "a", "3") == b"OK"
        except RedisError:
            return False

    await until(writes, "the client comes back")
    await client.close()


class FakeWire:
    """
    A client on a L{Clock}, whose connection is given to it by hand.
    """

    def __init__(self, make: Callable[[], Any], **options: Any) -> None:
        self.clock = Clock()
        self.client = Client(self.clock, Fixed(Address()), **options)
        self.transport = make()
        self.connection: Connection = self.client._connect()
        self.connection.makeConnection(self.transport)
        link = self.client._link
        link._isRunning = True
        link._succeeded(self.connection)

    def ask(self, number: int) -> Deferred[Any]:
        """
        Ask for something.
        """
        command = self.client.execute("", "ECHO", number)
        command.addErrback(lambda f: f.value)
        return command


def test_noAnswerToAnAttempt() -> None:
    """
    An attempt to connect that nobody answers is given up in time, and told as such; the next
    one comes after a wait, and is the only one.
    """
    memory = MemoryReactorClock()
    client = Client(memory, Fixed(Address(path="/s")), timeout=2.0, random=lambda: 0.0)
    command = client.execute("", "PING")
    memory.advance(2.0)
    assert command.called
    command.addErrback(lambda f: f.value)
    assert isinstance(command.result, CommandTimedOut | NotSent)
    later = client.execute("", "PING").addErrback(lambda f: f.value)
    assert isinstance(later.result, NotSent)
    assert "unix:/s did not answer within 2 s" in str(later.result)
    memory.advance(0.099)
    assert len(memory.unixClients) == 1
    memory.advance(0.001)
    assert len(memory.unixClients) == 2
    closed = client.close()
    assert closed.called
    assert memory.getDelayedCalls() == []


def test_oneTimerForAll() -> None:
    """
    However many commands wait, one timer watches over all of them.
    """
    fake = FakeWire(StringTransport)
    commands = [fake.ask(number) for number in range(500)]
    fake.clock.advance(0)
    assert len(fake.clock.getDelayedCalls()) == 1
    fake.connection.dataReceived(b"+OK\r\n" * 500)
    assert all(command.result == b"OK" for command in commands)


def test_boundedBytes() -> None:
    """
    While the connection takes no more, commands are accepted up to a number of bytes.
    """
    fake = FakeWire(StringTransport)
    fake.connection.pauseProducing()
    large = b"x" * (MAXIMUM_UNSENT // 2)
    commands = [fake.client.execute("", "SET", "a", large) for _ in range(3)]
    commands[2].addErrback(lambda f: f.trap(QueueFull))
    assert [command.called for command in commands] == [False, False, True]
    fake.clock.advance(0)
    fake.connection.resumeProducing()
    after = fake.client.execute("", "SET", "a", large)
    assert not after.called
    fake.connection.dataReceived(b"+OK\r\n" * 3)


def test_slowIsNotHanging() -> None:
    """
    A server that answers, if late, keeps its connection: only what is overdue fails, and late
    replies go to nobody.
    """
    fake = FakeWire(StringTransport, timeout=1.0)
    first = fake.ask(1)
    fake.clock.advance(0.6)
    second, third = fake.ask(2), fake.ask(3)
    fake.clock.advance(0.3)
    fake.connection.dataReceived(b"+1\r\n")
    assert first.result == b"1"
    fake.clock.advance(0.8)
    assert [type(each.result) for each in (second, third)] == [CommandTimedOut] * 2
    assert fake.client._link.trouble is None
    fourth = fake.ask(4)
    fake.connection.dataReceived(b"+2\r\n+3\r\n+4\r\n")
    assert fourth.result == b"4"


def test_deadlines() -> None:
    """
    A command lives just before its deadline, and has timed out at it.
    """
    fake = FakeWire(StringTransport, timeout=1.0)
    command = fake.ask(1)
    fake.clock.pump([0, 0.999])
    assert not command.called
    fake.clock.advance(0.001)
    assert isinstance(command.result, CommandTimedOut)
