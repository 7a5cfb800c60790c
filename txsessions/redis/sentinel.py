"""
A master that Sentinels watch over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import random as randomNumber
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from .address import Access, Address
from .client import Client
from .errors import NotSent, RedisError
from .interfaces import ILocator
from .locator import Fixed

TIMEOUT: Final = 0.5
"""
How long a Sentinel may take to answer, in seconds; the others are there for
when it does not.
"""

POLL: Final = 1.0
"""
How often the Sentinels are asked where the master is, in seconds, in case that
their message was lost.
"""

CHANNEL: Final = b"+switch-master"
"""
Where a Sentinel tells that there is a new master.
"""


@implementer(ILocator)
class Sentinels:
    """
    Asks all Sentinels, and believes the one with the newest configuration: one
    that was cut off or has just come back knows an older one.

    They are asked again every second, and listened to in between.
    """

    _log = Logger()
    expectsMaster = True

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[Address],
        name: str,
        *,
        access: Access = Access(),  # noqa: B008 - it is frozen
        timeout: float = TIMEOUT,
        poll: float = POLL,
        random: Callable[[], float] = randomNumber,
    ) -> None:
        """
        @param addresses: Where the Sentinels are.
        @param name: By which they know the master.
        @param access: How one gets in at the Sentinels.
        @param timeout: How long one of them may take to answer, in seconds.
        @param poll: How often they are asked, in seconds.
        @param random: Gives a number from 0 to 1.
        """
        self._name = name
        self._poll = poll
        self._sentinels = [
            Client(reactor, Fixed(address), access=access, timeout=timeout, random=random)
            for address in addresses
        ]
        self._followers: list[Callable[[Address], None]] = []
        self._polling = LoopingCall(self._look)
        self._polling.clock = reactor

    def locate(self) -> Deferred[Address]:
        """
        See L{ILocator.locate}.
        """
        asked = [
            sentinel.execute(b"", "SENTINEL", "MASTER", self._name) for sentinel in self._sentinels
        ]
        return DeferredList(asked, consumeErrors=True).addCallback(self._newest)

    def follow(self, seen: Callable[[Address], None]) -> None:
        """
        See L{ILocator.follow}.
        """
        self._followers.append(seen)
        if self._polling.running:
            return
        for sentinel in self._sentinels:
            # The poll makes up for a Sentinel that cannot be listened to.
            sentinel.subscribe(CHANNEL, self._switched).addErrback(lambda f: f.trap(RedisError))
        self._polling.start(self._poll, now=False)

    def unfollow(self, seen: Callable[[Address], None]) -> Deferred[None]:
        """
        See L{ILocator.unfollow}.
        """
        self._followers.remove(seen)
        if self._followers:
            return succeed(None)
        self._polling.stop()
        closing = [sentinel.close() for sentinel in self._sentinels]
        return DeferredList(closing).addCallback(lambda _: None)

    def _newest(self, results: list[tuple[bool, Any]]) -> Address:
        """
        Where the master is, by the answers of the Sentinels.
        """
        facts = [_facts(reply) for answered, reply in results if answered]
        if not facts:
            problem = results[0][1].getErrorMessage()
            raise NotSent(
                f"none of {len(results)} Sentinels tells where {self._name!r} is: {problem}"
            )
        newest = max(facts, key=lambda each: int(each["config-epoch"]))
        return Address(newest["ip"], int(newest["port"]))

    def _look(self) -> Deferred[None]:
        """
        Ask where the master is, and tell those who want to know.
        """
        return self.locate().addCallbacks(self._tell, lambda f: f.trap(RedisError) and None)

    def _switched(self, message: bytes) -> None:
        """
        A Sentinel says: name, old host and port, new host and port.
        """
        words = message.decode("utf-8", "replace").split(" ")
        if len(words) == 5 and words[0] == self._name and words[4].isdecimal():
            self._tell(Address(words[3], int(words[4])))

    def _tell(self, address: Address) -> None:
        """
        Tell those who want to know.
        """
        for seen in list(self._followers):
            seen(address)


def _facts(reply: list[bytes]) -> dict[str, str]:
    """
    What a Sentinel knows of the master: names and values in turn.
    """
    words = [word.decode("utf-8", "replace") for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
