"""
The site: what is put in its place in stock Twisted goes on to work.
"""

from __future__ import annotations

from typing import Any

import pytest
from pages import Page
from scenes import (
    COOKIE,
    Scene,
    SharedStore,
    answering,
    count,
    setCookies,
)
from twisted.internet.task import Clock
from twisted.web import server
from twisted.web.resource import Resource

from txsessions import Request, Session, SessionSiteMixin, Site
from txsessions.interfaces import ISessionStore
from txsessions.stores.memory import MemoryStore
from txsessions.testing import Browser, resultOf


class TestDropIn:
    """
    Site(root) alone.
    """

    def test_alone(self):
        """
        Without a store it behaves like stock Twisted: a session per browser, in the
        memory of the process.
        """
        clock = Clock()
        site = Site(Page(answering(count)), reactor=clock)
        browsers = [Browser(site), Browser(site)]
        for number in (b"1", b"2", b"3"):
            for browser in browsers:
                assert resultOf(browser.get("/")).body == number
        assert len(site.sessions) == 2
        assert isinstance(site.sessionStore, MemoryStore)
        clock.advance(900)
        assert len(site.sessions) == 0
        for browser in browsers:
            browser.close()
        assert clock.getDelayedCalls() == []

    def test_arguments(self, tmp_path):
        """
        The arguments of stock Twisted's Site are passed through.
        """

        class OwnRequest(Request):
            pass

        clock = Clock()
        resource = Resource()
        site = Site(
            resource,
            OwnRequest,
            logPath=str(tmp_path / "log"),
            timeout=7,
            reactor=clock,
            parsePOSTFormSubmission=False,
        )
        assert (site.resource, site.requestFactory) == (resource, OwnRequest)
        assert (site.timeOut, site.reactor) == (7, clock)
        assert site.logPath == str(tmp_path / "log")
        assert site._parsePOSTFormSubmission is False

    def test_makeSession(self, scene):
        """
        makeSession() begins a session that getSession(uid) finds until it expires.
        """
        it = scene()
        it.browser()
        session = it.site.makeSession()
        assert isinstance(session, Session)
        assert it.site.getSession(session.uid) is session
        assert it.site.sessions[session.uid] is session
        assert it.site.counter == 1
        with pytest.raises(KeyError):
            it.site.getSession(b"no-such-uid")
        it.clock.advance(899)
        assert session.uid in it.site.sessions
        it.clock.advance(1)
        assert session.uid not in it.site.sessions

    def test_handMade(self, scene):
        """
        A session that somebody has put into site.sessions, with an id of any form,
        is found by its cookie, and lives on.
        """
        it = scene()
        browser = it.browser()
        session = Session(it.site, b"unique")
        it.site.sessions[b"unique"] = session
        session.startCheckingExpiration()
        seen = []

        def answer(request: Any) -> bytes:
            seen.append(request.getSession())
            return count(request)

        header = {"Cookie": COOKIE + b"=unique"}
        assert it.get(browser, answer, headers=header).body == b"1"
        assert it.get(browser, answer, headers=header).body == b"2"
        assert seen == [session, session]
        assert len(it.memory._records) == 1

    def test_sessionsAssigned(self, scene):
        """
        site.sessions may be assigned: what is in the mapping is found.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        (uid, session), *_ = it.site.sessions.items()
        it.site.sessions = {}
        assert len(it.site.sessions) == 0
        it.site.sessions = {uid: session}
        assert it.site.getSession(uid) is session
        assert it.get(browser, count).body == b"2"

    def test_reactorIsReadLate(self):
        """
        site.reactor may be set until the site is used.
        """
        site = Site(Page(answering(count)))
        clock = site.reactor = Clock()
        browser = Browser(site)
        assert resultOf(browser.get("/")).body == b"1"
        clock.advance(900)
        assert len(site.sessions) == 0
        browser.close()
        assert clock.getDelayedCalls() == []

    def test_noTimerBeforeStart(self):
        """
        A Site that was only made has no timer.
        """
        clock = Clock()
        Site(Resource(), reactor=clock, sessionStore=MemoryStore())
        assert clock.getDelayedCalls() == []

    def test_mixin(self, scene):
        """
        The mixin gives persistent sessions to any other Site class.
        """

        class Other(server.Site):
            def __init__(self, resource: Any, flavour: str, **options: Any) -> None:
                super().__init__(resource, **options)
                self.flavour = flavour

        class OtherSite(SessionSiteMixin, Other):
            pass

        it = scene()
        site = it.makeSite(OtherSite, flavour="own")
        browser = it.browser(site)
        assert it.get(browser, count).body == b"1"
        assert it.get(browser, count).body == b"2"
        assert site.flavour == "own"
        assert len(it.memory._records) == 1

    def test_adaptedStore(self):
        """
        sessionStore is anything that adapts to ISessionStore; what does not is
        refused at once.
        """
        store = MemoryStore()

        class Adaptable:
            def __conform__(self, interface: Any) -> Any:
                return store if interface is ISessionStore else None

        assert Site(Resource(), sessionStore=Adaptable()).sessionStore is store
        with pytest.raises(TypeError):
            Site(Resource(), sessionStore=object())

    def test_requestFactory(self):
        """
        A request class that would never save its sessions is refused when the site
        is made, or when it starts.
        """

        class Unsaving(server.Request):
            pass

        with pytest.raises(TypeError, match="SessionRequestMixin"):
            Site(Resource(), Unsaving, sessionStore=MemoryStore())
        site = Site(Resource(), sessionStore=MemoryStore(), reactor=Clock())
        site.requestFactory = Unsaving
        with pytest.raises(TypeError, match="SessionRequestMixin"):
            site.doStart()

    def test_stockRequest(self):
        """
        Without a store of its own a site takes stock requests too; their sessions
        slide as well.
        """
        clock = Clock()
        site = Site(Page(answering(count)), server.Request, reactor=clock)
        browser = Browser(site)
        for number in (b"1", b"2", b"3"):
            assert resultOf(browser.get("/")).body == number
            clock.advance(800)
        clock.advance(100)
        assert resultOf(browser.get("/")).body == b"1"
        browser.close()
        assert clock.getDelayedCalls() == []


class TestOwnIDs:
    """
    Ids that the application makes.
    """

    def ownSite(self, uid: bytes) -> Any:
        """
        A class of sites that gives out one id.
        """

        class OwnSite(Site):
            def _mkuid(self) -> bytes:
                return uid

        return OwnSite

    def test_anyForm(self, scene):
        """
        They may have any form that a cookie can have; a rework makes the usual one.
        """

        async def rework(request: Any) -> bytes:
            return await request.getSession().rework()

        it = scene(SharedStore())
        kind = self.ownSite(b"anna's-first")
        browser = it.browser(it.makeSite(kind))
        assert it.get(browser, count).body == b"1"
        assert browser.cookies.get(COOKIE) == b"anna's-first"
        other = it.browser(it.makeSite(kind), cookies=browser.cookies)
        assert it.get(other, count).body == b"2"
        assert len(it.get(other, rework).body) == 64
        assert it.get(browser, count).body == b"3"

    def test_noCookie(self, scene):
        """
        One that no cookie can have fails the request, and leaves nothing.
        """
        for uid in (b"with space", b"semi;colon", b"", b"x" * 5000):
            it = scene()
            site = it.makeSite(self.ownSite(uid))
            response = it.get(it.browser(site), count)
            assert (response.code, setCookies(response)) == (500, [])
            assert (it.memory._records, len(site.sessions)) == ({}, 0)
            it.errors.flush("sent as a cookie")


class TestNested:
    """
    A Site as a child resource of another.
    """

    def serve(self, it: Scene, outer: Any, inner: Any) -> Browser:
        """
        A browser of the outer site, whose child C{in} is the inner one.
        """
        inner.resource = Resource()
        inner.resource.putChild(b"page", Page(answering(count)))
        outer.resource = Resource()
        outer.resource.putChild(b"in", inner)
        outer.resource.putChild(b"page", Page(answering(count)))
        return it.browser(outer)

    @pytest.mark.parametrize("innerClass", [Site, server.Site])
    def test_oneSession(self, scene, innerClass):
        """
        Both see one session, that of the outer site, under one cookie.
        """
        it = scene()
        own = {"sessionStore": MemoryStore()} if innerClass is Site else {}
        inner = innerClass(Resource(), reactor=it.clock, **own)
        browser = self.serve(it, it.site, inner)
        responses = [resultOf(browser.get(path)) for path in ("/page", "/in/page", "/page")]
        assert [response.body for response in responses] == [b"1", b"2", b"3"]
        assert [len(response.cookies) for response in responses] == [1, 0, 0]
        assert len(inner.sessions) == 0

    def test_stockOutside(self, scene):
        """
        In a stock Site ours keeps its sessions as stock Twisted does.
        """
        it = scene()
        outer = server.Site(Resource(), reactor=it.clock)
        browser = self.serve(it, outer, it.makeSite())
        assert [resultOf(browser.get("/in/page")).body for _ in range(2)] == [b"1", b"2"]
        it.clock.advance(900)
