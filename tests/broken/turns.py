"""
A turn of the reactor.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater


def aTurn() -> Deferred:
    """
    The next turn of the reactor, in which others had theirs.
    """
    from twisted.internet import reactor

    return deferLater(reactor, 0)
