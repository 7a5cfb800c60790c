"""
The nodes of a Cluster: a client of each, and the map of the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from .address import Address
from .client import Client
from .errors import NotSent
from .interfaces import ILocator
from .slots import SLOTS, parseSlots

INTERVAL: Final = 0.1
"""
The map is not asked for more often than this, in seconds.
"""

ASKED: Final = 3
"""
How many nodes are asked for the map at the same time: so one that hangs does
not matter.
"""


@implementer(ILocator)
class Nodes:
    """
    Keeps a client of each node that was needed, and learns which node has
    which slot.

    As an L{ILocator} it names any master.

    @ivar masters: For each slot the address of its master, or C{None}.
    """

    expectsMaster = False

    def __init__(
        self,
        clock: IReactorTime,
        seeds: Sequence[Address],
        connect: Callable[[Address], Client],
        timeout: float,
        random: Callable[[], float],
    ) -> None:
        """
        @param seeds: Some nodes, to ask for the others.
        @param connect: Makes a client of one node.
        @param timeout: How long the asking for the map may take, in seconds.
        @param random: Gives a number from 0 to 1.
        """
        self.masters: list[Address | None] = [None] * SLOTS
        self._clock = clock
        self._seeds = tuple(seeds)
        self._connect = connect
        self._timeout = timeout
        self._random = random
        self._clients: dict[Address, Client] = {}
        self._waiting: list[Deferred[None]] | None = None
        self._asked: float | None = None
        self._problem = ""
        self._leaving: set[Deferred[None]] = set()

    def client(self, address: Address) -> Client:
        """
        The client of a node.
        """
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._connect(address)
        return client

    def refresh(self) -> Deferred[None]:
        """
        Ask for the map, unless that has just been done.

        @return: A L{Deferred} that fires with L{None} when the map is as new
            as it can be had.
        """
        if self._waiting is not None:
            done: Deferred[None] = Deferred()
            self._waiting.append(done)
            return done
        now = self._clock.seconds()
        if self._asked is not None and 0 <= now - self._asked < INTERVAL:
            return succeed(None)
        self._waiting = []
        return Deferred.fromCoroutine(self._ask(now + self._timeout)).addBoth(self._refreshed)

    def known(self) -> Deferred[list[Address]]:
        """
        All masters.

        @return: A L{Deferred} that fires with their addresses; and fails with
            L{NotSent<txsessions.redis.errors.NotSent>} when no node tells
            them.
        """
        if self._addresses():
            return succeed(self._addresses())
        return self.refresh().addCallback(lambda _: self._found())

    def locate(self) -> Deferred[Address]:
        """
        See L{ILocator.locate}.
        """
        return self.known().addCallback(
            lambda addresses: addresses[int(self._random() * len(addresses)) % len(addresses)]
        )

    def follow(self, seen: Callable[[Address], None]) -> None:
        """
        See L{ILocator.follow}: any master is as good as another.
        """

    def unfollow(self, seen: Callable[[Address], None]) -> Deferred[None]:
        """
        See L{ILocator.unfollow}.
        """
        return succeed(None)

    def missing(self, slot: int) -> NotSent:
        """
        The error for a slot that no node is known to have.
        """
        return NotSent(self._problem or f"no node of the Redis Cluster has slot {slot} now")

    def close(self) -> Deferred[None]:
        """
        Close all clients.

        @return: A L{Deferred} that fires with L{None}.
        """
        for address in list(self._clients):
            self._release(address)
        return DeferredList(list(self._leaving)).addCallback(lambda _: None)

    def _addresses(self) -> list[Address]:
        """
        The masters of the map.
        """
        return [address for address in dict.fromkeys(self.masters) if address is not None]

    def _found(self) -> list[Address]:
        """
        The masters of the map, after it was asked for.
        """
        addresses = self._addresses()
        if not addresses:
            raise self.missing(0)
        return addresses

    async def _ask(self, deadline: float) -> None:
        """
        Ask some nodes at a time, in any order, until one gives a map.
        """
        left = sorted({*self._addresses(), *self._seeds}, key=lambda _: self._random())
        while left and self._clock.seconds() < deadline:
            asked, left = left[:ASKED], left[ASKED:]
            replies = [
                self.client(address)
                .execute(b"", "CLUSTER", "SLOTS")
                .addCallback(parseSlots, address)
                for address in asked
            ]
            result: Any = await DeferredList(replies, fireOnOneCallback=True, consumeErrors=True)
            if isinstance(result, tuple):
                self._learn(result[0])
                return
            self._problem = result[0][1].getErrorMessage()

    def _learn(self, masters: list[Address | None]) -> None:
        """
        Take a new map, and let go of nodes that are no longer in it.
        """
        self.masters = masters
        self._problem = ""
        needed = {*self._addresses(), *self._seeds}
        for address in [each for each in self._clients if each not in needed]:
            self._release(address)

    def _release(self, address: Address) -> None:
        """
        Close the client of one node.
        """
        leaving = self._clients.pop(address).close()
        self._leaving.add(leaving)
        leaving.addCallback(lambda _: self._leaving.discard(leaving))

    def _refreshed(self, result: object) -> object:
        """
        Tell all who wait for the map.
        """
        self._asked = self._clock.seconds()
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done.callback(None)
        return result
