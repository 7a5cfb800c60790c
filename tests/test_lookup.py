"""
From the tokens of a request to its session: what opens one, what the store is
asked, and what a request sees of a store in trouble.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import (
    COOKIE,
    SECURE_COOKIE,
    Scene,
    SharedStore,
    count,
    gated,
    look,
    scenes,
    setCookies,
    who,
)
from twisted.internet.error import ConnectionLost
from twisted.web.server import NOT_DONE_YET, Request

from txsessions import SessionRequestMixin, Site
from txsessions.errors import CorruptRecord, SessionNotLoaded, UnknownKey
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore, HangingStore, RecordingStore, resultOf


@pytest.fixture
def scene():
    """
    Makes scenes.
    """
    yield from scenes()


def cookie(*tokens: bytes, name: bytes = COOKIE) -> dict[str, bytes]:
    """
    The headers of a request that brings these tokens.
    """
    return {"Cookie": b"; ".join(name + b"=" + token for token in tokens)}


def asks(it: Scene) -> list[str]:
    """
    What the store was asked of single sessions, since this was last asked.
    """
    names = [call.name for call in it.store.calls if call.name != "claimExpired"]
    it.store.calls.clear()
    return names


MALFORMED = [
    b"",
    b" ",
    b"0",
    b"x" * 64,
    b"A" * 64,
    b"0" * 63,
    b"0" * 65,
    b"0" * 63 + b"\n",
    b'"' + b"0" * 62 + b'"',
    b"%30" * 64,
    b"../../etc/passwd",
    b"'; DROP TABLE sessions; --",
    b"\xff" * 64,
    b"0" * 4096,
    b"0" * 16000,
]


class TestTokens:
    """
    Which tokens open a session.
    """

    @pytest.mark.parametrize("token", MALFORMED)
    def test_malformed(self, scene, token):
        """
        A malformed token is no session: no error, and no call of the store.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        response = it.get(it.browser(), look, headers=cookie(token))
        assert (response.code, response.body, setCookies(response)) == (200, b"none", [])
        assert asks(it) == []
        assert it.get(it.browser(), count, headers=cookie(token)).body == b"1"
        assert asks(it) == ["createSession"]

    @given(st.binary(max_size=100).filter(lambda token: len(token) != 64))
    @settings(suppress_health_check=list(HealthCheck), max_examples=200, deadline=None)
    def test_malformedAnything(self, token):
        """
        So it is whatever the browser sends.
        """
        token = token.translate(None, b"\r\n\x00")
        for scene in scenes():
            it = scene(SharedStore(), wrap=RecordingStore)
            assert it.get(it.browser(), look, headers=cookie(token)).body == b"none"
            assert asks(it) == []

    def test_control(self, scene):
        """
        The test notices a lookup that takes ids of any form.
        """

        class Lax(Site):
            def _mkuid(self) -> bytes:
                return super()._mkuid()

        it = scene(SharedStore(), wrap=RecordingStore)
        browser = it.browser(it.makeSite(Lax))
        assert it.get(browser, look, headers=cookie(b"x" * 64)).body == b"none"
        assert asks(it) == ["loadSession"]

    def test_forged(self, scene):
        """
        A well-formed token that nobody was given opens nothing; one with the handle
        of a session and another verifier neither, though the handle is public.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        token = browser.cookies.get(COOKIE)
        assert token is not None
        forgeries = [token[:32] + b"0" * 32, token[:-1] + (b"0" if token[-1:] != b"0" else b"1")]
        forgeries += [b"0" * 32 + token[32:], token[32:] + token[:32], b"0" * 64]
        for forgery in forgeries:
            for site in (it.site, it.makeSite()):
                assert it.get(it.browser(site), look, headers=cookie(forgery)).body == b"none"
        assert it.get(browser, look).body == b"1"

    def test_forgedOwner(self, scene):
        """
        A process that is the only one to use its store knows a forged handle of a
        live session without asking.
        """
        it = scene(wrap=RecordingStore)
        browser = it.browser()
        it.get(browser, count)
        asks(it)
        token = browser.cookies.get(COOKIE)
        forged = cookie(token[:32] + b"0" * 32)
        assert it.get(it.browser(), look, headers=forged).body == b"none"
        assert it.get(browser, look).body == b"1"
        assert asks(it) == []

    def test_twoCookies(self, scene):
        """
        Of two cookies of the name the first counts that opens a session; further
        ones are not tried.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        browser = it.browser()
        it.get(browser, count)
        good = browser.cookies.get(COOKIE)
        bad = [b"%064d" % number for number in range(5)]
        asks(it)
        for tokens, body, calls in [
            ([good, bad[0]], b"1", 1),
            ([bad[0], good], b"1", 2),
            ([bad[0], bad[1], good], b"none", 2),
            ([b"junk", good], b"1", 1),
            (bad, b"none", 2),
        ]:
            assert it.get(it.browser(), look, headers=cookie(*tokens)).body == body, tokens
            assert asks(it) == ["loadSession"] * calls

    def test_twoCookiesReworked(self, scene):
        """
        An old token beside the new one does no harm, in either order.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        old = browser.cookies.get(COOKIE)

        async def renew(request: Any) -> bytes:
            return await request.getSession().rework()

        new = it.get(browser, renew).body
        for tokens in ([old, new], [new, old]):
            assert it.get(it.browser(), look, headers=cookie(*tokens)).body == b"1"

    def test_bomb(self, scene):
        """
        A header full of cookies costs the store two calls at the most.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        tokens = [b"%064d" % number for number in range(150)]
        assert it.get(it.browser(), look, headers=cookie(*tokens)).code == 200
        assert len(asks(it)) == 2

    def test_noCookie(self, scene):
        """
        A request without a session cookie does not ask the store, whatever else it
        brings in cookies, queries and bodies.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        browser = it.browser()
        it.get(browser, count)
        token = browser.cookies.get(COOKIE)
        asks(it)
        path = it.page(look)
        stranger = it.browser()
        for response in (
            stranger.get(path),
            stranger.get(path + "?TWISTED_SESSION=" + token.decode()),
            stranger.post(path, {"TWISTED_SESSION": token.decode()}),
            stranger.get(path, headers={"X-Session": token, "Authorization": token}),
            stranger.get(path, headers=cookie(token, name=b"OTHER")),
        ):
            assert resultOf(response).body == b"none"
        assert asks(it) == []


class TestAudience:
    """
    The sessions of HTTPS and of plain HTTP.
    """

    def test_apart(self, scene):
        """
        A browser has two sessions, one for each, and each response tells of its own.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        browser.isSecure = True
        assert it.get(browser, look).body == b"none"
        (made,) = it.get(browser, count).cookies
        assert made.name == SECURE_COOKIE
        assert made.isSecure
        it.get(browser, count)
        assert it.get(browser, look).body == b"2"
        browser.isSecure = False
        assert it.get(browser, look).body == b"1"

    def test_forceNotSecure(self, scene):
        """
        Over HTTPS a handler can ask for the session of plain HTTP, with a cookie
        that is sent over both.
        """
        it = scene()

        def answer(request: Any) -> bytes:
            session = request.getSession(forceNotSecure=True)
            assert request.session is None
            assert request.peekSession() is None
            assert request.peekSession(forceNotSecure=True) is session
            session.data["n"] = session.data.get("n", 0) + 1
            return b"%d" % session.data["n"]

        browser = it.browser(secure=True)
        (made,) = it.get(browser, answer).cookies
        assert (made.name, made.isSecure) == (COOKIE, False)
        assert it.get(browser, answer).body == b"2"
        browser.isSecure = False
        assert it.get(browser, look).body == b"2"

    @pytest.mark.parametrize("isShared", [True, False])
    def test_leaked(self, scene, isShared):
        """
        A token of one that leaked opens nothing over the other, under either name of
        the cookie.
        """
        it = scene(SharedStore() if isShared else MemoryStore())
        for isSecure in (True, False):
            browser = it.browser(secure=isSecure)
            it.get(browser, count)
            token = browser.cookies.get(SECURE_COOKIE if isSecure else COOKIE)
            for site in (it.site, it.makeSite() if isShared else it.site):
                thief = it.browser(site, secure=not isSecure)
                for name in (COOKIE, SECURE_COOKIE):
                    response = it.get(thief, look, headers=cookie(token, name=name))
                    assert response.body == b"none"
            assert it.get(browser, look).body == b"1"

    def test_property(self, scene):
        """
        request.session is what the handler has asked for, whatever the policy says
        of HTTPS.
        """
        from txsessions import SessionCookie

        def answer(request: Any) -> bytes:
            assert request.session is None
            session = request.getSession()
            assert request.session is session
            return b"fine"

        for policy in ("auto", "always", "never"):
            it = scene()
            it.site.sessionCookie = SessionCookie(secure=policy)
            for isSecure in (True, False):
                assert it.get(it.browser(secure=isSecure), answer).body == b"fine"


class TestTrouble:
    """
    Stores that cannot load.
    """

    @pytest.mark.parametrize("isSecure", [True, False])
    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    def test_down(self, scene, method, isSecure):
        """
        A store that fails at load: 503 with Retry-After, the handler is not run, no
        cookie is set; the session is there again when the store is.
        """
        it = scene(SharedStore(), wrap=FailingStore)
        browser = it.browser(secure=isSecure)
        it.get(browser, count)
        it.store.fail("loadSession")
        ran = []
        response = it.get(browser, lambda request: ran.append(1) or b"", method=method)
        assert (response.code, setCookies(response), ran) == (503, [], [])
        assert response.headers.getRawHeaders(b"retry-after") == [b"5"]
        assert response.headers.getRawHeaders(b"cache-control") == [b"no-store"]
        assert (response.body == b"") is (method == "HEAD")
        it.errors.flush("the test broke the store")
        it.store.mend()
        assert it.get(browser, look).body == b"1"

    def test_downForStrangers(self, scene):
        """
        Those who bring no session are served while the store is down.
        """
        it = scene(SharedStore(), wrap=FailingStore)
        it.store.fail()
        assert it.get(it.browser(), lambda request: b"hello").body == b"hello"
        assert it.get(it.browser(), look).body == b"none"
        it.errors.events.clear()

    def test_hangs(self, scene):
        """
        A store that hangs at load: 503 after two seconds, and the session is there
        again when the store is.
        """
        it = scene(SharedStore(), wrap=HangingStore)
        browser = it.browser()
        it.get(browser, count)
        it.store.hang("loadSession")
        ran = []
        response = it.ask(browser, lambda request: ran.append(1) or b"")
        it.clock.advance(1.9)
        assert not response.called
        it.clock.advance(0.2)
        assert (resultOf(response).code, setCookies(resultOf(response)), ran) == (503, [], [])
        it.store.release()
        assert ran == []
        assert it.get(browser, look).body == b"1"
        it.errors.flush("has not answered for 2 seconds")

    def test_unknownKey(self, scene):
        """
        A record under an unknown key is 503, and neither it nor the cookie changes.
        """
        it = scene(SharedStore(), wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        before = dict(it.memory._records)
        it.store.fail("loadSession", error=lambda: UnknownKey("session", "k1"))
        for _ in range(3):
            response = it.get(browser, count)
            assert (response.code, setCookies(response)) == (503, [])
        assert it.memory._records == before
        it.store.mend()
        assert it.get(browser, count).body == b"2"
        it.errors.events.clear()

    def test_corrupt(self, scene):
        """
        A damaged record is no session, and is reported; its visitor gets a new one.
        """
        it = scene(SharedStore(), wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        it.store.fail("loadSession", error=lambda: CorruptRecord("session", "torn"))
        assert it.get(browser, look).body == b"none"
        it.errors.flush("damaged")

    @pytest.mark.parametrize("isSync", [True, False])
    def test_brokenStore(self, scene, isSync):
        """
        A store with a mistake is 500 and a log with the traceback, not a dropped
        connection and not an empty session, whether it raises or fails.
        """

        class Mistaken(SharedStore):
            isBroken = False

            def loadSession(self, sid: str, default: Any = None) -> Any:
                if not self.isBroken:
                    return super().loadSession(sid, default)
                if isSync:
                    raise KeyError("a mistake")
                return resultOf(None)

        it = scene(Mistaken())
        browser = it.browser()
        it.get(browser, count)
        it.memory.isBroken = True
        connection = browser.connect()
        response = it.get(connection, count)
        assert (response.code, setCookies(response)) == (500, [])
        it.memory.isBroken = False
        assert it.get(connection, count).body == b"2"
        it.errors.events.clear()

    def test_clientGoneDuringLoad(self, scene):
        """
        When the client goes while its session is being loaded, the handler is not
        run, and nothing is left behind.
        """
        it = scene(SharedStore(), wrap=lambda store: GatedStore(store, "loadSession"))
        browser = it.browser()
        it.get(browser, count)
        ran = []
        connection = browser.connect()
        response = it.ask(connection, lambda request: ran.append(1) or b"")
        connection.disconnect()
        it.store.openAll()
        with pytest.raises(ConnectionLost):
            resultOf(response)
        assert ran == []
        assert all(session.holders == {} for session in it.site.sessions.values())

    def test_clientGoneDuringFailingLoad(self, scene):
        """
        So it is when the load fails then.
        """
        it = scene(SharedStore(), wrap=lambda store: gated(FailingStore(store)))
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        it.store.store.fail("loadSession")
        connection = browser.connect()
        response = it.ask(connection, count)
        connection.disconnect()
        it.store.openAll()
        with pytest.raises(ConnectionLost):
            resultOf(response)

    def test_pipelined(self, scene):
        """
        A 503 in the middle of pipelined requests stands in its place.
        """
        it = scene(SharedStore(), wrap=lambda store: gated(FailingStore(store)))
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        connection = browser.connect()
        responses = [it.ask(connection, count) for _ in range(3)]
        it.store.open("loadSession")
        it.store.open("saveSession")
        it.store.store.fail("loadSession")
        it.store.open("loadSession")
        it.store.store.mend()
        it.store.openAll()
        assert [resultOf(response).code for response in responses] == [200, 503, 200]
        assert resultOf(responses[2]).body == b"3"
        it.errors.flush("the test broke the store")

    def test_oneOfTwoFails(self, scene):
        """
        When the sessions of HTTPS and HTTP are both brought and one cannot be
        loaded, the answer is 503.
        """

        def both(request: Any) -> bytes:
            request.getSession().data["n"] = 1
            request.getSession(forceNotSecure=True).data["n"] = 1
            return b""

        it = scene(SharedStore(), wrap=FailingStore)
        browser = it.browser(secure=True)
        it.get(browser, both)
        it.store.fail("loadSession", every=2)
        assert it.get(browser, look).code == 503
        it.errors.flush("the test broke the store")

    def test_loadingIsShared(self, scene):
        """
        Requests that load one session at the same time get one live session.
        """
        it = scene(SharedStore(), wrap=lambda store: GatedStore(store, "loadSession"))
        browser = it.browser()
        it.get(browser, count)
        site = it.makeSite()
        others = [it.browser(site, cookies=browser.cookies) for _ in range(3)]
        seen = []

        def answer(request: Any) -> bytes:
            seen.append(request.getSession())
            return b""

        responses = [it.ask(each, answer) for each in others]
        it.store.openAll()
        assert [resultOf(each).code for each in responses] == [200] * 3
        assert len({id(session) for session in seen}) == 1


class TestKnowledge:
    """
    When the store is asked, and when what this process knows is enough.
    """

    def test_owner(self, scene):
        """
        A process that is the only one to use its store asks it once.
        """
        it = scene(wrap=RecordingStore)
        browser = it.browser()
        for _ in range(5):
            it.get(browser, look)
            it.get(browser, count)
        assert asks(it) == ["createSession"] + ["saveSession"] * 4

    def test_ownerAfterDoubt(self, scene):
        """
        It asks again when it cannot know what became of a save.
        """
        it = scene(wrap=lambda store: RecordingStore(FailingStore(store)))
        browser = it.browser()
        it.get(browser, count)
        it.store.store.fail("saveSession", answersOnly=True)
        assert it.get(browser, count).code == 503
        it.store.store.mend()
        asks(it)
        assert it.get(browser, look).body == b"2"
        assert it.get(browser, look).body == b"2"
        assert asks(it) == ["loadSession"]
        it.errors.flush("the test broke the store")

    def test_doubtOfRework(self, scene):
        """
        When nobody knows whether the store has the new token of a log-in, it is the
        store that decides; nobody is logged in under a token from before.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)

        async def logIn(request: Any) -> bytes:
            await request.getSession().logIn("anna")
            return b""

        it.store.fail("saveSession", answersOnly=True)
        assert it.get(browser, logIn).code == 503
        it.store.mend()
        token = browser.cookies.get(COOKIE)
        for _ in range(3):
            assert it.get(browser, who).body == b"none"
        with pytest.raises(KeyError):
            it.site.getSession(token)
        it.clock.advance(900)
        assert len(it.site.sessions) == 0
        it.errors.flush("the test broke the store")

    def test_doubtDuringLoad(self, scene):
        """
        What was asked before a doubt arose does not settle it.
        """
        it = scene(
            wrap=lambda store: RecordingStore(GatedStore(FailingStore(store), "loadSession"))
        )
        gates, failing = it.store.store, it.store.store.store
        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()

        def lose() -> None:
            failing.fail("saveSession", answersOnly=True)
            session.data["n"] += 1
            session.commit().addErrback(lambda failure: None)
            failing.mend()

        lose()
        response = it.ask(browser, look)
        lose()
        gates.openAll()
        resultOf(response)
        asks(it)
        response = it.ask(browser, look)
        gates.openAll()
        assert resultOf(response).body == b"3"
        assert asks(it) == ["loadSession"]
        it.get(browser, look)
        assert asks(it) == []

    def test_doubtOfEnd(self, scene):
        """
        So it is with a log-out.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)

        async def logOut(request: Any) -> bytes:
            await request.getSession().logOut()
            return b""

        it.store.fail("deleteSession", answersOnly=True)
        assert it.get(browser, logOut).code == 503
        it.store.mend()
        assert it.get(browser, look).body == b"none"
        it.errors.flush("the test broke the store")

    def test_shared(self, scene):
        """
        A process that shares its store asks it at each request, so that it sees what
        others have written and ended.
        """
        it = scene(SharedStore())
        browser = it.browser()
        other = it.browser(it.makeSite(), cookies=browser.cookies)
        assert [it.get(each, count).body for each in (browser, other) * 3] == [
            b"%d" % number for number in range(1, 7)
        ]

        async def logOut(request: Any) -> bytes:
            await request.getSession().logOut()
            return b""

        token = browser.cookies.get(COOKIE)
        it.get(browser, logOut)
        assert it.get(other, look, headers=cookie(token)).body == b"none"

    def test_reworkedElsewhere(self, scene):
        """
        A live session that has got its new token in another process is not opened
        by the old one, not even by stock code.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        old = browser.cookies.get(COOKIE)

        async def rework(request: Any) -> bytes:
            return await request.getSession().rework()

        new = it.get(it.browser(it.makeSite(), cookies=browser.cookies), rework).body
        for _ in range(2):
            assert it.get(it.browser(), look, headers=cookie(old)).body == b"none"
            with pytest.raises(KeyError):
                it.site.getSession(old)
        assert it.get(browser, look).body == b"1"
        assert it.site.getSession(new).uid == new

    def test_endedElsewhere(self, scene):
        """
        A live session that somebody else has ended tells its callbacks when a
        request finds that out.
        """
        it, told = scene(SharedStore()), []
        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: told.append(session.endReason))
        it.memory.deleteSession(session.sid, "revoked")
        assert it.get(browser, look).body == b"none"
        assert told == ["revoked"]

    def test_toldOfExpiry(self, scene):
        """
        A callback is called at the deadline, once, by the process that registered
        it, whichever process swept the session.
        """
        it, told = scene(SharedStore()), []
        browser = it.browser()
        sites = [it.site, it.makeSite(), it.makeSite()]
        browsers = [it.browser(site, cookies=browser.cookies) for site in sites]
        it.get(browser, count)

        def register(request: Any) -> bytes:
            site = request.channel.site
            request.getSession().notifyOnExpire(lambda: told.append(sites.index(site)))
            return b""

        for each in browsers:
            it.get(each, register)
        for _ in range(899):
            it.clock.advance(1)
        assert told == []
        for _ in range(3):
            it.clock.advance(1)
        assert sorted(told) == [0, 1, 2]
        it.clock.advance(2000)
        assert len(told) == 3

    def test_touchedElsewhere(self, scene):
        """
        A callback is not called at the deadline that this process knows of, if
        others have touched the session since.
        """
        it, told = scene(SharedStore()), []
        browser = it.browser()
        other = it.browser(it.makeSite(), cookies=browser.cookies)
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: told.append(it.clock.seconds()))
        start = it.clock.seconds()
        for _ in range(10):
            it.clock.advance(300)
            it.get(other, look)
        assert told == []
        for _ in range(905):
            it.clock.advance(1)
        assert len(told) == 1
        assert 3900 <= told[0] - start <= 3902

    def test_storeDownAtDeadline(self, scene):
        """
        When the store cannot say what became of a session at its deadline, it is
        asked again, and the callback is called then.
        """
        it, told = scene(SharedStore(), wrap=FailingStore), []
        it.get(it.browser(), count)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: told.append(1))
        it.store.fail()
        for _ in range(1000):
            it.clock.advance(1)
        assert told == []
        it.store.mend()
        for _ in range(120):
            it.clock.advance(1)
        assert told == [1]
        it.errors.events.clear()

    def test_closeToDeadline(self, scene):
        """
        A request close to the deadline touches the session in the store before its
        handler runs, so that no other process ends it meanwhile.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        browser = it.browser()
        it.get(browser, count)
        other = it.makeSite()
        it.browser(other)
        it.site.sessionExpiry.stop()
        it.clock.advance(897)
        ended = []

        async def slow(request: Any) -> bytes:
            it.clock.advance(10)
            ended.append(request.peekSession())
            return count(request)

        response = it.get(browser, slow)
        assert response.body == b"2"
        assert ended[0] is not None


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
