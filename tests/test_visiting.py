"""
Requests that never went through process(), or are done, or are not ours.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    COOKIE,
    SharedStore,
    count,
)
from twisted.web.server import NOT_DONE_YET, Request

from txsessions import SessionRequestMixin
from txsessions.errors import SessionNotLoaded
from txsessions.testing import GatedStore, resultOf


class AbruptRequest(SessionRequestMixin, Request):
    """
    Calls nobody's C{__init__} but stock Twisted's, and takes the cookies away.
    """

    def __init__(self, *args, **kwargs):
        Request.__init__(self, *args, **kwargs)

    def process(self):
        """
        See L{Request.process}.
        """
        if self.requestHeaders.hasHeader(b"x-bare"):
            self.requestHeaders.setRawHeaders(b"cookie", [])
        super().process()


def test_abrupt(scene):
    """
    A class of requests need not know what the mixin has to remember, and a header without
    values is none.
    """
    it = scene()
    it.site.requestFactory = AbruptRequest
    browser, bare = it.browser(), {"X-Bare": "yes"}
    bodies = [it.get(browser, count, headers=each).body for each in ({}, {}, bare)]
    assert bodies == [b"1", b"2", b"1"]


class TestUnprocessed:
    """
    Requests that never went through process().
    """

    def test_stockFlow(self, scene):
        """
        getSession() works on a request that a test has made by hand, as in stock
        Twisted.
        """
        from twisted.web.test.test_web import DummyChannel

        it = scene()
        it.browser()
        request = it.site.requestFactory(DummyChannel())
        request.site, request.sitepath = it.site, []
        session = request.getSession()
        assert request.getSession() is session
        assert request.session is session
        again = it.site.requestFactory(DummyChannel())
        again.site, again.sitepath = it.site, []
        again.received_cookies[COOKIE] = session.uid
        assert again.getSession() is session
        assert again.peekSession() is session

    def test_headers(self, scene):
        """
        Where there are headers they are read as strictly as ever.
        """
        from twisted.web.test.test_web import DummyChannel

        it = scene()
        it.browser()
        session = it.site.makeSession()
        for header, isFound in ((b"", True), (b"\x0b", False)):
            request = it.site.requestFactory(DummyChannel())
            request.site, request.sitepath = it.site, []
            request.requestHeaders.addRawHeader(b"Cookie", header + COOKIE + b"=" + session.uid)
            request.parseCookies()
            assert (request.peekSession() is session) is isFound

    def test_asynchronousStore(self, scene):
        """
        A session that only a store can load which answers later is an error that
        says so, and not a new session.
        """
        from twisted.web.test.test_web import DummyChannel

        it = scene(SharedStore(), wrap=lambda store: GatedStore(store, "loadSession"))
        browser = it.browser()
        it.get(browser, count)
        site = it.makeSite()
        it.browser(site)
        request = site.requestFactory(DummyChannel())
        request.site, request.sitepath = site, []
        request.received_cookies[COOKIE] = browser.cookies.get(COOKIE)
        for _ in range(2):
            with pytest.raises(SessionNotLoaded, match="process"):
                request.getSession()
        assert len(it.memory._records) == 1
        it.store.openAll()

    def test_afterFinish(self, scene):
        """
        getSession() after the response has left gives the same session; a new one
        comes too late.
        """
        it, seen = scene(), []

        def answer(request: Any) -> Any:
            session = request.getSession()
            request.finish()
            seen.append(request.getSession() is session)
            seen.append(request.peekSession() is session)
            return NOT_DONE_YET

        it.get(it.browser(), answer)
        assert seen == [True, True]

    def test_stockSite(self):
        """
        Our request on a stock Site is a stock request.
        """
        from pages import Page
        from twisted.internet.task import Clock
        from twisted.web import server

        from txsessions.testing import Browser

        class Mixed(SessionRequestMixin, Request):
            pass

        clock = Clock()

        def answer(request: Any) -> bytes:
            assert request.session is None
            session = request.getSession()
            assert request.session is session
            assert request.peekSession() is None
            session.visits = getattr(session, "visits", 0) + 1
            return b"%d" % session.visits

        site = server.Site(Page(answer), requestFactory=Mixed, reactor=clock)
        browser = Browser(site)
        assert [resultOf(browser.get("/")).body for _ in range(2)] == [b"1", b"2"]
        for session in list(site.sessions.values()):
            session.expire()
        browser.close()
