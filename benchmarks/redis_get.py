"""
What one GET costs this process, in CPU time, beside the same bytes sent and
received through a bare transport.

    python benchmarks/redis_get.py HOST PORT [COMMANDS]
"""

from __future__ import annotations

import sys
from resource import RUSAGE_SELF, getrusage
from typing import Any

import hiredis
from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from txsessions.redis.address import Address
from txsessions.redis.client import Client
from txsessions.redis.locator import Fixed

KEY = b"txsessions-benchmark"
VALUE = b"x" * 245


def cpu() -> float:
    """
    The CPU time of this process, in seconds.
    """
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Bare(Protocol):
    """
    Writes the packed commands of a batch, and counts the bytes of the replies.
    """

    def batch(self, commands: bytes, expected: int) -> Deferred[None]:
        """
        One batch.
        """
        self.left = expected
        self.done: Deferred[None] = Deferred()
        self.transport.write(commands)  # type: ignore[union-attr]
        return self.done

    def dataReceived(self, data: bytes) -> None:
        """
        Count.
        """
        self.left -= len(data)
        if self.left == 0:
            self.done.callback(None)


async def ours(client: Client, batches: int, size: int) -> float:
    """
    The CPU time of one GET, with so many of them at the same time.
    """
    began = cpu()
    for _ in range(batches):
        await gatherResults([client.execute(KEY, b"GET", KEY) for _ in range(size)])
    return (cpu() - began) / batches / size


async def floor(bare: Bare, batches: int, size: int) -> float:
    """
    The same bytes through a bare transport.
    """
    packed = hiredis.pack_command((b"GET", KEY)) * size
    began = cpu()
    for _ in range(batches):
        await bare.batch(packed, size * len(b"$245\r\n" + VALUE + b"\r\n"))
    return (cpu() - began) / batches / size


async def measure(reactor: Any, host: str, port: str, count: str = "100000") -> None:
    """
    Print the figures.
    """
    client = Client(reactor, Fixed(Address(host, int(port))))
    await client.execute(KEY, b"SET", KEY, VALUE)
    bare = await HostnameEndpoint(reactor, host, int(port)).connect(Factory.forProtocol(Bare))
    for size in (1, 10, 100):
        batches = int(count) // max(size, 10)
        used = 1e6 * await ours(client, batches, size)
        least = 1e6 * await floor(bare, batches, size)
        print(f"{size:3} at a time: {used:5.1f} us CPU each, a bare transport {least:5.1f} us")
    bare.transport.loseConnection()
    await client.execute(KEY, b"DEL", KEY)
    await client.close()


if __name__ == "__main__":
    task.react(lambda *arguments: Deferred.fromCoroutine(measure(*arguments)), sys.argv[1:])
