"""
New visitors at a steady pace, whatever the server does: a response that comes late is late by
the time at which it was to be asked for.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable

import attrs
from visitors import Connection

CONNECTIONS = 64


@attrs.define
class Second:
    """
    What happened in one second.

    @ivar latencies: How long after its time each visitor was answered, in seconds.
    """

    latencies: list[float] = attrs.field(factory=list)

    def at(self, share: float) -> float:
        """
        So long such a share of them took at the most.
        """
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Pacer:
    """
    Asks for so many pages in a second, each without a cookie.

    @ivar _idle: The connections on which nothing is asked for; the one that has been so
        for longest comes first, or the server would close it in the end.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._idle = deque(Connection(port) for _ in range(CONNECTIONS))
        self._rate = rate
        self._selector = selectors.DefaultSelector()

    def run(self, seconds: int, ticked: Callable[[int], None]) -> list[Second]:
        """
        Ask.

        @param ticked: Called with the number of each second when that is over.
        """
        found = [Second() for _ in range(seconds)]
        began, asked, answered, count = time.perf_counter(), 0, 0, int(seconds * self._rate)
        ticks = 0
        while answered < count:
            now = time.perf_counter() - began
            while self._idle and asked < count and asked / self._rate <= now:
                self._ask(asked / self._rate)
                asked += 1
            for due in self._read(self._pause(began, asked, count)):
                answered += 1
                late = time.perf_counter() - began - due
                found[min(int(due), seconds - 1)].latencies.append(late)
            while ticks < min(int(time.perf_counter() - began), seconds):
                ticked(ticks)
                ticks += 1
        for number in range(ticks, seconds):
            ticked(number)
        for connection in self._idle:
            connection.close()
        return found

    def _pause(self, began: float, asked: int, count: int) -> float | None:
        """
        How long nothing has to be asked for; C{None}: until there is a response.
        """
        if not self._idle or asked == count:
            return None
        return max(0.0, began + asked / self._rate - time.perf_counter())

    def _ask(self, due: float) -> None:
        """
        Ask for a page.
        """
        connection = self._idle.popleft()
        place = connection.ask(None)
        self._selector.register(place, selectors.EVENT_READ, (connection, due))

    def _read(self, pause: float | None) -> list[float]:
        """
        Read what arrives.

        @return: When those were to be asked for that were answered.
        """
        answered = []
        for key, _ in self._selector.select(pause):
            connection, due = key.data
            if connection.read() is not None:
                self._selector.unregister(key.fd)
                self._idle.append(connection)
                answered.append(due)
        return answered
