"""
Which tokens open a session, and for whom.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import (
    COOKIE,
    SECURE_COOKIE,
    SharedStore,
    asks,
    cookie,
    count,
    look,
    scenes,
    setCookies,
)

from txsessions import Site
from txsessions.stores.memory import MemoryStore
from txsessions.testing import RecordingStore, resultOf

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
