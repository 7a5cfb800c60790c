"""
Very many sessions that are alive and idle in one process, which then serves::

    python scalelive.py ours|stock SESSIONS PORT COOKIES

It makes them as an application does, some in each turn of the reactor, writes cookies
into a file, and prints what they take as a JSON object.  From then on it serves, and
its meter answers.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from machine import memory
from meter import startMeter
from served import Counter, ICounter, Ours, Stock
from twisted.internet import reactor
from twisted.python.components import registerAdapter
from twisted.web import server

import txsessions
from txsessions.tap import YOUNG

TURN = 50
"""
How many are made in a turn of the reactor.
"""

MANY = 100_000
"""
Of how many the cookies are written at the most.
"""

DAY = 86400


def stock() -> tuple[Any, Callable[[], bytes]]:
    """
    A site of stock Twisted, and what makes a session with a component.
    """

    class Session(server.Session):
        """
        Lives longer than this takes.
        """

        sessionTimeout = DAY

    registerAdapter(Counter, server.Session, ICounter)
    site = server.Site(Stock())
    site.sessionFactory = Session

    def make() -> bytes:
        session = site.makeSession()
        session.getComponent(ICounter).value = 1
        return session.uid

    return site, make


def ours() -> tuple[Any, Callable[[], bytes]]:
    """
    A site of ours with its sessions in memory, and what makes one.
    """

    class Session(txsessions.Session):
        """
        Lives longer than this takes.
        """

        sessionTimeout = DAY

    site = txsessions.Site(Ours())
    site.sessionFactory = Session

    def make() -> bytes:
        session = site.makeSession()
        session.data["visits"] = 1
        session.commit()
        return session.uid

    return site, make


class Population:
    """
    The sessions that are made.
    """

    def __init__(self, kind: str, count: int, port: int, path: str) -> None:
        self._site, self._make = {"ours": ours, "stock": stock}[kind]()
        self._count = count
        self._port = port
        self._path = path
        self._made = 0
        self._share = -(-count // MANY)

    def start(self) -> None:
        """
        Begin to make them.
        """
        # A few make all that is made once only.
        for _ in range(TURN):
            self._make()
        self._site.startFactory()
        gc.collect()
        # As docs/deployment.rst advises.
        gc.freeze()
        gc.set_threshold(*YOUNG)
        self._before = (memory(os.getpid()), len(gc.get_objects()))
        self._began = time.perf_counter()
        self._longest = self._collecting = 0.0
        self._last = time.perf_counter()
        gc.callbacks.append(self._collected)
        # It is closed when all are made, which is many turns of the reactor later.
        self._cookies = open(self._path, "wb")  # noqa: SIM115
        self._more()

    def _more(self) -> None:
        """
        Make some more.
        """
        now = time.perf_counter()
        # A turn as it always is counts, too.
        self._longest = max(self._longest, now - self._last)
        self._last = now
        for _ in range(TURN):
            uid = self._make()
            self._made += 1
            if self._made % self._share == 0:
                self._cookies.write(b"TWISTED_SESSION=" + uid + b"\n")
        later = self._more if self._made < self._count else self._done
        reactor.callLater(0, later)  # type: ignore[attr-defined]  # the reactor

    def _done(self) -> None:
        """
        Say what they take, and serve.
        """
        self._cookies.close()
        took = time.perf_counter() - self._began
        gc.callbacks.remove(self._collected)
        bytes = (memory(os.getpid()) - self._before[0]) / self._made
        began = time.thread_time()
        gc.collect()
        full = time.thread_time() - began
        figures = {
            "bytes": bytes,
            "objects": (len(gc.get_objects()) - self._before[1]) / self._made,
            "made": self._made / took,
            "growing": self._longest,
            "growingCollecting": self._collecting,
            "fullCollection": full,
        }
        print(json.dumps(figures), flush=True)
        startMeter()
        reactor.listenTCP(  # type: ignore[attr-defined]  # the reactor
            self._port, self._site, interface="127.0.0.1"
        )

    def _collected(self, phase: str, _: object) -> None:
        """
        For the collector of garbage.
        """
        if phase == "start":
            self._paused = time.thread_time()
        else:
            self._collecting = max(self._collecting, time.thread_time() - self._paused)


def main(kind: str, count: str, port: str, path: str) -> None:
    """
    Make them, and serve.
    """
    population = Population(kind, int(count), int(port), path)
    reactor.callWhenRunning(population.start)  # type: ignore[attr-defined]  # the reactor
    reactor.run()  # type: ignore[attr-defined]  # the reactor


if __name__ == "__main__":
    main(*sys.argv[1:])
