"""
One server for the benchmarks: C{python served.py [--meter] VARIANT PORT [PLACE]}.

Each variant answers C{/} with a counter of its session, saved before the answer
leaves where there is anything to save; C{bare} has no session at all; the variants
C{floor-…} are those of C{floors.py}.  PLACE is a directory, or for a store that has a
server, the text that opens it (for the floors: a port, a path, or an address).
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from twisted.internet import reactor
from twisted.python.components import registerAdapter
from twisted.web import resource, server
from zope.interface import Interface, implementer

import txsessions
from txsessions.stores import openStore
from txsessions.tap import YOUNG


class ICounter(Interface):
    """
    Counts the visits of a session of stock Twisted.
    """


@implementer(ICounter)
class Counter:
    """
    See L{ICounter}.
    """

    def __init__(self, session: object) -> None:
        self.value = 0


class Bare(resource.Resource):
    """
    Answers without a session.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Say hello.
        """
        return b"Visit #1 for you!"


class Stock(resource.Resource):
    """
    Counts in a component, as the howto of stock Twisted does.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Count, and say how often.
        """
        counter = request.getSession(ICounter)
        counter.value += 1
        return b"Visit #%d for you!" % counter.value


class Ours(resource.Resource):
    """
    Counts in C{session.data}.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Count, and say how often.
        """
        data = request.getSession().data
        data["visits"] = data.get("visits", 0) + 1
        return b"Visit #%d for you!" % data["visits"]


class Reading(resource.Resource):
    """
    Reads C{session.data}, and changes nothing.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Say how often the session was here.
        """
        return b"Visit #%d for you!" % request.getSession().data.get("visits", 1)


def makeSite(variant: str, place: str) -> Any:
    """
    The site of a variant.
    """
    if variant == "bare":
        return server.Site(Bare())
    if variant == "stock":
        registerAdapter(Counter, server.Session, ICounter)
        return server.Site(Stock())
    name, _, kind = variant.partition("-")
    if name == "floor":
        # It is not needed by those who have a site for other purposes.
        from floors import makeFloor

        return server.Site(makeFloor(kind, place))
    root = Reading() if kind == "reading" else Ours()
    return txsessions.Site(root, sessionStore=openStore(storeText(name, place)))


def storeText(name: str, place: str) -> str:
    """
    What opens a store.
    """
    files = {"sqlite": f"sqlite:{place}/sessions.db", "json": f"json:{place}/sessions"}
    return files.get(name, place if name in ("redis", "postgres") else name)


def main(arguments: list[str]) -> None:
    """
    Serve.
    """
    if arguments[0] == "--meter":
        from meter import startMeter

        arguments.pop(0)
        startMeter()
    variant, port, place = [*arguments, "."][:3]
    # As C{twistd txsessions} does, and docs/deployment.rst advises.
    reactor.callWhenRunning(gc.freeze)
    gc.set_threshold(*YOUNG)
    reactor.listenTCP(int(port), makeSite(variant, place), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
