"""
Clients that go before their response, responses that cannot be finished, and who is
told of that.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    count,
    gated,
    look,
    wroteNothing,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.server import NOT_DONE_YET

from txsessions import SessionRequestMixin, Site
from txsessions.testing import FailingStore, GatedStore, resultOf


def test_clientGoneDuringSave(scene):
    """
    A client that goes while its session is being saved leaves a stored session, no
    error, and no request that still holds the session.
    """
    it = scene(wrap=lambda store: GatedStore(store, "saveSession"))
    browser = it.browser()
    it.get(browser, count)
    connection = browser.connect()
    response = it.ask(connection, count)
    connection.disconnect()
    it.store.openAll()
    with pytest.raises(ConnectionLost):
        resultOf(response)
    (session,) = it.site.sessions.values()
    assert session.holders == {}
    assert it.get(browser, look).body == b"2"


def test_clientGoneBeforeWriting(scene):
    """
    What a handler has changed when its client goes is saved; what it does later
    ends as in stock Twisted.
    """
    requests = []

    def answer(request: Any) -> Any:
        count(request)
        requests.append(request)
        return NOT_DONE_YET

    it = scene()
    browser = it.browser()
    it.get(browser, count)
    connection = browser.connect()
    response = it.ask(connection, answer)
    connection.disconnect()
    with pytest.raises(ConnectionLost):
        resultOf(response)
    (record,) = it.memory._records.values()
    assert record.attributes == {"data:n": b"2"}
    requests[0].write(b"nobody hears it")
    with pytest.raises(RuntimeError, match="connection was lost"):
        requests[0].finish()
    assert requests[0].getSession().data["n"] == 2


def test_askedAfterClientHasGone(scene):
    """
    A handler that asks for the session when its client has gone gets it, or a new
    one that nobody holds.
    """
    requests = []

    def answer(request: Any) -> Any:
        requests.append(request)
        return NOT_DONE_YET

    it = scene()
    browser = it.browser()
    it.get(browser, count)
    (session,) = it.site.sessions.values()
    for each in (browser, it.browser()):
        connection = each.connect()
        response = it.ask(connection, answer)
        connection.disconnect()
        response.addErrback(lambda failure: None)
    assert requests[0].getSession() is session
    assert requests[1].getSession() is not session
    for each in it.site.sessions.values():
        assert each.holders == {}


def test_clientGoneWithBadData(scene):
    """
    A client that goes while its session holds what cannot be kept does no harm to
    the other requests of its connection.
    """

    def answer(request: Any) -> Any:
        request.getSession().data["list"] = []
        request.getSession().data["list"].append(object())
        return NOT_DONE_YET

    it = scene()
    browser = it.browser()
    it.get(browser, count)
    connection = browser.connect()
    response = it.ask(connection, answer)
    connection.disconnect()
    with pytest.raises(ConnectionLost):
        resultOf(response)
    (session,) = it.site.sessions.values()
    assert session.holders == {}
    it.errors.flush("cannot keep this list")


def test_clientGoneNew(scene):
    """
    A session whose token nobody will ever have is not stored when its client goes.
    """
    it = scene()
    connection = it.browser().connect()
    response = it.ask(connection, lambda request: (count(request), NOT_DONE_YET)[1])
    connection.disconnect()
    with pytest.raises(ConnectionLost):
        resultOf(response)
    assert it.memory._records == {}
    it.clock.advance(900)
    assert len(it.site.sessions) == 0


def test_failureAfterHeaders(scene):
    """
    A save that fails after the headers have left cuts the connection off, so that
    nobody takes the response for whole.
    """

    async def answer(request: Any) -> None:
        count(request)
        request.write(b"begun")
        it.store.fail("saveSession")
        count(request)
        request.write(b"never seen")
        request.finish()

    it = scene(wrap=FailingStore)
    browser = it.browser()
    connection = browser.connect()
    with pytest.raises(ConnectionDone):
        resultOf(it.ask(connection, answer))
    assert b"begun" in connection.received
    assert b"never" not in connection.received
    assert not connection.received.endswith(b"0\r\n\r\n")
    assert not connection.isOpen
    it.errors.flush("while the response was leaving")


def test_failureAfterHeadersOfHTTP10(scene):
    """
    So it does where the end of the connection is the end of the response: it is
    aborted, and not closed.
    """

    async def answer(request: Any) -> None:
        count(request)
        request.write(b"begun")
        it.store.fail("saveSession")
        count(request)
        request.finish()

    it = scene(wrap=FailingStore)
    with pytest.raises(ConnectionLost):
        resultOf(it.ask(it.browser().connect(), answer, version=b"HTTP/1.0"))
    it.errors.flush("while the response was leaving")


def test_accessLog(scene):
    """
    The access log tells of a 503 what was answered.
    """
    lines = []

    class LoggingSite(Site):
        def log(self, request: Any) -> None:
            lines.append((request.code, request.sentLength))

    it = scene(wrap=FailingStore)
    site = it.makeSite(LoggingSite)
    it.store.fail("createSession")
    response = it.get(it.browser(site), count)
    assert lines == [(503, len(response.body))]
    it.errors.flush("the test broke the store")


def test_notifyFinish(scene):
    """
    notifyFinish() fires when the response has left, held or refused; and fails when
    the client has gone.
    """
    told = []

    def answer(request: Any) -> bytes:
        request.notifyFinish().addBoth(told.append)
        return count(request)

    it = scene(wrap=lambda store: gated(FailingStore(store)))
    browser = it.browser()
    response = it.ask(browser, answer)
    assert told == []
    it.store.openAll()
    assert told == [None]
    resultOf(response)
    it.store.store.fail("saveSession")
    response = it.ask(browser, answer)
    it.store.openAll()
    assert told == [None, None]
    assert resultOf(response).code == 503
    it.errors.flush("the test broke the store")
    it.store.store.mend()
    connection = browser.connect()
    response = it.ask(connection, answer)
    it.store.open("loadSession")
    connection.disconnect()
    assert isinstance(told[2], Failure)
    it.store.openAll()
    response.addErrback(lambda failure: None)


def test_ownRequestClass(scene):
    """
    A request class of the application keeps its own ways with the mixin in front.
    """

    class Own(http.Request):
        pass

    class OwnRequest(SessionRequestMixin, server.Request):
        def finish(self) -> None:
            self.setHeader(b"X-Own", b"1")
            super().finish()

    it = scene(wrap=gated)
    site = it.makeSite(requestFactory=OwnRequest)
    response = it.ask(it.browser(site), wroteNothing)
    it.store.openAll()
    assert resultOf(response).headers.getRawHeaders(b"x-own") == [b"1"]
