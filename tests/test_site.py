"""
The site: what is put in its place in stock Twisted goes on to work, and it starts and
stops without leaving anything behind.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from scenes import (
    COOKIE,
    Scene,
    SharedStore,
    answering,
    count,
    gated,
    look,
    scenes,
    setCookies,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txsessions import Request, Session, SessionSiteMixin, Site
from txsessions.interfaces import ISessionStore
from txsessions.stores.memory import MemoryStore
from txsessions.testing import Browser, FailingStore, HangingStore, resultOf
from txsessions.web import live


@pytest.fixture
def scene():
    """
    Makes scenes.
    """
    yield from scenes()


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


class TestEntropy:
    """
    Where tokens come from.
    """

    def test_readWhenCalled(self, scene):
        """
        site._entropy is read when a token is made, and asked for 32 bytes.
        """
        it = scene()
        it.site._entropy = lambda size: b"\xab" * size
        response = it.get(it.browser(), lambda request: request.getSession().uid)
        assert response.body == b"ab" * 32

    def test_fails(self, scene):
        """
        Without randomness the request fails; there is no cookie and no record.
        """

        def broken(size: int) -> bytes:
            raise OSError("no randomness")

        it = scene()
        browser = it.browser()
        it.site._entropy = broken
        response = it.get(browser, count)
        assert (response.code, setCookies(response)) == (500, [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)
        it.errors.flush("no randomness")

    def test_repeatsOnce(self, scene):
        """
        A token that a session has already is not given out again; the next one is.
        """
        it = scene()
        tokens = iter([b"\1" * 32, b"\1" * 32, b"\1" * 32, b"\2" * 32])
        it.site._entropy = lambda size: next(tokens)
        first, second = it.browser(), it.browser()
        assert it.get(first, count).body == b"1"
        assert it.get(second, count).body == b"1"
        assert second.cookies.get(COOKIE) == b"02" * 32
        assert it.get(first, count).body == it.get(second, count).body == b"2"

    @pytest.mark.parametrize("isShared", [True, False])
    def test_repeatsOfStored(self, scene, isShared):
        """
        So it is when the other session is known to the store only; its record and
        its visitor notice nothing.
        """
        it = scene(SharedStore() if isShared else MemoryStore())
        it.site._entropy = lambda size: b"\1" * size
        victim = it.browser()
        it.get(victim, count)
        before = dict(it.memory._records)
        site = it.makeSite()
        tokens = iter([b"\1" * 32, b"\1" * 32, b"\2" * 32])
        site._entropy = lambda size: next(tokens)
        browser = it.browser(site)
        assert it.get(browser, count).body == b"1"
        assert browser.cookies.get(COOKIE) == b"02" * 32
        assert {sid: it.memory._records[sid] for sid in before} == before
        assert it.get(it.browser(site, cookies=victim.cookies), count).body == b"2"

    def test_neverShared(self, scene):
        """
        Not even for a moment: the owner of a token gets his own session, while the
        request that was given it again has not ended.
        """
        it = scene()
        it.site._entropy = lambda size: b"\1" * size
        victim = it.browser()
        it.get(victim, count)
        site = it.makeSite()
        tokens = iter([b"\1" * 32, b"\2" * 32])
        site._entropy = lambda size: next(tokens)
        waiting: Deferred[None] = Deferred()

        async def slow(request: Any) -> bytes:
            request.getSession().data["secret"] = "of the other"
            await waiting
            return request.getSession().uid

        other = it.browser(site)
        response = it.ask(other, slow)
        returning = it.browser(site, cookies=victim.cookies)
        assert it.get(returning, look).body == b"1"
        waiting.callback(None)
        assert resultOf(response).body == b"02" * 32
        assert other.cookies.get(COOKIE) == b"02" * 32
        assert it.get(returning, count).body == b"2"
        assert [set(record.attributes) for record in it.memory._records.values()] == [
            {"data:n"},
            {"data:secret"},
        ]

    def test_repeatsForEver(self, scene):
        """
        When every token is taken the request fails, and says why in the log.
        """
        it = scene()
        it.site._entropy = lambda size: b"\1" * size
        first, second = it.browser(), it.browser()
        it.get(first, count)
        response = it.get(second, count)
        assert (response.code, setCookies(response)) == (500, [])
        assert it.get(first, count).body == b"2"
        assert len(it.memory._records) == 1
        it.errors.flush("randomness")


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


class TestStopping:
    """
    Start and stop.
    """

    def test_noTimers(self, scene):
        """
        A stopped Site leaves no timers, whatever its sessions are.
        """
        it = scene()

        def answer(request: Any) -> bytes:
            session = request.getSession()
            session.notifyOnExpire(lambda: None)
            session.extra = 1
            return count(request)

        browser = it.browser()
        it.get(browser, answer)
        it.get(it.browser(), look)
        it.site.makeSession()
        for each in it._browsers:
            each.close()
        assert it.clock.getDelayedCalls() == []

    def test_lateRequest(self, scene):
        """
        So it is when a request that was under way ends, or a session begins, after
        the stop.
        """
        it = scene()
        browser = it.browser()
        requests = []
        connection = browser.connect()
        response = it.ask(connection, lambda r: (count(r), requests.append(r), NOT_DONE_YET)[2])
        it.site.doStop()
        requests[0].finish()
        assert resultOf(response).code == 200
        assert it.get(connection, count).code == 200
        it.site.makeSession().notifyOnExpire(lambda: None)
        connection.disconnect()
        assert it.clock.getDelayedCalls() == []
        it.site.doStart()

    def test_restart(self, scene):
        """
        A site can be started again, and its sessions expire then.
        """
        it, told = scene(), []
        it.site.doStart()
        it.site.makeSession().notifyOnExpire(lambda: told.append(1))
        it.site.doStop()
        it.clock.advance(2000)
        assert told == []
        it.site.doStart()
        it.clock.advance(0)
        assert told == [1]
        it.site.doStop()
        assert it.clock.getDelayedCalls() == []

    def test_touchesAreSaved(self, scene):
        """
        A stop tells the store of touches that it does not know, so that a restart
        shortens nobody's session.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(50)
        it.get(browser, look)
        browser.close()
        it.clock.advance(899)
        again = it.browser(it.makeSite(), cookies=browser.cookies)
        assert it.get(again, look).body == b"1"

    def test_waitsForSaves(self, scene):
        """
        stopSessions() waits until what is being saved is saved.
        """
        it = scene(wrap=gated)
        browser = it.browser()
        response = it.ask(browser, count)
        stopped = it.site.stopSessions()
        with pytest.raises(AssertionError, match="not fired"):
            resultOf(stopped)
        it.store.openAll()
        resultOf(stopped)
        assert resultOf(response).code == 200
        assert len(it.memory._records) == 1

    def test_storeHangs(self, scene):
        """
        A store that hangs, in whichever operation, does not keep a site from
        stopping.
        """
        for operations in ((), ("claimExpired",), ("saveSession", "createSession")):
            it = scene(wrap=HangingStore)
            browser = it.browser()
            it.get(browser, count)
            it.store.hang(*operations)
            it.clock.advance(50)
            it.get(browser, look) if operations else None
            response = it.ask(browser, count)
            it.clock.advance(900)
            stopped = it.site.stopSessions()
            it.clock.pump([1] * 60)
            assert resultOf(stopped) is None
            assert response.called
            it.store.release()
            response.addErrback(lambda failure: None)
            it.errors.events.clear()

    def test_storeDown(self, scene):
        """
        Neither does one that is down.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(50)
        it.get(browser, look)
        it.store.fail()
        assert resultOf(it.site.stopSessions()) is None
        it.errors.events.clear()

    def test_realReactor(self, tmp_path: Path):
        """
        On a real reactor that stops, the site stops without a word.
        """
        script = tmp_path / "served.py"
        script.write_text(
            "import sys\n"
            "from twisted.internet import reactor\n"
            "from twisted.python import log\n"
            "from twisted.web.resource import Resource\n"
            "from txsessions import Site\n"
            "log.startLogging(sys.stderr)\n"
            "site = Site(Resource())\n"
            "reactor.listenTCP(0, site, interface='127.0.0.1')\n"
            "reactor.callWhenRunning(lambda: site.makeSession().notifyOnExpire(print))\n"
            "reactor.callLater(0.1, reactor.stop)\n"
            "reactor.run()\n"
            "print('left', len(reactor.getDelayedCalls()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning", str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "left 0\n" in done.stderr


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
