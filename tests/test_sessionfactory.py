"""
site.sessionFactory: classes and functions, ours and stock Twisted's.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    COOKIE,
    SharedStore,
    count,
    look,
)
from twisted.internet.task import Clock
from twisted.web import server

from txsessions import Session, SessionManager, Site


class TestFactory:
    """
    sessionFactory.
    """

    def test_class(self, scene):
        """
        It may be a class attribute of a subclass of Site.
        """

        class ShortSession(Session):
            sessionTimeout = 60

        class ShortSite(Site):
            sessionFactory = ShortSession

        it = scene()
        browser = it.browser(it.makeSite(ShortSite))
        it.get(browser, count)
        it.clock.advance(59)
        assert it.get(browser, look).body == b"1"
        it.clock.advance(60)
        assert it.get(browser, look).body == b"none"

    def test_instance(self, scene):
        """
        It may be set on one instance, as in Twisted's own example; and the session
        keeps its time-out where another class loads it.
        """

        class ShortSession(Session):
            sessionTimeout = 60

        it = scene(SharedStore())
        it.site.sessionFactory = ShortSession
        browser = it.browser()
        it.get(browser, count)
        other = it.browser(it.makeSite(), cookies=browser.cookies)
        it.clock.advance(59)
        assert it.get(other, look).body == b"1"
        it.clock.advance(60)
        assert it.get(other, look).body == b"none"

    def test_function(self, scene):
        """
        It may be a function, and is called with the site and the id by position.
        """
        calls = []

        def make(*arguments: Any) -> Session:
            calls.append(arguments)
            return Session(*arguments)

        it = scene()
        it.site.sessionFactory = make
        browser = it.browser()
        it.get(browser, count)
        assert it.get(browser, count).body == b"2"
        assert calls == [(it.site, browser.cookies.get(COOKIE))]

    def test_stockClass(self, scene):
        """
        It may be the stock Session class; then sessions live in this process, apart
        for HTTP and HTTPS, and slide.
        """
        it = scene()
        it.site.sessionFactory = server.Session

        def answer(request: Any) -> bytes:
            session = request.getSession()
            assert type(session) is server.Session
            session.visits = getattr(session, "visits", 0) + 1
            return b"%d" % session.visits

        browser = it.browser()
        for number in (b"1", b"2", b"3"):
            assert it.get(browser, answer).body == number
            it.clock.advance(800)
        token = browser.cookies.get(COOKIE)
        leaked = {"Cookie": b"TWISTED_SECURE_SESSION=" + token}
        assert it.get(it.browser(secure=True), look, headers=leaked).body == b"none"
        it.clock.advance(100)
        assert it.get(browser, answer).body == b"1"
        assert it.memory._records == {}
        it.clock.advance(900)

    def test_stockClassExpires(self, scene):
        """
        A stock session that is logged out is gone, and the next one new.
        """
        it = scene()
        it.site.sessionFactory = server.Session
        browser = it.browser()
        first = it.get(browser, lambda request: request.getSession().uid).body

        def logOut(request: Any) -> bytes:
            request.getSession().expire()
            return b""

        it.get(browser, logOut)
        assert it.get(browser, lambda request: request.getSession().uid).body != first
        it.clock.advance(900)

    def test_stockClassFindsRecord(self, scene):
        """
        A record that another class has left opens nothing where the stock class is
        used; it is no error.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        site = it.makeSite()
        site.sessionFactory = server.Session
        other = it.browser(site, cookies=browser.cookies)
        assert it.get(other, lambda request: repr(request.peekSession()).encode()).body == b"None"

    def test_falsy(self, scene):
        """
        A session class whose instances are false, as empty mappings are, is found
        again and again.
        """

        class Mapping(Session):
            def __len__(self) -> int:
                return 0

        it = scene()
        it.site.sessionFactory = Mapping
        browser = it.browser()
        assert [it.get(browser, count).body for _ in range(3)] == [b"1", b"2", b"3"]
        assert len(it.memory._records) == len(it.site.sessions) == 1

    def test_ownAttributes(self, scene):
        """
        A subclass with a constructor and attributes of its own is made anew for a
        session that the store has.
        """

        class Own(Session):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self.flavour = "own"

        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        site = it.makeSite()
        site.sessionFactory = Own
        other = it.browser(site, cookies=browser.cookies)
        assert it.get(other, lambda r: r.getSession().flavour.encode()).body == b"own"
        assert it.get(other, look).body == b"1"

    def test_ownReactor(self, scene):
        """
        A session that measures time by a clock of its own expires by that.
        """
        it, own, told = scene(), Clock(), []
        it.browser()
        it.site.sessionFactory = lambda site, uid: Session(site, uid, reactor=own)
        session = it.site.makeSession()
        session.notifyOnExpire(lambda: told.append(1))
        own.advance(899)
        assert told == []
        own.advance(1)
        assert told == [1]
        assert session.uid not in it.site.sessions


class TestTimeouts:
    """
    How long a session lives: the manager says so, unless somebody closer does.
    """

    def liveOf(self, it: Any, factory: Any) -> tuple[float, float | None]:
        """
        The time-outs of a session from this factory, where the manager says 300 and 3000 seconds.
        """
        site = it.makeSite()
        site.sessionFactory = factory
        site.sessionManager = SessionManager(
            it.store, it.clock, sessionTimeout=300, absoluteTimeout=3000
        )
        browser, sessions = it.browser(site), []
        it.get(browser, lambda request: sessions.append(request.getSession()) or b"")
        (record,) = it.memory._records.values()
        (session,) = sessions
        assert record.sessionTimeout == session.sessionTimeout
        assert record.absoluteTimeout == session.absoluteTimeout
        return record.sessionTimeout, record.absoluteTimeout

    def test_manager(self, scene):
        """
        The manager says it for sessions of our class, and of one that says nothing.
        """

        class Silent(Session):
            pass

        assert self.liveOf(scene(), Session) == (300, 3000)
        assert self.liveOf(scene(), Silent) == (300, 3000)

    @pytest.mark.parametrize("seconds", [60, 900])
    def test_class(self, scene, seconds):
        """
        A class that says it goes before, also where it says what is usual.
        """

        class Says(Session):
            sessionTimeout = seconds
            absoluteTimeout = None

        class Inherits(Says):
            pass

        assert self.liveOf(scene(), Says) == (seconds, None)
        assert self.liveOf(scene(), Inherits) == (seconds, None)

    @pytest.mark.parametrize("seconds", [60, 900])
    def test_instance(self, scene, seconds):
        """
        So does what a sessionFactory sets on a session.
        """

        def make(site, uid):
            session = Session(site, uid)
            session.sessionTimeout = seconds
            return session

        assert self.liveOf(scene(), make) == (seconds, 3000)

    def test_stockClass(self, scene):
        """
        A session of stock Twisted has time-outs, too, where the manager says them.
        """
        it = scene()
        site = it.makeSite()
        site.sessionFactory = server.Session
        site.sessionManager = SessionManager(
            it.store, it.clock, sessionTimeout=300, absoluteTimeout=3000
        )
        sessions = []
        it.get(it.browser(site), lambda request: sessions.append(request.getSession()) or b"")
        (session,) = sessions
        assert (session.sessionTimeout, session.absoluteTimeout) == (300, 3000)
        session.expire()

    def test_property(self, scene):
        """
        What a class says by a property is asked for, and no more.
        """
        done = []

        class Says(Session):
            @property
            def sessionTimeout(self) -> float:
                return 60

            @sessionTimeout.setter
            def sessionTimeout(self, seconds: float) -> None:
                done.append(seconds)

            @sessionTimeout.deleter
            def sessionTimeout(self) -> None:
                done.append("deleted")

        it = scene()
        site = it.makeSite()
        site.sessionFactory = Says
        site.sessionManager = SessionManager(it.store, it.clock, sessionTimeout=300)
        sessions = []
        it.get(it.browser(site), lambda request: sessions.append(request.getSession()) or b"")
        assert [session.sessionTimeout for session in sessions] == [60]
        assert done == []
