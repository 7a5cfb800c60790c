"""
twisted.web and txredisapi, C{GET} and C{SET}::

    python txredisapi_peer.py bare|redis PORT REDIS
"""

from __future__ import annotations

import sys
from binascii import hexlify
from os import urandom
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

KIND, PORT, REDIS = sys.argv[1:4]

LIFETIME = 900


class Bare(Resource):
    """
    Has no session.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Say hello.
        """
        return b"Visit #1 for you!"


class Visit(Resource):
    """
    Counts.
    """

    isLeaf = True

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection

    def render_GET(self, request: Any) -> int:
        """
        Count.
        """
        self._count(request)
        return NOT_DONE_YET

    @inlineCallbacks
    def _count(self, request: Any) -> Any:
        """
        Load, count, save, answer.
        """
        name = request.getCookie(b"session")
        if name is None:
            name = hexlify(urandom(32))
            request.addCookie(b"session", name, path=b"/")
        count = ((yield self._connection.get(name.decode())) or 0) + 1
        yield self._connection.set(name.decode(), count, expire=LIFETIME)
        request.write(b"Visit #%d for you!" % count)
        request.finish()


@inlineCallbacks
def main(reactor: Any) -> Any:
    """
    Serve.
    """
    root: Resource = Bare()
    if KIND == "redis":
        root = Visit((yield txredisapi.Connection(port=int(REDIS))))
    reactor.listenTCP(int(PORT), Site(root), interface="127.0.0.1")
    yield Deferred()


if __name__ == "__main__":
    react(main)
