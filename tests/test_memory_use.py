"""
What stays in memory of requests and sessions.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from interpreter import needsNoDict
from scenes import (
    COOKIE,
    SharedStore,
    count,
)
from twisted.web import server
from twisted.web.server import NOT_DONE_YET

from txsessions.data import SessionData
from txsessions.manager import SessionManager
from txsessions.session import Session
from txsessions.stores.memory import MemoryStore
from txsessions.tracker import Tracker
from txsessions.web import live


class TestMemory:
    """
    What stays in memory.
    """

    def test_requests(self, scene):
        """
        Nothing holds a request whose response has left.
        """
        it, requests = scene(), []

        async def answer(request: Any) -> bytes:
            requests.append(weakref.ref(request))
            session = request.getSession()
            if len(requests) % 5 == 0:
                await session.logOut()
            elif len(requests) % 5 == 3:
                await session.rework()
            return count(request)

        browsers = [it.browser(), it.browser()]
        kept = []
        for _ in range(24):
            it.get(browsers[0], answer)
            kept.extend(it.site.sessions.values())
        gc.collect()
        assert [request() for request in requests] == [None] * 24
        assert all(session.holders == {} for session in kept)

    def test_takenOver(self, scene):
        """
        So it is when the connection was taken over, as by a WebSocket, and its
        request is never done; as long as it is there the session is in use.
        """
        it, requests = scene(), []

        def answer(request: Any) -> Any:
            requests.append(weakref.ref(request))
            request.getSession()
            taken = request.channel
            taken.dataReceived = lambda data: None
            taken.connectionLost = lambda reason: None
            return NOT_DONE_YET

        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        connection = browser.connect()
        response = it.ask(connection, answer)
        gc.collect()
        assert len(session.holders) == 1
        connection.disconnect()
        response.addErrback(lambda failure: None)
        it._browsers.clear()
        browser.close()
        del connection, response, browser
        gc.collect()
        assert requests[0]() is None
        assert session.holders == {}

    @pytest.mark.parametrize("isShared", [True, False])
    def test_sessions(self, scene, monkeypatch, isShared):
        """
        Of live sessions of which the store knows everything only so many are kept;
        each is found again by its cookie, and one live object stands for it.
        """
        monkeypatch.setattr(live, "MAXIMUM", 20)
        it = scene(SharedStore() if isShared else MemoryStore())
        browsers = [it.browser() for _ in range(60)]
        for browser in browsers:
            it.get(browser, count)
        gc.collect()
        assert len(it.site.sessions) == 20
        for browser in browsers:
            assert it.get(browser, count).body == b"2"
        assert len(it.site.sessions) == 20

    def test_notPlain(self, scene, monkeypatch):
        """
        Those stay that have something to them that is in this process only, and
        those that are in use or of which the store does not know everything.
        """
        monkeypatch.setattr(live, "MAXIMUM", 5)
        it = scene()

        def attribute(session: Any) -> None:
            session.extra = 1

        def callback(session: Any) -> None:
            session.notifyOnExpire(lambda: None)

        def component(session: Any) -> None:
            session.setComponent(server.Request, object())

        def namespace(session: Any) -> None:
            session.sessionNamespaces["app"] = 1

        kept = []
        for change in (attribute, callback, component, namespace):
            browser = it.browser()
            it.get(browser, lambda request, change=change: (change(request.getSession()), b"")[1])
            kept.append(browser.cookies.get(COOKIE))
        unsaved = it.site.makeSession()
        kept.append(unsaved.uid)
        for _ in range(30):
            it.get(it.browser(), count)
        gc.collect()
        del unsaved
        for uid in kept:
            assert uid in it.site.sessions._kept or uid in it.site.sessions

    def test_held(self, scene, monkeypatch):
        """
        One that somebody holds is found again as the same object.
        """
        monkeypatch.setattr(live, "MAXIMUM", 5)
        it = scene()
        browser, held = it.browser(), []
        it.get(browser, lambda request: (held.append(request.getSession()), b"")[1])
        for _ in range(30):
            it.get(it.browser(), count)
        assert held[0].sid not in it.site.sessions._kept
        assert it.get(browser, lambda r: repr(r.getSession() is held[0]).encode()).body == b"True"

    def test_letGoBeforeItsUse(self, scene, monkeypatch):
        """
        One that was let go of after a request had brought it, and before its handler
        asked for it, is kept again: what the handler puts on it stays.
        """
        monkeypatch.setattr(live, "MAXIMUM", 5)
        it = scene()
        browser = it.browser()
        it.get(browser, count)

        def answer(request: Any) -> bytes:
            for _ in range(10):
                it.get(it.browser(), count)
            session = request.getSession()
            session.extra = 1
            return b""

        it.get(browser, answer)
        for _ in range(10):
            it.get(it.browser(), count)
        gc.collect()
        assert it.get(browser, lambda request: b"%d" % request.getSession().extra).body == b"1"

    @needsNoDict
    def test_fewObjects(self, scene):
        """
        Of a live session the garbage collector sees three objects: the session, its data
        and its tracker.
        """
        it = scene()
        for _ in range(2):
            browser = it.browser()
            assert [it.get(browser, count).body for _ in range(2)] == [b"1", b"2"]
        gc.collect()
        one, other = it.site.sessions.values()
        shared = {id(each) for each in gc.get_referents(other, other._tracker)}
        own = [each for each in gc.get_referents(one, one._tracker) if id(each) not in shared]
        kinds = {type(each) for each in own if gc.is_tracked(each)}
        assert kinds == {Session, SessionData, Tracker}

    @needsNoDict
    def test_noDict(self, scene, monkeypatch):
        """
        Python keeps the attributes of a session where there is no dict of them; also where
        the manager says how long they live, and when somebody has looked whether it may be let
        go of.
        """

        class Own(Session):
            """
            Of which no other test has made one.
            """

        monkeypatch.setattr(live, "MAXIMUM", 1)
        it = scene()
        site = it.makeSite()
        site.sessionFactory = Own
        site.sessionManager = SessionManager(it.store, it.clock, sessionTimeout=300)
        sessions = []

        def watch(request: Any) -> bytes:
            session = request.getSession()
            session.notifyOnExpire(list)
            sessions.append(session)
            return b""

        for _ in range(5):
            it.get(it.browser(site), watch)
        assert [each.sessionTimeout for each in sessions] == 5 * [300]
        for session in sessions:
            dicts = [each for each in gc.get_referents(session) if type(each) is dict]
            assert not any("uid" in each for each in dicts)

    def test_timersAreFew(self, scene):
        """
        A thousand sessions have a handful of timers.
        """
        it = scene()
        browser = it.browser()
        for _ in range(1000):
            it.site.makeSession()
        assert browser.site is it.site
        assert len(it.clock.getDelayedCalls()) <= 4
