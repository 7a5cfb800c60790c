"""
No byte of a response leaves before what it changed in the session is saved.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from pages import Page
from scenes import COOKIE, Scene, SharedStore, count, gated, look, scenes, setCookies
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.web import http, resource, server
from twisted.web.server import NOT_DONE_YET, UnsupportedMethod

from txsessions import Request, SessionRequestMixin, Site
from txsessions.testing import FailingStore, GatedStore, HangingStore, resultOf
from txsessions.web.gate import Gate


@pytest.fixture
def scene():
    """
    Makes scenes.
    """
    yield from scenes()


class CarelessRequest(Request):
    """
    A request whose gate never waits: broken on purpose.
    """

    def _pendingCommit(self) -> None:
        for commit in self._commits():
            commit.addErrback(lambda failure: None)


def wrote(request: Any) -> Any:
    count(request)
    request.write(b"some ")
    request.write(b"bytes")
    request.finish()
    return NOT_DONE_YET


def wroteNothing(request: Any) -> Any:
    count(request)
    request.finish()
    return NOT_DONE_YET


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


def test_commitSession(scene):
    """
    A streaming handler that waits for commitSession() before it goes on writes
    nothing that is not true.
    """
    seen = []

    async def answer(request: Any) -> None:
        data = request.getSession().data
        for step in range(3):
            data["step"] = step
            await request.commitSession()
            seen.append(next(iter(it.memory._records.values())).attributes["data:step"])
            request.write(b"step%d" % step)
        request.finish()

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    for step in range(3):
        assert (b"step%d" % step) not in connection.received
        it.store.open()
    assert resultOf(response).body == b"step0step1step2"
    assert seen == [b"0", b"1", b"2"]
    assert it.store.gates == []


def test_commitSessionFails(scene):
    """
    commitSession() fails as commit() does, and a handler that does not care answers
    with 503.
    """

    async def answer(request: Any) -> bytes:
        count(request)
        await request.commitSession()
        return b"never seen"

    it = scene(wrap=FailingStore)
    it.store.fail("createSession")
    response = it.get(it.browser(), answer)
    assert (response.code, setCookies(response)) == (503, [])
    it.errors.flush("the test broke the store")


def test_commitSessionOfNone(scene):
    """
    commitSession() of a request without a session has nothing to do.
    """

    async def answer(request: Any) -> bytes:
        await request.commitSession()
        return b"fine"

    it = scene()
    assert it.get(it.browser(), answer).body == b"fine"


def test_commitSessionOfBadData(scene):
    """
    commitSession() fails with what a save of it would raise; it raises nothing.
    """

    async def answer(request: Any) -> bytes:
        data = request.getSession().data
        data["list"] = []
        data["list"].append(object())
        waiting = request.commitSession()
        with pytest.raises(Exception, match="cannot keep this list"):
            await waiting
        del data["list"]
        return b"fine"

    it = scene()
    assert it.get(it.browser(), answer).body == b"fine"


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
