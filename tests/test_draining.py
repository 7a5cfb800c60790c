"""
Tests for the site that finishes what is under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import directlyProvides

from txsessions.draining import FLUSH_INTERVAL, GRACE, DrainingSite
from txsessions.testing.browser import Browser


class Waiting(Resource):
    """
    Answers when the test says so.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render_GET(self, request: Any) -> int:
        """
        Wait.
        """
        self.requests.append(request)
        return NOT_DONE_YET


class Setting:
    """
    A site, a browser, and a clock that the test moves.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.root = Waiting()
        self.site = DrainingSite(self.root, reactor=self.clock)
        self.browser = Browser(self.site)
        self.connection = self.browser.connect()

    def drain(self) -> Deferred[None]:
        """
        Drain the site.
        """
        return Deferred.fromCoroutine(self.site.drain())


@pytest.fixture
def setting() -> Iterator[Setting]:
    """
    A L{Setting}.
    """
    made = Setting()
    yield made
    made.browser.close()
    assert made.clock.getDelayedCalls() == []


def test_idle(setting):
    """
    A site without requests is drained at once.
    """
    assert setting.drain().called


def test_underWay(setting):
    """
    A site is drained when the last request that is under way has its
    response, which tells its client that the connection ends.
    """
    responses = [setting.connection.get("/"), setting.browser.connect().get("/")]
    drained = setting.drain()
    for request, response in zip(setting.root.requests, responses, strict=True):
        assert not drained.called
        request.finish()
        assert response.result.headers.getRawHeaders(b"connection") == [b"close"]
    assert drained.called
    assert not setting.connection.isOpen


def test_before(setting):
    """
    Before a site is to be drained, connections are kept.
    """
    response = setting.connection.get("/")
    setting.root.requests[0].finish()
    assert not response.result.headers.hasHeader(b"connection")
    assert setting.connection.isOpen
    assert setting.drain().called


def test_meanwhile(setting):
    """
    A request that comes while the site is drained is waited for too, and is
    the last one of its connection.
    """
    setting.connection.get("/")
    drained = setting.drain()
    late = setting.browser.connect().get("/")
    setting.root.requests[0].finish()
    assert not drained.called
    setting.root.requests[1].finish()
    assert drained.called
    assert late.result.headers.getRawHeaders(b"connection") == [b"close"]


def test_headersHaveLeft(setting):
    """
    A response whose headers have left is finished, and its connection ends
    all the same.
    """
    response = setting.connection.get("/")
    (request,) = setting.root.requests
    request.write(b"a")
    drained = setting.drain()
    request.write(b"b")
    request.finish()
    assert drained.called
    assert response.result.body == b"ab"
    assert not setting.connection.isOpen


def test_clientGoes(setting):
    """
    A request whose client has gone is not waited for.
    """
    response = setting.connection.get("/")
    drained = setting.drain()
    setting.connection.disconnect()
    assert drained.called
    response.addErrback(lambda _: None)


def test_grace(setting):
    """
    A request that never ends is waited for, but not for ever.
    """
    response = setting.connection.get("/")
    drained = setting.drain()
    setting.clock.advance(GRACE - 0.01)
    assert not drained.called
    setting.clock.advance(0.02)
    assert drained.called
    response.addErrback(lambda _: None)


class WritingClock(Clock):
    """
    A reactor whose connections have bytes that have not left.
    """

    writers: list[Any] = []

    def getWriters(self) -> list[Any]:
        """
        See L{IReactorFDSet.getWriters}.
        """
        return self.writers


@pytest.mark.parametrize("isClient", [False, True])
def test_flushed(isClient):
    """
    A site is drained when all bytes to its clients have left, or when the
    time is up; connections of other kinds do not matter.
    """
    clock = WritingClock()
    directlyProvides(clock, IReactorFDSet)
    site = DrainingSite(Waiting(), reactor=clock)
    clock.writers = [object() if isClient else object.__new__(Server)]
    drained = Deferred.fromCoroutine(site.drain())
    assert drained.called == isClient
    clock.advance(FLUSH_INTERVAL)
    assert drained.called == isClient
    clock.writers = []
    clock.advance(FLUSH_INTERVAL)
    assert drained.called


def test_neverFlushed():
    """
    A client that does not read is not waited for for ever.
    """
    clock = WritingClock()
    directlyProvides(clock, IReactorFDSet)
    site = DrainingSite(Waiting(), reactor=clock)
    clock.writers = [object.__new__(Server)]
    drained = Deferred.fromCoroutine(site.drain())
    clock.pump([FLUSH_INTERVAL] * int(GRACE / FLUSH_INTERVAL + 2))
    assert drained.called
