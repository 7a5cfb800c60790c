"""
Sessions under what else Twisted Web can serve: distributed sites, virtual hosts, WSGI
applications, Klein.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from klein import Klein
from pages import Page
from scenes import COOKIE, SECURE_COOKIE, answering, count, gated, look, setCookies
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadpool import ThreadPool
from twisted.spread import pb
from twisted.web import distrib, server
from twisted.web.resource import Resource
from twisted.web.vhost import NameVirtualHost, VHostMonsterResource
from twisted.web.wsgi import WSGIResource

from txsessions import Session, Site
from txsessions.testing import Browser, FailingStore, resultOf


async def until(condition: Any) -> None:
    """
    Wait for a condition, for as long as a few turns of the reactor take.
    """
    for _ in range(2000):
        if condition():
            return
        await deferLater(reactor, 0.001)
    raise AssertionError("it never came about")


async def answerOf(response: Deferred[Any]) -> Any:
    """
    A response, which has come by the time the reactor has had some turns.
    """
    await until(lambda: response.called)
    return resultOf(response)


class TestVirtualHosts:
    """
    twisted.web.vhost.
    """

    def test_names(self, scene):
        """
        Hosts of one site have sessions of their own, because browsers tell their
        cookies apart; each is the site's.
        """
        it = scene()
        hosts = NameVirtualHost()
        for host in (b"one.example", b"two.example"):
            root = Resource()
            root.putChild(b"", Page(answering(count)))
            hosts.addHost(host, root)
        it.site.resource = hosts
        browsers = [it.browser(host=host) for host in ("one.example", "two.example")]
        browsers[1].cookies = browsers[0].cookies
        bodies = [resultOf(browser.get("/")).body for browser in browsers * 2]
        assert bodies == [b"1", b"1", b"2", b"2"]
        assert len(it.site.sessions) == 2

    def test_behindProxy(self, scene):
        """
        Behind a proxy that ends TLS and says so by its path, the session is that of
        HTTPS, with its cookie, from the first request on.
        """
        it = scene()
        root = Resource()
        root.putChild(b"vhost", VHostMonsterResource())
        root.putChild(b"page", Page(answering(count)))
        it.site.resource = root
        browser = it.browser()
        path = "/vhost/https/example.org:443/page"
        first = resultOf(browser.get(path))
        assert [cookie.name for cookie in first.cookies] == [SECURE_COOKIE]
        assert first.cookies[0].isSecure
        headers = {"Cookie": SECURE_COOKIE + b"=" + first.cookies[0].value}
        assert resultOf(browser.get(path, headers=headers)).body == b"2"
        assert resultOf(browser.get("/page", headers=headers)).body == b"1"


class TestDistributed:
    """
    twisted.web.distrib.
    """

    @pytest_twisted.async_yield_fixture
    async def distribute(self):
        """
        Puts a site behind another one, over a socket.
        """
        ports, subscriptions = [], []

        async def make(front: Any, back: Any) -> None:
            factory = pb.PBServerFactory(distrib.ResourcePublisher(back))
            ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))
            root = Resource()
            subscription = distrib.ResourceSubscription("127.0.0.1", ports[-1].getHost().port)
            root.putChild(b"far", subscription)
            root.putChild(b"near", Page(answering(count)))
            front.resource = root
            subscriptions.append(subscription)

        yield make
        for subscription in subscriptions:
            if subscription.publisher is not None:
                subscription.publisher.broker.transport.loseConnection()
                await until(lambda s=subscription: s.publisher is None)
        for port in ports:
            await port.stopListening()

    @pytest_twisted.ensureDeferred
    async def test_front(self, scene, distribute):
        """
        Our site serves what is published elsewhere, and its own sessions beside it.
        """
        it = scene()
        browser = it.browser()
        far = server.Site(Page(lambda request: b"far away"))
        await distribute(it.site, far)
        assert resultOf(browser.get("/near")).body == b"1"
        response = await answerOf(browser.get("/far/page"))
        assert (response.code, response.body) == (200, b"far away")
        assert resultOf(browser.get("/near")).body == b"2"

    @pytest_twisted.ensureDeferred
    async def test_farSessions(self, scene, distribute):
        """
        At the far end sessions live in that process, under a cookie of their own, as
        in stock Twisted; a visited one stays alive.
        """
        it = scene()
        clock = Clock()
        browser = it.browser()
        seen = []

        def answer(request: Any) -> bytes:
            seen.append(request.getSession())
            return count(request)

        far = Site(Page(answer), reactor=clock)
        await distribute(it.site, far)
        for number in (b"1", b"2", b"3"):
            response = await answerOf(browser.get("/far/page"))
            assert response.body == number
            clock.advance(800)
        assert {cookie.name for cookie in browser.cookies} == {COOKIE + b"_far"}
        assert isinstance(seen[0], Session)
        assert len({id(session) for session in seen}) == 1
        clock.advance(100)
        assert seen[0].endReason is not None
        assert clock.getDelayedCalls() == []


class Thread:
    """
    A WSGI application and the threads that it runs in.
    """

    def __init__(self, application: Any) -> None:
        self.pool = ThreadPool(0, 2)
        self.pool.start()
        inner = WSGIResource(reactor, self.pool, application)

        class WithSession(Resource):
            isLeaf = True

            def render(self, request: Any) -> Any:
                request.requestHeaders.setRawHeaders(b"X-Number", [b"%d" % len(requests)])
                requests.append(request)
                return inner.render(request)

        requests = self.requests = []  # type: ignore[var-annotated]
        self.resource = WithSession()

    def requestOf(self, environ: Any) -> Any:
        """
        The request that a call of the application answers.
        """
        return self.requests[int(environ["HTTP_X_NUMBER"])]


@pytest.fixture
def threaded():
    """
    Makes resources of WSGI applications.
    """
    threads = []

    def make(application: Any) -> Thread:
        threads.append(Thread(application))
        return threads[-1]

    yield make
    for thread in threads:
        thread.pool.stop()


class TestWSGI:
    """
    twisted.web.wsgi.
    """

    @pytest_twisted.ensureDeferred
    async def test_works(self, scene, threaded):
        """
        An application in a thread uses its request's session through the reactor's
        thread; the response waits for what it changed.
        """

        def application(environ: Any, start: Any) -> Any:
            request = thread.requestOf(environ)
            visits = blockingCallFromThread(reactor, count, request)
            start("200 OK", [("Content-Type", "text/plain")])
            return [b"visit ", visits]

        thread = threaded(application)
        it = scene(wrap=gated)
        it.site.resource = thread.resource
        browser = it.browser()
        for number in (b"1", b"2"):
            response = browser.get("/")
            await until(lambda: it.store.gates)
            assert not response.called
            it.store.openAll()
            response = await answerOf(response)
            assert (response.code, response.body) == (200, b"visit " + number)

    @pytest_twisted.ensureDeferred
    async def test_logIn(self, scene, threaded):
        """
        A log-in, a rework and a log-out from a thread: the response carries the
        cookie of each.
        """

        def application(environ: Any, start: Any) -> Any:
            request = thread.requestOf(environ)
            session = blockingCallFromThread(reactor, request.getSession)
            steps = {
                "/": lambda: None,
                "/in": lambda: session.logIn("anna"),
                "/re": session.rework,
                "/out": session.logOut,
            }
            blockingCallFromThread(reactor, steps[environ["PATH_INFO"]])
            start("200 OK", [("Content-Type", "text/plain")])
            return [repr(session.sessionKey).encode()]

        thread = threaded(application)
        it = scene()
        it.site.resource = thread.resource
        browser = it.browser()
        tokens = []
        for path in ("/", "/in", "/re"):
            response = await answerOf(browser.get(path))
            assert len(response.cookies) == 1
            tokens.append(browser.cookies.get(COOKIE))
        assert len(set(tokens)) == 3
        assert response.body == b"'anna'"
        response = await answerOf(browser.get("/out"))
        assert [cookie.value for cookie in response.cookies] == [b""]
        assert it.memory._records == {}

    @pytest_twisted.ensureDeferred
    async def test_storeDown(self, scene, threaded):
        """
        A save that fails is a 503, and the application's thread is not harmed.
        """

        def application(environ: Any, start: Any) -> Any:
            blockingCallFromThread(reactor, count, thread.requestOf(environ))
            start("200 OK", [("Content-Type", "text/plain")])
            return [b"never seen"] * 3

        thread = threaded(application)
        it = scene(wrap=FailingStore)
        it.site.resource = thread.resource
        it.store.fail("createSession")
        response = await answerOf(it.browser().get("/"))
        assert (response.code, setCookies(response)) == (503, [])
        it.errors.flush("the test broke the store")


class TestKlein:
    """
    Klein.
    """

    def serve(self, it: Any, app: Klein) -> Browser:
        """
        A browser of a Klein application.
        """
        it.site.resource = app.resource()
        return it.browser()

    def test_routes(self, scene):
        """
        Routes of a Klein application use their request's session; responses wait
        for it on every way that Klein writes one.
        """
        app = Klein()

        @app.route("/returned")
        def returned(request: Any) -> bytes:
            return count(request)

        @app.route("/awaited")
        async def awaited(request: Any) -> bytes:
            return count(request)

        @app.route("/resource")
        def resource(request: Any) -> Any:
            return Page(answering(count))

        @app.route("/moved")
        def moved(request: Any) -> None:
            count(request)
            request.redirect(b"/elsewhere")

        it = scene(wrap=gated)
        browser = self.serve(it, app)
        codes = []
        for number, path in enumerate(("/returned", "/awaited", "/resource", "/moved")):
            response = browser.get(path)
            assert not response.called
            it.store.openAll()
            codes.append(resultOf(response).code)
            (record,) = it.memory._records.values()
            assert record.attributes["data:n"] == b"%d" % (number + 1)
        assert codes == [200, 200, 200, 302]

    def test_failingStore(self, scene):
        """
        A store that fails is a 503, for those that leave the saving to the response
        and for those that wait for it themselves; whatever else Klein's handlers
        for errors say is said as ever.
        """
        app = Klein()

        @app.route("/left")
        def left(request: Any) -> bytes:
            return count(request)

        @app.route("/waited")
        async def waited(request: Any) -> bytes:
            count(request)
            await request.getSession().commit()
            return b"never seen"

        @app.route("/broken")
        def broken(request: Any) -> bytes:
            count(request)
            raise ValueError("the handler of the test is broken")

        it = scene(wrap=FailingStore)
        browser = self.serve(it, app)
        it.store.fail()
        for path in ("/left", "/waited"):
            response = resultOf(browser.get(path))
            assert (response.code, setCookies(response)) == (503, [])
            assert response.headers.hasHeader(b"retry-after")
        it.store.mend()
        assert resultOf(browser.get("/broken")).code == 500
        assert resultOf(browser.get("/nowhere")).code == 404
        it.errors.flush("the test broke the store", "the handler of the test is broken")

    def test_logOut(self, scene):
        """
        A log-in and a log-out in coroutines.
        """
        app = Klein()

        @app.route("/in", methods=["POST"])
        async def logIn(request: Any) -> bytes:
            await request.getSession().logIn("anna")
            return b"welcome"

        @app.route("/out", methods=["POST"])
        async def logOut(request: Any) -> bytes:
            await request.getSession().logOut()
            return b"bye"

        @app.route("/")
        def home(request: Any) -> bytes:
            return look(request)

        it = scene()
        browser = self.serve(it, app)
        assert len(resultOf(browser.post("/in")).cookies) == 1
        token = browser.cookies.get(COOKIE)
        assert resultOf(browser.get("/")).body == b"0"
        assert [cookie.value for cookie in resultOf(browser.post("/out")).cookies] == [b""]
        old = {"Cookie": COOKIE + b"=" + token}
        assert resultOf(browser.get("/", headers=old)).body == b"none"
