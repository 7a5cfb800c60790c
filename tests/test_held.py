"""
A response that is held back leaves as the handler wrote it.
"""

from __future__ import annotations

from typing import Any

import pytest
from pages import Page
from scenes import (
    COOKIE,
    count,
    gated,
    setCookies,
    wrote,
)
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.server import NOT_DONE_YET, UnsupportedMethod

from txsessions.testing import FailingStore, GatedStore, resultOf
from txsessions.web.gate import Gate


class Getter(Page):
    """
    Knows GET only, so that Twisted makes one of a HEAD.
    """

    def render(self, request: Any) -> Any:
        if request.method != b"GET":
            raise UnsupportedMethod([b"GET"])
        return super().render(request)


def test_fakedHead(scene):
    """
    A HEAD that is answered by a GET handler waits for its session, and has no body.
    """

    def get(request: Any) -> bytes:
        count(request)
        return b"four"

    it = scene(wrap=gated)
    it.site.resource = Getter(get)
    connection = it.browser().connect()
    response = connection.request("HEAD", "/")
    assert connection.received == b""
    it.store.openAll()
    response = resultOf(response)
    assert (response.code, response.body) == (200, b"")
    assert response.headers.getRawHeaders(b"content-length") == [b"4"]
    assert connection.received.endswith(b"\r\n\r\n")
    assert len(setCookies(response)) == 1


def test_fakedHeadFails(scene):
    """
    A 503 of such a HEAD has no body either.
    """
    it = scene(wrap=FailingStore)
    it.site.resource = Getter(wrote)
    it.store.fail("createSession")
    connection = it.browser().connect()
    assert resultOf(connection.request("HEAD", "/")).code == 503
    assert connection.received.endswith(b"\r\n\r\n")
    it.errors.flush("the test broke the store")


def test_fakedHeadThatGotAway(scene):
    """
    A GET handler that answers later is of no harm to the HEAD that it was called
    for: what it does late is refused or noted, as in stock Twisted.
    """
    requests = []

    def get(request: Any) -> Any:
        count(request)
        requests.append(request)
        return NOT_DONE_YET

    it = scene(wrap=gated)
    it.site.resource = Getter(get)
    connection = it.browser().connect()
    response = connection.request("HEAD", "/")
    with pytest.raises(RuntimeError):
        requests[0].write(b"body")
    with pytest.warns(UserWarning, match="finish called twice"):
        requests[0].finish()
    assert connection.received == b""
    it.store.openAll()
    assert resultOf(response).code == 200
    with pytest.warns(UserWarning, match="finish called twice"):
        requests[0].finish()
    assert connection.received.endswith(b"\r\n\r\n")


def test_headersAreFinal(scene):
    """
    What a handler says of the headers after its first write comes too late, however
    slow the store is.
    """

    def answer(request: Any) -> bytes:
        count(request)
        request.setHeader(b"X-Early", b"1")
        request.write(b"first ")
        assert request.startedWriting
        request.setResponseCode(500)
        request.setHeader(b"X-Late", b"1")
        request.addCookie(b"late", b"1")
        request.setETag(b'"late"')
        return b"second"

    it = scene(wrap=gated)
    connection = it.browser().connect()
    held = it.ask(connection, answer)
    it.store.openAll()
    held = resultOf(held)
    it = scene()
    atOnce = it.get(it.browser(), answer)
    for response in (held, atOnce):
        assert (response.code, response.body) == (200, b"first second")
        assert not response.headers.hasHeader(b"content-length")
        assert response.headers.getRawHeaders(b"x-early") == [b"1"]
        assert not response.headers.hasHeader(b"x-late")
        assert not response.headers.hasHeader(b"etag")
        assert [cookie.name for cookie in response.cookies] == [COOKIE]


def test_raisedAfterWriting(scene):
    """
    A handler that raises while its first bytes are held has said nothing: the error
    page is whole, and the next response on the connection is the next one.
    """

    def answer(request: Any) -> bytes:
        count(request)
        request.write(b"half of ")
        raise ValueError("the handler of the test is broken")

    it = scene(wrap=lambda store: GatedStore(store, "saveSession"))
    browser = it.browser()
    it.get(browser, count)
    connection = browser.connect()
    first, second = it.ask(connection, answer), it.ask(connection, count)
    it.store.openAll()
    first = resultOf(first)
    assert first.code == 500
    assert b"half" not in first.body
    assert resultOf(second).body == b"3"
    it.errors.flush("the handler of the test is broken")


def test_raisedAfterFinishing(scene):
    """
    A handler that raises after it has finished spoils nothing, though the response
    is still held.
    """

    def answer(request: Any) -> bytes:
        wrote(request)
        raise ValueError("the handler of the test is broken")

    it = scene(wrap=gated)
    response = it.ask(it.browser().connect(), answer)
    it.store.openAll()
    assert resultOf(response).body == b"some bytes"
    it.errors.flush("the handler of the test is broken")


def test_finishTwice(scene):
    """
    A second finish() is warned of as in stock Twisted, and ends nothing early.
    """

    def answer(request: Any) -> Any:
        count(request)
        request.write(b"whole")
        request.finish()
        with pytest.warns(UserWarning, match="finish called twice"):
            request.finish()
        return NOT_DONE_YET

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    assert connection.received == b""
    it.store.openAll()
    assert resultOf(response).body == b"whole"


def test_laterChanges(scene):
    """
    What a handler changes between its first write and its last is saved before the
    response ends.
    """

    def answer(request: Any) -> Any:
        data = request.getSession().data
        data["one"] = 1
        request.write(b"a")
        data["two"] = 2
        request.write(b"b")
        data["three"] = 3
        request.finish()
        return NOT_DONE_YET

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    it.store.open("createSession")
    assert connection.received == b""
    assert it.store.names == ["saveSession"]
    it.store.open("saveSession")
    assert resultOf(response).body == b"ab"
    (record,) = it.memory._records.values()
    assert set(record.attributes) == {"data:one", "data:two", "data:three"}


def test_othersDoNotKeepIt(scene):
    """
    A response does not wait for what other requests change in the session while it
    is being saved.
    """
    it = scene(wrap=lambda store: GatedStore(store, "saveSession"))
    browser = it.browser()
    it.get(browser, count)
    response = it.ask(browser, count)
    for number in range(5):
        live = next(iter(it.site.sessions.values()))
        live.data[f"other{number}"] = number
        it.store.open()
        if response.called:
            break
    assert resultOf(response).body == b"2"
    assert number <= 1


def test_controlOfOthers():
    """
    A gate that saves again whenever there is something to save would keep it.
    """

    class EagerGate(Gate):
        def _saved(self, result: object) -> None:
            self._isStale = True
            super()._saved(result)

    from twisted.internet.defer import Deferred

    saves: list[Deferred[None]] = []

    class Response:
        passed = False

        def holdBack(self) -> None: ...

        def goneWrong(self, failure: Failure) -> None: ...

        def passFinish(self) -> None:
            self.passed = True

    def save() -> Deferred[None]:
        saves.append(Deferred())
        return saves[-1]

    for kind, isPassed in ((Gate, True), (EagerGate, False)):
        response = Response()
        kind(response, save, lambda failure: None).finish()
        saves[-1].callback(None)
        assert response.passed is isPassed


def test_wroteAfterFinish(scene):
    """
    write() after finish() is refused as in stock Twisted, held or not.
    """

    def answer(request: Any) -> Any:
        wrote(request)
        with pytest.raises(RuntimeError, match="write called on a request after"):
            request.write(b"more")
        return NOT_DONE_YET

    it = scene(wrap=gated)
    response = it.ask(it.browser().connect(), answer)
    it.store.openAll()
    assert resultOf(response).body == b"some bytes"
    it = scene()
    assert it.get(it.browser(), answer).body == b"some bytes"


def test_wroteText(scene):
    """
    What is no bytes is refused when it is written, and not when it was held.
    """

    def answer(request: Any) -> bytes:
        count(request)
        with pytest.raises(TypeError, match="bytes"):
            request.write("text")
        return b"fine"

    it = scene(wrap=gated)
    response = it.ask(it.browser().connect(), answer)
    it.store.openAll()
    assert resultOf(response).body == b"fine"


def test_wroteBuffer(scene):
    """
    A buffer may be used again as soon as it was written.
    """

    def answer(request: Any) -> Any:
        count(request)
        buffer = bytearray(b"first ")
        request.write(buffer)
        buffer[:] = b"second"
        request.write(buffer)
        buffer[:] = b"-dirty"
        request.finish()
        return NOT_DONE_YET

    it = scene(wrap=gated)
    response = it.ask(it.browser().connect(), answer)
    it.store.openAll()
    assert resultOf(response).body == b"first second"


@pytest.mark.parametrize("isFinished", [True, False])
def test_loseConnection(scene, isFinished):
    """
    A handler that closes the connection while its response is held closes it behind
    the response.
    """

    def answer(request: Any) -> Any:
        count(request)
        request.write(b"whole")
        request.loseConnection()
        if isFinished:
            request.finish()
        return NOT_DONE_YET

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    response.addErrback(lambda failure: None)
    assert connection.isOpen
    it.store.openAll()
    assert not connection.isOpen
    assert b"whole" in connection.received
    assert connection.received.endswith(b"0\r\n\r\n") is isFinished


def test_brokenHeaders(scene):
    """
    A response that cannot be written when it is let pass ends the connection, and
    is logged; it does not hang.
    """

    def answer(request: Any) -> bytes:
        request.setResponseCode("no number")
        return count(request)

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    it.store.openAll()
    with pytest.raises(ConnectionDone):
        resultOf(response)
    it.errors.flush("A request failed")


def test_gzip(scene):
    """
    A resource that is compressed passes the gate whole, with the length it has.
    """
    import gzip

    from twisted.web.resource import EncodingResourceWrapper

    it = scene(wrap=gated)
    it.site.resource = EncodingResourceWrapper(it.site.resource, [server.GzipEncoderFactory()])
    response = it.ask(it.browser().connect(), wrote, headers={"Accept-Encoding": "gzip"})
    it.store.openAll()
    response = resultOf(response)
    assert response.headers.getRawHeaders(b"content-encoding") == [b"gzip"]
    assert gzip.decompress(response.body) == b"some bytes"


def test_gzipFails(scene):
    """
    The 503 of a resource that is compressed is plain, and says so.
    """
    from twisted.web.resource import EncodingResourceWrapper

    it = scene(wrap=FailingStore)
    it.site.resource = EncodingResourceWrapper(it.site.resource, [server.GzipEncoderFactory()])
    it.store.fail("createSession")
    response = it.get(it.browser(), count, headers={"Accept-Encoding": "gzip"})
    assert response.code == 503
    assert not response.headers.hasHeader(b"content-encoding")
    assert response.body.startswith(b"The service")
    it.errors.flush("the test broke the store")


def test_pipelined(scene):
    """
    Pipelined requests of one session each see what the one before has written, and
    a 503 in between stands in its place.
    """
    it = scene(wrap=lambda store: GatedStore(FailingStore(store), "saveSession"))
    browser = it.browser()
    it.get(browser, count)
    connection = browser.connect()
    responses = [it.ask(connection, count) for _ in range(4)]
    it.store.open()
    it.store.store.fail("saveSession")
    it.store.open()
    it.store.store.mend()
    it.store.openAll()
    results = [resultOf(response) for response in responses]
    assert [response.code for response in results] == [200, 503, 200, 200]
    assert [response.body for response in results if response.code == 200] == [b"2", b"3", b"4"]
    it.errors.flush("the test broke the store")
