"""
A request that comes with the cookie of an ended session can ask why.
"""

from __future__ import annotations

from typing import Any

import pytest
from pages import Page
from scenes import SharedStore, cookie, count, who
from visits import logIn, logOut

from txsessions import SessionManager, Site
from txsessions.lifetime import ABSOLUTE, EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.stores.remembrance import RETENTION
from txsessions.testing import resultOf


def why(request: Any) -> bytes:
    """
    Tell why the session has ended.
    """
    return str(request.getSessionEndReason()).encode()


@pytest.fixture(params=["own", "shared"])
def it(request, scene):
    """
    A site on a store of its own, and one that asks the store at each request.
    """
    return scene(SharedStore() if request.param == "shared" else None)


class TestEndReason:
    """
    Why a session has ended.
    """

    def test_none(self, it):
        """
        Without a cookie, with one that we do not know, with one of a live session: no reason.
        """
        assert it.get(it.browser(), why).body == b"None"
        strange = it.get(it.browser(), why, headers=cookie(b"a" * 64))
        assert strange.body == b"None" and strange.cookies == ()
        browser = it.browser()
        it.get(browser, count)
        assert it.get(browser, why).body == b"None"

    def test_idle(self, it):
        """
        Nobody has used it for too long, swept or not.
        """
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(900)
        assert it.get(browser, why).body == IDLE.encode()
        resultOf(it.site.sessionManager.sweep())
        assert it.get(browser, why).body == IDLE.encode()

    def test_absolute(self, it):
        """
        It has reached its greatest age.
        """
        browser = it.browser()

        def brief(request: Any) -> bytes:
            request.getSession().absoluteTimeout = 60
            return b""

        it.get(browser, brief)
        it.clock.advance(60)
        assert it.get(browser, why).body == ABSOLUTE.encode()

    def test_logout(self, it):
        """
        It was logged out, in this browser or in another one with the same cookie.
        """
        browser = it.browser()
        it.get(browser, logIn("anna"))
        headers = cookie(*(session.uid for session in it.site.sessions.values()))
        it.get(browser, logOut)
        assert it.get(it.browser(), why, headers=headers).body == LOGOUT.encode()

    def test_revoked(self, it):
        """
        All sessions of its owner were ended; the cookie of a session that lives comes first.
        """
        browser = it.browser()
        it.get(browser, logIn("anna"))
        (old,) = [session.uid for session in it.site.sessions.values()]
        assert resultOf(it.site.sessionManager.clear("anna")) == 1
        assert it.get(browser, why).body == REVOKED.encode()
        assert it.get(browser, who).body == b"none"
        other = it.browser()
        it.get(other, logIn("berta"))
        (new,) = [session.uid for session in it.site.sessions.values()]
        for tokens in ((old, new), (new, old)):
            assert it.get(it.browser(), who, headers=cookie(*tokens)).body == b"'berta'"
            assert it.get(it.browser(), why, headers=cookie(*tokens)).body == b"None"

    def test_forgotten(self, it):
        """
        As long as the end is remembered, which is an hour.
        """
        browser = it.browser()
        it.get(browser, logIn("anna"))
        resultOf(it.site.sessionManager.clear("anna"))
        it.clock.advance(RETENTION - 1)
        assert it.get(browser, why).body == REVOKED.encode()
        it.clock.advance(2)
        resultOf(it.site.sessionManager.sweep())
        assert it.get(browser, why).body == b"None"

    def test_sameRequest(self, it):
        """
        A handler that has logged out can ask as well.
        """

        async def leave(request: Any) -> bytes:
            await request.getSession().logOut()
            request.peekSession()
            return str(request.getSessionEndReason()).encode()

        browser = it.browser()
        it.get(browser, count)
        assert it.get(browser, leave).body == LOGOUT.encode()

    def test_private(self, it):
        """
        Such an answer is kept by no cache.
        """
        response = it.get(it.browser(), why)
        assert b"Cookie" in response.headers.getRawHeaders(b"vary", [b""])[0]


def test_evicted(scene):
    """
    Its owner had too many: the browser that was there first can say so.
    """
    it = scene()
    site = Site(Page(lambda request: it._answers[request.path](request)), reactor=it.clock)
    site.sessionManager = SessionManager(it.store, it.clock, maxSessionsPerKey=1)
    browsers = [it.browser(site), it.browser(site)]
    it.get(browsers[0], logIn("anna"))
    it.clock.advance(1)
    it.get(browsers[1], logIn("anna"))
    assert it.get(browsers[0], why).body == EVICTED.encode()
    assert it.get(browsers[1], who).body == b"'anna'"
