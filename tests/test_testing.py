"""
The tools for tests work together: our Site, a browser, and stores that misbehave.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from txsessions import Site
from txsessions.stores.memory import MemoryStore
from txsessions.testing import (
    Browser,
    DelayingStore,
    FailingStore,
    GatedStore,
    HangingStore,
    RecordingStore,
    resultOf,
)


class Counter(Resource):
    """
    Counts the visits of a session, until its owner leaves by C{/out}.
    """

    isLeaf = True

    def render_GET(self, request):
        session = request.getSession()
        session.data["visits"] = session.data.get("visits", 0) + 1
        if request.path == b"/out":
            session.expire()
        return b"%d" % session.data["visits"]


@pytest.fixture
def clock():
    """
    The clock of everything.
    """
    clock = Clock()
    clock.advance(1_000_000_000)
    return clock


@pytest.fixture
def browse(clock):
    """
    Makes browsers, each of a site of its own over the given store.
    """
    browsers = []

    def make(store, **options):
        site = Site(Counter(), reactor=clock, sessionStore=store)
        browsers.append(Browser(site, **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.close()


@pytest.mark.parametrize("secure", [False, True])
def test_session(browse, clock, secure):
    """
    A session lives from request to request, until it is ended.
    """
    browser = browse(MemoryStore(clock), secure=secure)
    assert [resultOf(browser.get("/")).body for _ in range(3)] == [b"1", b"2", b"3"]
    (cookie,) = browser.cookies
    assert (cookie.isSecure, cookie.isHTTPOnly, cookie.sameSite) == (secure, True, "Lax")
    connection = browser.connect()
    assert resultOf(connection.get("/")).body == b"4"
    resultOf(browser.get("/out"))
    assert resultOf(connection.get("/")).body == b"1"


def test_gated(browse, clock):
    """
    A response waits for the gate of the commit, and two sites take their turns.
    """
    store = MemoryStore(clock)
    browser = browse(store)
    resultOf(browser.get("/"))
    gated = GatedStore(store, "loadSession", "saveSession")
    other = browse(gated, cookies=browser.cookies)
    answer = other.get("/")
    assert gated.names == ["loadSession"]
    gated.open()
    assert gated.names == ["saveSession"]
    assert not answer.called
    gated.open()
    assert resultOf(answer).body == b"2"


@pytest.mark.parametrize("operation", ["loadSession", "saveSession"])
def test_failing(browse, clock, operation):
    """
    A store that is down makes a 503 without a cookie, and the session is intact after.
    """
    store = MemoryStore(clock)
    browser = browse(store)
    resultOf(browser.get("/"))
    failing = FailingStore(store)
    other = browse(failing, cookies=browser.cookies)
    failing.fail(operation)
    response = resultOf(other.get("/"))
    assert (response.code, response.cookies) == (503, ())
    failing.mend()
    assert resultOf(other.get("/")).body == b"2"


def test_slow(browse, clock):
    """
    On the clock of the test a slow store takes its time.
    """
    store = DelayingStore(MemoryStore(clock), clock, 0.25)
    answer = browse(store).get("/")
    clock.advance(0.2)
    assert not answer.called
    for _ in range(4):
        clock.advance(0.25)
    assert resultOf(answer).body == b"1"


def test_hanging(browse, clock):
    """
    While the store hangs nothing leaves, and afterwards everything does.
    """
    store = HangingStore(MemoryStore(clock))
    browser = browse(store)
    store.hang("createSession")
    answer = browser.get("/")
    assert not answer.called
    store.release()
    assert resultOf(answer).body == b"1"


def test_recording(browse, clock):
    """
    What a request costs the store can be counted.
    """
    store = RecordingStore(MemoryStore(clock))
    browser = browse(store)
    resultOf(browser.get("/"))
    assert (store.count("createSession"), store.count("loadSession")) == (1, 0)
    resultOf(browse(store).get("/"))
    assert (store.count("createSession"), store.count("loadSession")) == (2, 0)
