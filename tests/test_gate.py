"""
No byte of a response leaves before what it changed in the session is saved.
"""

from __future__ import annotations

import warnings
from asyncio import CancelledError
from contextlib import nullcontext
from typing import Any

import pytest
from scenes import (
    COOKIE,
    Scene,
    SharedStore,
    count,
    gated,
    look,
    setCookies,
    wrote,
    wroteNothing,
)
from twisted.internet.error import ConnectionDone
from twisted.web import resource
from twisted.web.server import NOT_DONE_YET

from txsessions import Request
from txsessions.testing import FailingStore, HangingStore, resultOf


class CarelessRequest(Request):
    """
    A request whose gate never waits: broken on purpose.
    """

    def _pendingCommit(self) -> None:
        for commit in self._commits():
            commit.addErrback(lambda failure: None)


def wroteNoBytes(request: Any) -> Any:
    count(request)
    request.write(b"")
    request.finish()
    return NOT_DONE_YET


def redirected(request: Any) -> Any:
    count(request)
    request.redirect(b"/elsewhere")
    request.finish()
    return NOT_DONE_YET


def raised(request: Any) -> Any:
    count(request)
    raise ValueError("the handler of the test is broken")


def notModified(request: Any) -> Any:
    count(request)
    request.setETag(b'"tag"')
    return b""


def noContent(request: Any) -> Any:
    count(request)
    request.setResponseCode(204)
    request.write(b"is")
    request.write(b"never seen")
    request.finish()
    return NOT_DONE_YET


def errorPage(request: Any) -> Any:
    count(request)
    return resource._UnsafeErrorPage(418, "Teapot", "short").render(request)


async def rendered(request: Any) -> bytes:
    count(request)
    return b"later"


PATHS = {
    "returned": (count, 200, b"1", {}),
    "wrote": (wrote, 200, b"some bytes", {}),
    "wroteNothing": (wroteNothing, 200, b"", {}),
    "wroteNoBytes": (wroteNoBytes, 200, b"", {}),
    "redirected": (redirected, 302, b"", {}),
    "raised": (raised, 500, None, {}),
    "notModified": (notModified, 304, b"", {"headers": {"If-None-Match": '"tag"'}}),
    "noContent": (noContent, 204, b"", {}),
    "errorPage": (errorPage, 418, None, {}),
    "rendered": (rendered, 200, b"later", {}),
    "head": (count, 200, b"", {"method": "HEAD"}),
    "headWrote": (wrote, 200, b"", {"method": "HEAD"}),
    "headWroteNothing": (wroteNothing, 200, b"", {"method": "HEAD"}),
    "post": (count, 200, b"1", {"method": "POST"}),
    "http10": (wrote, 200, b"some bytes", {"version": b"HTTP/1.0"}),
}


@pytest.mark.parametrize("path", PATHS)
def test_everyPath(scene, path):
    """
    On every path a response leaves when its session is stored and not before, and
    then as it was written.
    """
    answer, code, body, options = PATHS[path]
    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer, **options)
    assert it.store.names == ["createSession"]
    assert connection.received == b""
    it.store.openAll()
    response = resultOf(response)
    assert response.code == code
    assert body is None or response.body == body
    assert [cookie.name for cookie in response.cookies] == [COOKIE]
    assert connection.received.count(b"HTTP/1.") == 1
    if path == "raised":
        it.errors.flush("the handler of the test is broken")


@pytest.mark.parametrize("path", PATHS)
def test_everyPathFails(scene, path):
    """
    On every path a save that fails is a 503 with Retry-After, without a cookie and
    without anything that the handler has said; the connection goes on.
    """
    answer, _, _, options = PATHS[path]
    it = scene(wrap=lambda store: gated(FailingStore(store)))
    connection = it.browser().connect()
    it.store.store.fail("createSession")
    response = it.ask(connection, answer, **options)
    it.store.openAll()
    response = resultOf(response)
    assert response.code == 503
    assert response.headers.getRawHeaders(b"retry-after") == [b"5"]
    assert response.headers.getRawHeaders(b"cache-control") == [b"no-store"]
    assert not response.headers.hasHeader(b"location")
    assert not response.headers.hasHeader(b"etag")
    assert setCookies(response) == []
    assert b"some" not in response.body
    assert it.memory._records == {}
    it.errors.flush("the test broke the store", *["is broken"] * (path == "raised"))
    it.store.store.mend()
    if options.get("version") != b"HTTP/1.0":
        again = it.ask(connection, count)
        it.store.openAll()
        assert resultOf(again).body == b"1"


@pytest.mark.parametrize("path", PATHS)
def test_everyPathFailsAtOnce(scene, path):
    """
    The same when the store fails before it has returned.
    """
    answer, _, _, options = PATHS[path]
    it = scene(wrap=FailingStore)
    connection = it.browser().connect()
    it.store.fail("createSession")
    response = it.get(connection, answer, **options)
    assert response.code == 503
    assert setCookies(response) == []
    it.errors.flush("the test broke the store", *["is broken"] * (path == "raised"))
    it.store.mend()
    if options.get("version") != b"HTTP/1.0":
        assert it.get(connection, count).body == b"1"


def test_control(scene):
    """
    The tests of the paths notice a request whose gate never waits.
    """
    it = scene(wrap=gated)
    it.site.requestFactory = CarelessRequest
    connection = it.browser().connect()
    response = it.ask(connection, count)
    assert it.store.names == ["createSession"]
    assert resultOf(response).code == 200
    assert connection.received != b""
    it.store.openAll()


def test_controlOfFailures(scene):
    """
    The tests of failures notice a request that does not care whether its session
    was saved.
    """
    it = scene(wrap=FailingStore)
    it.site.requestFactory = CarelessRequest
    it.store.fail("createSession")
    assert it.get(it.browser(), count).code == 200


def test_badData(scene):
    """
    What cannot be kept is answered with 500 and logged, and nothing of it is kept.
    """

    def answer(request: Any) -> bytes:
        request.getSession().data["list"] = []
        request.getSession().data["list"].append(object())
        return b"fine"

    it = scene()
    browser = it.browser()
    it.get(browser, count)
    response = it.get(browser, answer)
    assert response.code == 500
    assert not response.headers.hasHeader(b"retry-after")
    assert b"fine" not in response.body
    assert it.get(browser, count).body == b"2"
    it.errors.flush("cannot keep this list")


def test_twoSessions(scene):
    """
    A response waits for both sessions of its request, the one of HTTPS and the one
    of plain HTTP.
    """

    def answer(request: Any) -> bytes:
        request.getSession().data["one"] = 1
        request.getSession(forceNotSecure=True).data["two"] = 2
        return b"both"

    it = scene(wrap=gated)
    connection = it.browser(secure=True).connect()
    response = it.ask(connection, answer)
    assert it.store.names == ["createSession", "createSession"]
    it.store.open()
    assert connection.received == b""
    it.store.open()
    assert len(resultOf(response).cookies) == 2


def test_oneOfTwoFails(scene):
    """
    When one of two sessions cannot be saved, the answer is 503 without any cookie.
    """

    def answer(request: Any) -> bytes:
        request.getSession().data["one"] = 1
        request.getSession(forceNotSecure=True).data["two"] = 2
        return b"both"

    it = scene(wrap=FailingStore)
    it.store.fail("createSession", every=2)
    response = it.get(it.browser(secure=True), answer)
    assert (response.code, setCookies(response)) == (503, [])
    it.errors.flush("the test broke the store")


def test_hangingSave(scene):
    """
    A save that hangs is a 503 after its time-out, and the session is there again
    when the store is, with what was acknowledged in it.
    """
    it = scene(wrap=HangingStore)
    browser = it.browser()
    it.get(browser, count)
    it.store.hang("saveSession")
    response = it.ask(browser, count)
    it.clock.advance(4.9)
    assert not response.called
    it.clock.advance(0.2)
    response = resultOf(response)
    assert (response.code, setCookies(response)) == (503, [])
    it.errors.flush("has not answered for 5 seconds")
    it.store.release()
    assert it.get(browser, look).body in (b"1", b"2")
    (record,) = it.memory._records.values()
    assert it.get(browser, look).body == record.attributes["data:n"]


def test_failingSaveKeepsRecord(scene):
    """
    A save that fails leaves the old record as it was, here and in the store.
    """
    it = scene(wrap=FailingStore)
    browser = it.browser()
    it.get(browser, count)
    before = dict(it.memory._records)
    it.store.fail("saveSession")
    for _ in range(3):
        assert it.get(browser, count).code == 503
    it.errors.flush("the test broke the store")
    assert it.memory._records == before
    it.store.mend()
    assert it.get(browser, look).body == b"1"
    assert it.get(browser, count).body == b"2"


def test_answerLost(scene):
    """
    After a save whose answer was lost the session is what the store says.
    """
    it = scene(wrap=FailingStore)
    browser = it.browser()
    it.get(browser, count)
    it.store.fail("saveSession", answersOnly=True)
    assert it.get(browser, count).code == 503
    it.errors.flush("the test broke the store")
    it.store.mend()
    assert it.get(browser, look).body == b"2"
    assert it.get(browser, count).body == b"3"


def test_noWarnings(scene):
    """
    None of this warns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        it: Scene = scene(wrap=gated)
        response = it.ask(it.browser(), wrote)
        it.store.openAll()
        assert resultOf(response).code == 200


@pytest.mark.parametrize("answersOnly", [False, True])
@pytest.mark.parametrize("isShared", [False, True])
@pytest.mark.parametrize("every", [2, 3, 5])
def test_everySoManiethSaveFails(scene, every, isShared, answersOnly):
    """
    When saves fail now and then, what was acknowledged is there, and what was not is
    there whole or not at all.
    """
    it = scene(SharedStore() if isShared else None, wrap=FailingStore)
    browser = it.browser()
    it.get(browser, count)
    it.store.fail("saveSession", every=every, answersOnly=answersOnly)
    acknowledged = 1
    for _ in range(40):
        response = it.get(browser, count)
        if response.code == 200:
            assert int(response.body) in (acknowledged + 1, acknowledged + 2)
            acknowledged = int(response.body)
        (record,) = it.memory._records.values()
        stored = int(record.attributes["data:n"])
        assert stored in (acknowledged, acknowledged + (response.code != 200 and answersOnly))
        acknowledged = stored
    it.errors.flush("the test broke the store")


class Cancelling(Request):
    """
    A request in which something is raised that is no error, when its session has come.
    """

    def _processNow(self) -> None:
        raise CancelledError


class CancellingLate(Request):
    """
    The same, when its session was saved.
    """

    def passFinish(self) -> None:
        raise CancelledError


@pytest.mark.parametrize(("kind", "hasBody"), [(Cancelling, False), (CancellingLate, True)])
def test_cancelled(scene, kind, hasBody):
    """
    Whatever is raised behind a load or a save, the connection is closed, and the client
    does not wait for ever.
    """
    it = scene(memory=SharedStore(), wrap=gated)
    browser = it.browser()
    response = it.ask(browser, count)
    it.store.openAll()
    assert resultOf(response).code == 200
    it.site.requestFactory = kind
    connection = browser.connect()
    response = it.ask(connection, count)
    it.store.openAll()
    assert not connection.isOpen
    with nullcontext() if hasBody else pytest.raises(ConnectionDone):
        assert resultOf(response).body == b"2"
    it.errors.flush("A request failed")
