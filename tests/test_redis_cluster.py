"""
Tests for L{txsessions.redis.cluster}, on a Cluster of three nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from servers import RedisCluster, RedisServer, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txsessions.redis.address import Address
from txsessions.redis.call import Call
from txsessions.redis.cluster import ClusterClient
from txsessions.redis.connection import Answer
from txsessions.redis.errors import CommandTimedOut, NotSent, QueueFull, RedisError, ServerError
from txsessions.redis.interfaces import ILocator, IRedis
from txsessions.redis.script import Script
from txsessions.redis.slots import slotOf
from txsessions.redis.wire import pack

APPEND = Script("append", "redis.call('RPUSH', KEYS[1], ARGV[1]) return 1")
COUNT = Script("count", "return redis.call('EXISTS', unpack(KEYS))")


@pytest_twisted.async_yield_fixture(scope="module")
async def nodes(tmp_path_factory: Any) -> AsyncIterator[RedisCluster]:
    """
    A Cluster that the tests of this module share, and leave as it was.
    """
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    await cluster.start()
    yield cluster
    await cluster.kill()


def clientOf(cluster: RedisCluster, *seeds: RedisServer, **options: Any) -> ClusterClient:
    """
    A client that knows some of the nodes.
    """
    addresses = [Address("127.0.0.1", seed.port) for seed in seeds or cluster.nodes[:1]]
    options.setdefault("timeout", 1.0)
    return ClusterClient(reactor, addresses, scripts=[APPEND, COUNT], **options)


async def givesUp(command: Deferred[Any]) -> Any:
    """
    The error that a command fails with.
    """
    [(succeeded, result)] = await DeferredList([command], consumeErrors=True)
    assert not succeeded, result
    return result.value


def ends(cluster: RedisCluster, slot: int) -> tuple[RedisServer, RedisServer]:
    """
    The node that has a slot, and another.
    """
    source = cluster.owner(slot)
    return source, next(node for node in cluster.nodes if node is not source)


def nameOf(node: RedisServer) -> bytes:
    """
    By which the others know a node.
    """
    return bytes(node.ask("CLUSTER", "MYID"))


def beginMove(slot: int, source: RedisServer, target: RedisServer) -> None:
    """
    Begin to move a slot.
    """
    assert target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", nameOf(source)) == b"OK"
    assert source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", nameOf(target)) == b"OK"


def moveKey(key: str, source: RedisServer, target: RedisServer) -> None:
    """
    Move one key.
    """
    moved = source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
    assert moved == b"OK", moved


def endMove(slot: int, owner: RedisServer, cluster: RedisCluster) -> None:
    """
    Give a slot to a node.
    """
    for node in (owner, *cluster.nodes):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", nameOf(owner))


def test_provides() -> None:
    """
    A client of a Cluster provides the interface that all three kinds share, and its nodes are
    a locator for subscriptions.
    """
    client = ClusterClient(reactor, [Address()])
    assert verifyObject(IRedis, client)
    assert verifyObject(ILocator, client._nodes)


@pytest_twisted.ensureDeferred
async def test_slotsAsTheServerHasThem(nodes: RedisCluster) -> None:
    """
    The slot of each of many keys is the one that the server says.
    """
    for key in ("a", "{a}b", "x{}y", "x{y", "}{a}", "ä{ö}", "{", "{}", "txsessions:{7f}:s"):
        assert slotOf(key) == nodes.nodes[0].ask("CLUSTER", "KEYSLOT", key)


@pytest_twisted.ensureDeferred
async def test_commandsOnAllNodes(nodes: RedisCluster) -> None:
    """
    Commands and scripts go to the nodes that have their keys; one seed is enough.
    """
    client = clientOf(nodes)
    keys = [f"key{number}" for number in range(100)]
    assert await gatherResults([client.execute(key, "SET", key, key) for key in keys])
    replies = await gatherResults([client.execute(key, "GET", key) for key in keys])
    assert replies == [key.encode() for key in keys]
    assert await gatherResults([client.script(COUNT, [key], []) for key in keys]) == [1] * 100
    assert sum(await client.everywhere("DBSIZE")) == 100
    heard: list[bytes] = []
    await client.subscribe(b"channel", heard.append)
    await client.execute("channel", "PUBLISH", "channel", "x")
    await until(lambda: heard == [b"x"], "the message comes")
    await gatherResults([client.execute(key, "DEL", key) for key in keys])
    assert isinstance(await givesUp(client.execute("a", "NOSUCH")), ServerError)
    await client.close()


@pytest_twisted.ensureDeferred
async def test_movedSlot(nodes: RedisCluster) -> None:
    """
    A slot that has gone to another node is followed, and the commands on one key are carried
    out in their order.
    """
    client = clientOf(nodes)
    key = "{moved}list"
    slot = slotOf(key)
    source, target = ends(nodes, slot)
    await client.script(APPEND, [key], [0])
    beginMove(slot, source, target)
    moveKey(key, source, target)
    endMove(slot, target, nodes)
    await gatherResults([client.script(APPEND, [key], [n]) for n in range(1, 50)])
    assert await client.execute(key, "LRANGE", key, 0, -1) == [b"%d" % n for n in range(50)]
    await client.execute(key, "DEL", key)
    await client.close()


def agree(cluster: RedisCluster) -> bool:
    """
    Whether all nodes have the same map, and know that they have.  Slots that are moved faster
    than nodes tell each other can end up with two masters, each of which names the other.
    """
    facts = [node.facts("CLUSTER", "INFO") for node in cluster.nodes]
    maps = {repr(sorted(node.ask("CLUSTER", "SLOTS"))) for node in cluster.nodes}
    epochs = {fact["cluster_current_epoch"] for fact in facts}
    own = {fact["cluster_my_epoch"] for fact in facts}
    return len(maps) == len(epochs) == 1 and len(own) == len(facts)


async def appendWhileMoving(client: ClusterClient, cluster: RedisCluster, key: str) -> list[int]:
    """
    Append numbers to a list, in order, while its slot is moved to and fro.

    @return: The list.
    """
    slot = slotOf(key)
    source, target = ends(cluster, slot)
    commands = [client.script(APPEND, [key], [0])]
    await commands[0]
    for _ in range(5):
        for step in range(3):
            commands.extend(
                client.script(APPEND, [key], [n]) for n in range(len(commands), len(commands) + 20)
            )
            await commands[-10]
            if step == 0:
                beginMove(slot, source, target)
            elif step == 1:
                moveKey(key, source, target)
            else:
                endMove(slot, target, cluster)
                await until(lambda: agree(cluster), "the nodes agree")
        source, target = target, source

    await gatherResults(commands)
    found = await client.execute(key, "LRANGE", key, 0, -1)
    await client.execute(key, "DEL", key)
    await client.close()
    assert len(found) == len(commands)
    return [int(number) for number in found]


@pytest_twisted.ensureDeferred
async def test_orderWhileSlotsMove(nodes: RedisCluster) -> None:
    """
    While a slot is moved to and fro, commands on one key are carried out each once and in the
    order in which they were called.
    """
    found = await appendWhileMoving(clientOf(nodes, timeout=5.0), nodes, "{fro}list")
    assert found == list(range(len(found)))


class HastyClient(ClusterClient):
    """
    Broken on purpose: sends each command at once, also behind one that is on a detour.
    """

    def _queue(self, call: Call) -> None:
        """
        Wait for nobody.
        """
        self._lines.setdefault(call.key, deque()).append(call)
        self._send(call)

    def _refused(self, failure: Failure, call: Call) -> None:
        """
        Wait for nobody.
        """
        line = self._lines[call.key]
        line.remove(call)
        line.appendleft(call)
        super()._refused(failure, call)


class FakeNode:
    """
    Stands for the client of a node: notes what is sent to it, and is answered by hand.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[tuple[bytes, Answer]] = []
        self.done: list[bytes] = []

    def send(self, packed: bytes, answer: Answer) -> Answer:
        """
        Take a command.
        """
        self.sent.append((packed, answer))
        return answer

    def answer(self, error: str | None = None) -> None:
        """
        Carry out the first command, or refuse it.
        """
        packed, answer = self.sent.pop(0)
        if error is None:
            self.done.append(packed)
            answer.callback(b"OK")
        else:
            answer.errback(ServerError(error))

    def execute(self, key: bytes, *command: str) -> Deferred[Any]:
        """
        Give the map as it was.
        """
        return succeed([[0, 16383, [b"h", 1]]])


def orderAfterMove(kind: type[ClusterClient]) -> list[bytes]:
    """
    Three commands on a key, of which the third is called while the first is on a detour.

    @return: They, in the order in which they are carried out.
    """
    client = kind(Clock(), [Address("h", 1)])
    old, new = FakeNode(1), FakeNode(2)
    client._nodes._connect = lambda address: (old, new)[address.port - 1]  # type: ignore
    commands = [client.execute("k", "SET", "k", n) for n in (1, 2)]
    old.answer("MOVED 7629 h:2")
    commands.append(client.execute("k", "SET", "k", 3))
    while old.sent or new.sent:
        if new.sent:
            new.answer()
        if old.sent:
            old.answer("MOVED 7629 h:2")
    assert [command.result for command in commands] == [b"OK"] * 3
    return new.done


def test_orderAfterMove() -> None:
    """
    A command that is called while an earlier one on its key is on a detour comes after it,
    and after those that will have to make the same detour.
    """
    assert orderAfterMove(ClusterClient) == [pack(("SET", "k", n)) for n in (1, 2, 3)]


def test_orderAfterMoveFoundBroken() -> None:
    """
    That goes red for a client whose commands do not wait for one on a detour.
    """
    assert orderAfterMove(HastyClient) != [pack(("SET", "k", n)) for n in (1, 2, 3)]


@pytest_twisted.ensureDeferred
async def test_halfMovedSlot(nodes: RedisCluster) -> None:
    """
    While a slot moves, a key is found where it is, and a command on keys of which some have
    been moved waits until all are.
    """
    client = clientOf(nodes)
    here, there = "{half}here", "{half}there"
    slot = slotOf(here)
    source, target = ends(nodes, slot)
    for key in (here, there):
        await client.execute(key, "SET", key, key)
    beginMove(slot, source, target)
    moveKey(there, source, target)
    assert await client.execute(there, "GET", there) == there.encode()
    assert await client.execute(here, "GET", here) == here.encode()
    both = client.script(COUNT, [here, there], [])
    reactor.callLater(0.1, moveKey, here, source, target)
    assert await both == 2
    endMove(slot, target, nodes)
    assert await client.script(COUNT, [here, there], []) == 2
    await gatherResults([client.execute(key, "DEL", key) for key in (here, there)])
    await client.close()


@pytest_twisted.ensureDeferred
async def test_boundedDetours(nodes: RedisCluster) -> None:
    """
    A command whose keys stay half moved fails before its deadline is long past.
    """
    client = clientOf(nodes)
    here, there = "{stuck}here", "{stuck}there"
    slot = slotOf(here)
    source, target = ends(nodes, slot)
    for key in (here, there):
        await client.execute(key, "SET", key, key)
    beginMove(slot, source, target)
    moveKey(there, source, target)
    began = reactor.seconds()
    error = await givesUp(client.script(COUNT, [here, there], []))
    assert isinstance(error, NotSent)
    assert reactor.seconds() - began < 1.6
    moveKey(here, source, target)
    endMove(slot, target, nodes)
    await gatherResults([client.execute(key, "DEL", key) for key in (here, there)])
    await client.close()


@pytest_twisted.ensureDeferred
async def test_boundedWaiting(nodes: RedisCluster) -> None:
    """
    No more commands wait than is allowed.
    """
    client = clientOf(nodes, maximumWaiting=5)
    commands = [client.execute("n", "GET", "n") for _ in range(6)]
    assert isinstance(await givesUp(commands.pop()), QueueFull)
    assert await gatherResults(commands) == [None] * 5
    await client.close()


@pytest_twisted.ensureDeferred
async def test_frozenNode(nodes: RedisCluster) -> None:
    """
    A node that hangs delays nobody but those who want its slots, those only once, and a client
    that begins while it hangs finds the others.
    """
    client = clientOf(nodes, *nodes.nodes, timeout=0.4)
    keys = {nodes.owner(slotOf(key)).port: key for key in map(str, range(50))}
    for key in keys.values():
        await client.execute(key, "GET", key)
    frozen = nodes.nodes[0]
    hanging = keys.pop(frozen.port)
    frozen.freeze()
    began = reactor.seconds()
    assert isinstance(await givesUp(client.execute(hanging, "GET", hanging)), CommandTimedOut)
    assert reactor.seconds() - began < 0.6
    began = reactor.seconds()
    assert isinstance(await givesUp(client.execute(hanging, "GET", hanging)), NotSent)
    other = clientOf(nodes, *nodes.nodes, timeout=0.4)
    for each in (client, other):
        assert await gatherResults([each.execute(key, "GET", key) for key in keys.values()])
    assert reactor.seconds() - began < 0.2
    frozen.thaw()

    async def answers() -> bool:
        try:
            return await client.execute(hanging, "GET", hanging) is None
        except RedisError:
            return False

    await until(answers, "the node is used again")
    await client.close()
    await other.close()
    await until(nodes.isWhole, "the Cluster is whole again")


@pytest_twisted.ensureDeferred
async def test_noNode() -> None:
    """
    Without any node commands fail at once, and say why.
    """
    client = ClusterClient(reactor, [Address("127.0.0.1", 1)], timeout=0.5)
    began = reactor.seconds()
    for _ in range(5):
        assert "refused" in str(await givesUp(client.execute("a", "GET", "a")))
    assert "refused" in str(await givesUp(client.everywhere("PING")))
    assert reactor.seconds() - began < 0.4
    await client.close()


@pytest_twisted.ensureDeferred
async def test_closeDrains(nodes: RedisCluster) -> None:
    """
    Closing lets what was accepted finish, and a later command opens the connections again.
    """
    client = clientOf(nodes)
    commands = [client.execute(str(n), "GET", str(n)) for n in range(20)]
    closing, again = client.close(), client.close()
    assert isinstance(await givesUp(client.execute("a", "GET", "a")), NotSent)
    await gatherResults([closing, again])
    assert all(command.called for command in commands)
    assert await client.execute("a", "GET", "a") is None
    await client.close()
