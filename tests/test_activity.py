"""
What counts as using a session, and what a browser does by itself.
"""

from __future__ import annotations

from typing import Any

import pytest
from pages import Page
from scenes import SharedStore, count, look
from twisted.web.http_headers import Headers

from txsessions import Request, Site
from txsessions.testing import RecordingStore, resultOf
from txsessions.web.activity import isNavigation, isPrefetch, isUnder


def polled(request: Any) -> bytes:
    """
    A handler that says of itself that nobody has done anything.
    """
    request.isActivity = False
    return look(request)


def touchedBy(it: Any, ask: Any) -> bool:
    """
    Whether a request keeps the session of a browser alive beyond the time-out of its last visit.
    """
    browser = it.browser()
    it.get(browser, count)
    for _ in range(3):
        it.clock.advance(400)
        ask(browser)
    return it.get(browser, look).body != b"none"


class TestActivity:
    """
    Requests that use their session, and others.
    """

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_usual(self, scene, kind):
        """
        A request uses its session.
        """
        it = scene(None if kind is None else kind())
        assert touchedBy(it, lambda browser: it.get(browser, look))

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_handler(self, scene, kind):
        """
        A handler may say that it does not count: it reads, and the session ends at its time.
        """
        it = scene(None if kind is None else kind())
        assert not touchedBy(it, lambda browser: it.get(browser, polled))

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_prefetch(self, scene, kind):
        """
        What a browser fetches before anybody wants to see it does not count.
        """
        it = scene(None if kind is None else kind())
        for purpose in (b"prefetch", b"prefetch;prerender"):
            headers = {"Sec-Purpose": purpose}
            assert not touchedBy(
                it, lambda browser, headers=headers: it.get(browser, look, headers=headers)
            )

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_path(self, scene, kind):
        """
        Paths of the site, and what is under them, do not count.
        """
        it = scene(None if kind is None else kind())
        path = it.page(look)
        it.site.passivePaths = (path.encode(),)
        assert not touchedBy(it, lambda browser: resultOf(browser.get(path)))

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_resource(self, scene, kind):
        """
        A resource may say it of all requests for it, also when the deadline is close.
        """
        it = scene(None if kind is None else kind())

        class Passive(Page):
            isActivity = False

        quiet = Site(Passive(look), sessionStore=it.store, reactor=it.clock)
        browser = it.browser()
        it.get(browser, count)
        other = it.browser(quiet, cookies=browser.cookies)
        for _ in range(449):
            it.clock.advance(2)
            assert it.get(other, look).body == b"1"
        it.clock.advance(2)
        assert it.get(other, look).body == b"none"

    def test_class(self, scene):
        """
        So may a class of requests.
        """

        class Quiet(Request):
            isActivity = False

        it = scene(SharedStore())
        quiet = it.makeSite(requestFactory=Quiet)
        browser = it.browser()
        it.get(browser, count)
        other = it.browser(quiet, cookies=browser.cookies)
        assert it.get(other, count).body == b"2"
        it.clock.advance(899)
        assert it.get(other, look).body == b"2"
        it.clock.advance(1)
        assert it.get(browser, look).body == b"none"

    def test_writesNothing(self, scene):
        """
        A request that does not count writes nothing into the store, however old the last touch.
        """
        it = scene(wrap=RecordingStore)
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(800)
        it.store.calls.clear()
        it.get(browser, polled)
        assert it.store.count() == 0
        it.get(browser, look)
        assert it.store.count("saveSession") == 1

    def test_lastModified(self, scene):
        """
        lastModified never goes back, and stays where it is for what does not count.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        before = session.lastModified
        it.clock.advance(100)
        it.get(browser, polled)
        assert session.lastModified == before
        it.get(browser, look)
        assert session.lastModified == before + 100


class TestHeaders:
    """
    What headers say.
    """

    def test_prefetch(self):
        """
        Sec-Purpose says prefetch, alone or with more.
        """
        assert not isPrefetch(Headers({}))
        assert not isPrefetch(Headers({"sec-purpose": ["other"]}))
        assert isPrefetch(Headers({"sec-purpose": ["prefetch;anonymous-client-ip"]}))

    def test_navigation(self):
        """
        Sec-Fetch-Mode says what a browser loads; who does not say may be a person.
        """
        assert isNavigation(Headers({}))
        assert isNavigation(Headers({"sec-fetch-mode": ["navigate"]}))
        assert not isNavigation(Headers({"sec-fetch-mode": ["cors"]}))

    def test_under(self):
        """
        A path is under another one by whole segments.
        """
        assert isUnder(b"/poll", [b"/poll"]) and isUnder(b"/poll/5", [b"/poll"])
        assert isUnder(b"/poll/5", [b"/poll/"]) and not isUnder(b"/polly", [b"/poll"])
        assert not isUnder(b"/", [b"/poll"])
