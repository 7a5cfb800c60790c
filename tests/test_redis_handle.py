"""
Tests for L{txsessions.stores.redisserver.handle}: what operations wait for.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from txsessions.errors import StoreUnavailable
from txsessions.stores.redisserver.handle import Handle
from txsessions.stores.servertime import ServerTime
from txsessions.testing import resultOf


class Client:
    """
    A client that lets go at once.
    """

    def close(self) -> Deferred[None]:
        return succeed(None)


class Scene:
    """
    A hold on a server.

    @ivar compare: What comparing the clocks gives.
    """

    def __init__(self) -> None:
        self.compare: Any = lambda: succeed(None)
        self.handle = Handle(
            Client,  # type: ignore[arg-type]  # as much as is used
            lambda client: self.compare(),
            ServerTime(lambda: None),
            lambda: None,
        )

    def ask(self) -> Deferred[Any]:
        """
        An operation.
        """
        return self.handle.perform(lambda client: succeed("done"))


def down() -> Deferred[None]:
    """
    A server that is known to be down.
    """
    return fail(StoreUnavailable("it is down"))


def test_atOnce():
    """
    While the server is known to be down, each operation fails at once, and none waits
    for the next one to come.
    """
    scene = Scene()
    scene.compare = down
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            resultOf(scene.ask())
    scene.compare = lambda: succeed(None)
    assert resultOf(scene.ask()) == "done"


def test_waits():
    """
    An operation waits until the clocks have been compared, and fails when they cannot be.
    """
    scene, comparing = Scene(), Deferred()
    scene.compare = lambda: comparing
    first, second = scene.ask(), scene.ask()
    assert not first.called and not second.called
    comparing.errback(StoreUnavailable("it is down"))
    for each in (first, second):
        with pytest.raises(StoreUnavailable):
            resultOf(each)


def test_comparedAgain():
    """
    Once they have been compared, no operation waits for the next comparison, whatever
    becomes of that.
    """
    scene = Scene()
    assert resultOf(scene.ask()) == "done"
    scene.compare = Deferred
    assert resultOf(scene.ask()) == "done"
