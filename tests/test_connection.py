"""
A connection of the in-memory browser behaves as one over a network, up to its end.
"""

from __future__ import annotations

import pytest
from pages import Later, browsing
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from txsessions.testing import Browser, MalformedResponse, resultOf
from txsessions.testing.wire import Wire


@pytest.fixture
def browse():
    """
    Makes browsers.
    """
    yield from browsing()


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
