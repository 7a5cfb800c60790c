"""
The in-memory browser drives a stock Site as a browser over a network would.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from txsessions.testing import Browser, CookieJar, MalformedResponse, TooManyRedirects, resultOf
from txsessions.testing.wire import Wire


class Page(Resource):
    """
    Answers every path and method with C{answer(request)}.
    """

    isLeaf = True

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def render(self, request):
        return self.answer(request)


@pytest.fixture
def browse():
    """
    Makes browsers of a site whose pages are answered by a function, and sees to it
    that they leave nothing behind.
    """
    clock = Clock()
    browsers = []

    def make(answer, **options):
        site = Site(Page(answer), reactor=clock)
        browsers.append(Browser(site, **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.close()
    assert clock.getDelayedCalls() == []


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


class TestRedirects:
    """
    Redirects are followed when that is asked for.
    """

    @pytest.fixture
    def browser(self, browse):
        """
        Of a site that redirects C{/303/x} to C{/x} with that status.
        """

        def answer(request):
            request.addCookie(b"seen", request.path.strip(b"/").replace(b"/", b"-"), path=b"/")
            if request.path == b"/circle":
                request.redirect(b"circle")
                return b""
            if request.path == b"/secure":
                request.redirect(b"https://example.org/end")
                return b""
            _, code, *rest = request.path.split(b"/")
            if code.isdigit():
                request.setResponseCode(int(code))
                request.setHeader(b"Location", b"/" + b"/".join(rest))
                return b"moved"
            cookie = request.getHeader(b"cookie") or b""
            return b" ".join([request.method, request.uri, request.content.read(), cookie])

        return browse(answer)

    def test_notFollowed(self, browser):
        """
        Without being asked for a redirect is a response like any other.
        """
        response = resultOf(browser.get("/302/end"))
        assert (response.code, response.body) == (302, b"moved")

    def test_followed(self, browser):
        """
        A redirect is followed, with the cookies that were set on the way.
        """
        response = resultOf(browser.get("/302/301/end?x=y", follow=True))
        assert response.code == 200
        assert response.body.startswith(b"GET /end")
        assert response.body.endswith(b"seen=301-end")

    @pytest.mark.parametrize(
        ("code", "body"),
        [
            (301, b"GET /end "),
            (302, b"GET /end "),
            (303, b"GET /end "),
            (307, b"POST /end a=b"),
            (308, b"POST /end a=b"),
        ],
    )
    def test_post(self, browser, code, body):
        """
        A POST becomes a GET, unless the status says that it must not.
        """
        response = resultOf(browser.post(f"/{code}/end", {"a": "b"}, follow=True))
        assert response.body.startswith(body)

    def test_head(self, browser):
        """
        A HEAD stays one.
        """
        response = resultOf(browser.request("HEAD", "/303/end", follow=True))
        assert (response.code, response.body) == (200, b"")

    def test_toHTTPS(self, browser):
        """
        A redirect to HTTPS goes there, without the cookies of the other host.
        """
        assert resultOf(browser.get("/secure", follow=True)).body == b"GET /end  "

    def test_circle(self, browser):
        """
        A browser does not run in circles.
        """
        with pytest.raises(TooManyRedirects):
            resultOf(browser.get("/circle", follow=True))


class Later:
    """
    Answers when the test says so.
    """

    def __init__(self):
        self.requests = []
        self.lost = []

    def __call__(self, request):
        self.requests.append(request)
        request.notifyFinish().addErrback(self.lost.append)
        return NOT_DONE_YET

    def finish(self, number, body=b""):
        request = self.requests[number]
        request.write(body or request.uri)
        request.finish()


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


def test_keepAlive(browse):
    """
    Requests on one connection follow each other on it.
    """
    channels = []

    def answer(request):
        channels.append(request.channel)
        request.addCookie(b"n", b"%d" % len(channels), path=b"/")
        return request.getHeader(b"cookie") or b"none"

    browser = browse(answer)
    connection = browser.connect()
    assert resultOf(connection.get("/")).body == b"none"
    assert resultOf(connection.post("/", {"a": "b"})).body == b"n=1"
    assert resultOf(connection.request("HEAD", "/")).body == b""
    assert resultOf(connection.get("/")).body == b"n=3"
    assert len(set(map(id, channels))) == 1
    assert connection.isOpen
    assert connection.received.count(b"HTTP/1.1 200") == 4
    response = resultOf(connection.get("/", {"Connection": "close"}))
    assert (response.body, connection.isOpen) == (b"n=4", False)
    with pytest.raises(ConnectionDone):
        resultOf(connection.get("/"))


def test_pipelining(browse):
    """
    Requests on one connection need not wait, and are answered in their order.
    """
    later = Later()
    connection = browse(later).connect()
    answers = [connection.get(f"/{number}") for number in range(3)]
    for number in range(3):
        assert [request.uri for request in later.requests] == [
            b"/%d" % done for done in range(number + 1)
        ]
        assert not answers[number].called
        later.finish(number)
        assert resultOf(answers[number]).body == b"/%d" % number


def test_raw(browse):
    """
    Any bytes can be sent, in pieces too, and what the server writes be seen.
    """
    connection = browse(lambda request: request.uri).connect()
    connection.write(b"GET /slo")
    assert connection.received == b""
    assert resultOf(connection.send(b"w HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"/slow"
    response = resultOf(connection.send(b"nonsense\r\n\r\n"))
    assert (response.code, connection.isOpen) == (400, False)


def test_http10(browse):
    """
    An HTTP/1.0 connection is closed after its response.
    """
    connection = browse(lambda request: b"hello").connect()
    response = resultOf(connection.request("GET", "/", version=b"HTTP/1.0"))
    assert response.body == b"hello"
    assert not connection.isOpen


def test_disconnect(browse):
    """
    A dropped connection is told to the site, and to those who wait for it.
    """
    later = Later()
    connection = browse(later).connect()
    answers = [connection.get("/"), connection.get("/")]
    later.requests[0].write(b"half")
    connection.disconnect()
    assert len(later.lost) == 1
    assert later.lost[0].check(ConnectionLost)
    for answer in answers:
        with pytest.raises(ConnectionLost):
            resultOf(answer)
    assert not connection.isOpen
    with pytest.raises(RuntimeError, match="connection was lost"):
        later.requests[0].finish()
    connection.disconnect()


def test_disconnectMeanwhile(browse):
    """
    A connection that is dropped while the site works is told to it afterwards.
    """
    lost = []

    def answer(request):
        request.notifyFinish().addErrback(lost.append)
        connection.disconnect()
        assert lost == []
        return NOT_DONE_YET

    connection = browse(answer).connect()
    with pytest.raises(ConnectionLost):
        resultOf(connection.get("/"))
    assert len(lost) == 1


def test_serverCloses(browse):
    """
    A connection that the site closes in the middle fails the request.
    """

    def answer(request):
        request.setHeader(b"content-length", b"10")
        request.write(b"half")
        request.channel.loseConnection()
        return NOT_DONE_YET

    with pytest.raises(ConnectionDone):
        resultOf(browse(answer).get("/"))


def test_abort(browse):
    """
    A response without a length is not taken for complete when the site aborts it.
    """

    def answer(request):
        request.write(b"half")
        request.transport.abortConnection()
        return NOT_DONE_YET

    browser = browse(answer)
    with pytest.raises(ConnectionLost):
        resultOf(browser.request("GET", "/", version=b"HTTP/1.0"))


def test_idle(browse):
    """
    The site's idle time-out closes a connection, by the site's clock.
    """
    browser = browse(lambda request: b"")
    connection = browser.connect()
    resultOf(connection.get("/"))
    browser.site.reactor.advance(browser.site.timeOut - 1)
    assert connection.isOpen
    browser.site.reactor.advance(1)
    assert not connection.isOpen


def test_producer(browse):
    """
    A page may register a producer.
    """

    class Producer:
        def resumeProducing(self):
            pass

        pauseProducing = stopProducing = resumeProducing

    def answer(request):
        request.registerProducer(Producer(), True)
        request.write(b"produced")
        request.unregisterProducer()
        request.finish()
        return NOT_DONE_YET

    assert resultOf(browse(answer).get("/")).body == b"produced"


class BrokenSite(Site):
    """
    A site with a protocol of the test.
    """

    def __init__(self, reply):
        super().__init__(Resource(), reactor=Clock())
        self.reply = reply

    def buildProtocol(self, addr):
        protocol = Protocol()
        protocol.dataReceived = lambda data: self.reply(protocol)
        return protocol


def test_malformed():
    """
    A site that does not speak HTTP fails the request, and is hung up on.
    """
    browser = Browser(BrokenSite(lambda protocol: protocol.transport.write(b"220 SMTP\r\n")))
    connection = browser.connect()
    with pytest.raises(MalformedResponse):
        resultOf(connection.get("/"))
    assert not connection.isOpen
    browser.close()


def test_failingProtocol():
    """
    A protocol that raises fails the request with that, and is logged.
    """

    def reply(protocol):
        raise ZeroDivisionError("a mistake")

    events = []
    globalLogPublisher.addObserver(events.append)
    browser = Browser(BrokenSite(reply))
    with pytest.raises(ZeroDivisionError):
        resultOf(browser.get("/"))
    globalLogPublisher.removeObserver(events.append)
    assert [e["log_failure"].type for e in events if "log_failure" in e] == [ZeroDivisionError]
    browser.close()


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


def test_wire():
    """
    The transport provides what it says, plain or secure, and takes bytes only.
    """
    plain = Wire(False, lambda data: None, lambda: None)
    secure = Wire(True, lambda data: None, lambda: None)
    assert verifyObject(ITCPTransport, plain)
    assert verifyObject(ISSLTransport, secure)
    assert not ISSLTransport.providedBy(plain)
    with pytest.raises(TypeError, match="bytes and not str"):
        plain.write("text")


def test_resultOf():
    """
    A result can be looked at more than once; what is not there yet goes on undisturbed.
    """
    deferred: Deferred = Deferred()
    with pytest.raises(AssertionError, match="not fired"):
        resultOf(deferred)
    deferred.callback(1)
    assert (resultOf(deferred), resultOf(deferred)) == (1, 1)
