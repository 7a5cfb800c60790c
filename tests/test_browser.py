"""
The in-memory browser drives a stock Site as a browser over a network would.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from pages import Later, Page, browsing
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txsessions.testing import Browser, CookieJar, resultOf


@pytest.fixture
def browse():
    """
    Makes browsers.
    """
    yield from browsing()


def test_get(browse):
    """
    A GET has its response when it returns, if nothing had to wait.
    """

    def answer(request):
        request.setResponseCode(201, b"Made")
        request.setHeader(b"X-One", b"1")
        return b" ".join(
            [request.method, request.uri, request.getHeader(b"host"), request.content.read()]
        )

    response = resultOf(browse(answer).get("/a/b?c=d"))
    assert (response.code, response.phrase) == (201, b"Made")
    assert response.body == b"GET /a/b?c=d localhost "
    assert isinstance(response.headers, Headers)
    assert response.headers.getRawHeaders("x-one") == ["1"]
    assert response.cookies == ()


@pytest_twisted.ensureDeferred
async def test_await(browse):
    """
    A response can be awaited.
    """
    response = await browse(lambda request: b"hello").get(b"/")
    assert response.body == b"hello"


def test_headers(browse):
    """
    Headers of the test are sent, as mapping or Headers, and replace the browser's.
    """

    def answer(request):
        values = request.requestHeaders.getRawHeaders(b"x-two", [])
        return b"|".join([request.getHeader(b"host"), *values])

    browser = browse(answer)
    given = {"Host": "example.com", b"X-Two": [b"1", "2"]}
    assert resultOf(browser.get("/", given)).body == b"example.com|1|2"
    given = Headers({b"X-Two": [b"3"]})
    assert resultOf(browser.get("/", headers=given)).body == b"localhost|3"
    assert list(given.getAllRawHeaders()) == [(b"X-Two", [b"3"])]


def test_post(browse):
    """
    A POST sends the fields of a form, or bytes as they are.
    """

    def answer(request):
        body = request.content.read()
        return repr((request.getHeader("content-type"), body, request.args)).encode()

    browser = browse(answer)
    form = "application/x-www-form-urlencoded"
    assert (
        resultOf(browser.post("/", {"a": "ä&"})).body
        == repr((form, b"a=%C3%A4%26", {b"a": ["ä&".encode()]})).encode()
    )
    assert (
        resultOf(browser.post("/", [("a", "1"), ("a", "2")])).body
        == repr((form, b"a=1&a=2", {b"a": [b"1", b"2"]})).encode()
    )
    given = {"Content-Type": "text/plain"}
    assert (
        resultOf(browser.post("/", b"a=1", given)).body == repr(("text/plain", b"a=1", {})).encode()
    )
    assert resultOf(browser.post("/")).body == repr((None, b"", {})).encode()


def test_bodies(browse):
    """
    A body may come with its length, in chunks, until the end, or not at all.
    """

    def answer(request):
        if request.path == b"/length":
            return b"x" * 100_000
        for _ in range(3):
            request.write(b"chunk ")
        request.finish()
        return NOT_DONE_YET

    browser = browse(answer)
    response = resultOf(browser.get("/length"))
    assert (response.headers.getRawHeaders("content-length"), len(response.body)) == (
        ["100000"],
        100_000,
    )
    response = resultOf(browser.get("/chunks"))
    assert response.headers.getRawHeaders("transfer-encoding") == ["chunked"]
    assert response.body == b"chunk chunk chunk "
    response = resultOf(browser.request("GET", "/chunks", version=b"HTTP/1.0"))
    assert not response.headers.hasHeader("transfer-encoding")
    assert response.body == b"chunk chunk chunk "
    response = resultOf(browser.request("HEAD", "/length"))
    assert response.headers.getRawHeaders("content-length") == ["100000"]
    assert response.body == b""


@pytest.mark.parametrize("code", [204, 304])
def test_noBody(browse, code):
    """
    A response whose status says so has no body.
    """

    def answer(request):
        request.setResponseCode(code)
        return b""

    response = resultOf(browse(answer).get("/"))
    assert (response.code, response.body) == (code, b"")


def test_continue(browse):
    """
    Interim responses are passed over.
    """
    browser = browse(lambda request: request.content.read())
    response = resultOf(browser.request("POST", "/", b"hello", {"Expect": "100-continue"}))
    assert (response.code, response.body) == (200, b"hello")


def test_cookies(browse):
    """
    The cookies of a response go back with the next request, and a deleted one does not.
    """

    def answer(request):
        if request.path == b"/in":
            request.addCookie(b"session", b"secret", path=b"/", httpOnly=True, sameSite=b"lax")
            request.addCookie(b"other", b"1", path=b"/other")
        if request.path == b"/out":
            request.addCookie(b"session", b"", path=b"/", max_age=b"0")
        return request.getHeader(b"cookie") or b"none"

    browser = browse(answer)
    response = resultOf(browser.get("/in"))
    assert response.body == b"none"
    assert [cookie.name for cookie in response.cookies] == [b"session", b"other"]
    assert response.cookies[0].isHTTPOnly
    assert browser.cookies.get(b"session") == b"secret"
    assert resultOf(browser.get("/")).body == b"session=secret"
    assert resultOf(browser.get("/other/x")).body == b"other=1; session=secret"
    assert resultOf(browser.get("/", {"Cookie": "session=forged"})).body == b"session=forged"
    resultOf(browser.get("/out"))
    assert resultOf(browser.get("/")).body == b"none"


def test_cookieClock(browse):
    """
    Cookies expire by the clock that the browser was given, or else by the site's.
    """

    def answer(request):
        request.addCookie(b"a", b"b", max_age=b"10")
        return request.getHeader(b"cookie") or b"none"

    clock = Clock()
    browser = browse(answer, clock=clock)
    resultOf(browser.get("/"))
    clock.advance(10)
    assert resultOf(browser.get("/")).body == b"none"
    browser = browse(answer)
    resultOf(browser.get("/"))
    assert resultOf(browser.get("/")).body == b"a=b"
    browser.site.reactor.advance(10)
    assert resultOf(browser.get("/")).body == b"none"


def test_secure(browse):
    """
    A secure browser makes secure requests, and its secure cookies stay off plain HTTP.
    """

    def answer(request):
        if request.isSecure():
            request.addCookie(b"a", b"b", secure=True, path=b"/")
        port = request.getHost().port
        return b"%d %d %s" % (request.isSecure(), port, request.getHeader(b"cookie") or b"-")

    browser = browse(answer, secure=True)
    assert resultOf(browser.get("/")).body == b"1 443 -"
    assert resultOf(browser.get("/")).body == b"1 443 a=b"
    assert resultOf(browser.get("http://localhost/")).body == b"0 80 -"
    browser.isSecure = False
    assert resultOf(browser.get("/")).body == b"0 80 -"
    assert resultOf(browser.get("https://localhost")).body == b"1 443 a=b"


def test_hosts(browse):
    """
    A URL may name another host, whose cookies are its own; browsers may share a jar.
    """

    def answer(request):
        request.addCookie(b"a", request.getHeader(b"host"))
        return request.getHeader(b"cookie") or b"none"

    jar = CookieJar(Clock())
    one, two = browse(answer, cookies=jar), browse(answer, host="example.org:8080", cookies=jar)
    assert resultOf(one.get("/")).body == b"none"
    assert resultOf(one.get("http://example.org/?x#fragment")).body == b"none"
    assert resultOf(two.get("/")).body == b"a=example.org"
    assert resultOf(one.get("/")).body == b"a=localhost"


def test_parallel(browse):
    """
    Any number of requests run at the same time, each with its own response.
    """
    later = Later()
    browser = browse(later)
    answers = [browser.get(f"/{number}") for number in range(3)]
    assert len(later.requests) == 3
    assert not any(answer.called for answer in answers)
    for number in (2, 0, 1):
        later.finish(number)
    assert [resultOf(answer).body for answer in answers] == [b"/0", b"/1", b"/2"]
    assert later.lost == []


def test_finished(browse):
    """
    A response that came later is there when the site has finished the request.
    """
    later = Later()
    browser = browse(later)
    answer = browser.get("/")
    request = later.requests[0]
    request.setHeader(b"content-length", b"2")
    finished = []
    answer.addCallback(lambda _: finished.append(request.finished))
    request.write(b"ok")
    assert finished == []
    request.finish()
    assert finished == [1]


def test_startsAndStops():
    """
    The first browser starts its site and the last one stops it, once each.
    """
    calls = []

    class Noted(Site):
        noisy = False

        def startFactory(self):
            calls.append("start")
            super().startFactory()

        def stopFactory(self):
            calls.append("stop")
            super().stopFactory()

    clock = Clock()
    site = Noted(Resource(), reactor=clock)
    one, two = Browser(site), Browser(site)
    connection = one.connect()
    one.close()
    one.close()
    assert calls == ["start"]
    assert not connection.isOpen
    assert resultOf(two.get("/")).code == 404
    two.close()
    assert calls == ["start", "stop"]
    assert clock.getDelayedCalls() == []


def test_closeDrops(browse):
    """
    Closing a browser fails what still waits.
    """
    later = Later()
    browser = browse(later)
    answer = browser.get("/")
    browser.close()
    with pytest.raises(ConnectionLost):
        resultOf(answer)
    assert len(later.lost) == 1


def test_reentrant(browse):
    """
    A request may be made from the callback of another one.
    """
    browser = browse(lambda request: request.uri)
    answers = []

    async def ask():
        for number in range(500):
            answers.append((await browser.get(f"/{number}")).body)

    resultOf(Deferred.fromCoroutine(ask()))
    assert answers == [b"/%d" % number for number in range(500)]


@pytest_twisted.ensureDeferred
async def test_realReactor():
    """
    Pages that answer by and by are waited for, on the reactor that runs.
    """
    from twisted.internet import reactor

    def answer(request):
        reactor.callLater(0, request.finish)
        return NOT_DONE_YET

    browser = Browser(Site(Page(answer)))
    assert (await browser.get("/")).code == 200
    connection = browser.connect()
    assert [(await connection.get("/")).code for _ in range(3)] == [200] * 3
    browser.close()
