"""
Klein with its sessions in memory: C{python klein_peer.py bare|memory PORT}.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein, SessionProcurer
from klein.storage.memory import MemorySessionStore, declareMemoryAuthorizer
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.server import Site
from zope.interface import Interface

KIND, PORT = sys.argv[1:3]


class ICounter(Interface):
    """
    Counts.
    """


class Counter:
    """
    See L{ICounter}.
    """

    value = 0


@declareMemoryAuthorizer(ICounter)
def counter(interface: Any, session: Any, data: Any) -> Counter:
    """
    The counter of a session.
    """
    found = data.getComponent(ICounter)
    if found is None:
        found = Counter()
        data.setComponent(ICounter, found)
    return found


app = Klein()
store: Any = MemorySessionStore.fromAuthorizers([counter])
procurer = SessionProcurer(store)


@app.route("/")
@inlineCallbacks
def visit(request: Any) -> Any:
    """
    Count.
    """
    if KIND == "bare":
        return b"Visit #1 for you!"
    session = yield procurer.procureSession(request)
    found = (yield session.authorize([ICounter]))[ICounter]
    found.value += 1
    return b"Visit #%d for you!" % found.value


def main(reactor: Any) -> Deferred[Any]:
    """
    Serve.
    """
    endpoint = serverFromString(reactor, f"tcp:{PORT}:interface=127.0.0.1")
    return endpoint.listen(Site(app.resource())).addCallback(lambda _: Deferred())


if __name__ == "__main__":
    react(main)
