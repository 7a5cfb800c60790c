"""
Sites whose cookies are sealed and whose data are encrypted; and tokens that are renewed by age.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from pages import Page
from scenes import SharedStore, cookie, count, look, setCookies, who
from visits import logIn, logOut

from txsessions import SessionManager, Site
from txsessions.errors import TooManySessions
from txsessions.testing import RecordingStore
from txsessions.token import parse

OLD, NEW = b"o" * 32, b"n" * 32


def siteWith(it: Any, **options: Any) -> Any:
    """
    Another site of a scene, with a manager of these options.
    """
    site = Site(Page(lambda request: it._answers[request.path](request)), reactor=it.clock)
    site.sessionManager = SessionManager(it.store, it.clock, **options)
    return site


def token(response: Any) -> bytes:
    """
    The value of the cookie that a response sets.
    """
    [line] = setCookies(response)
    return line.partition(b";")[0].partition(b"=")[2]


class TestSealing:
    """
    Sealed cookies.
    """

    def test_sealed(self, scene):
        """
        The browser holds something else than the token; it opens the session, the token does not.
        """
        it = scene()
        site = siteWith(it, keys=NEW)
        browser = it.browser(site)
        sealed = token(it.get(browser, count))
        (session,) = site.sessions.values()
        assert parse(session.uid) is not None and parse(sealed) is None
        assert it.get(browser, count).body == b"2"
        for spoiled in (session.uid, sealed[:-1], sealed + b"A", b"B" + sealed[1:]):
            assert it.get(it.browser(site), look, headers=cookie(spoiled)).body == b"none"

    @pytest.mark.parametrize("isEncrypting", [False, True])
    def test_begun(self, scene, isEncrypting):
        """
        When keys are introduced nobody is logged out who comes in time: until then a cookie
        without a seal is taken, and given out anew with one; after it only that counts.
        """
        it = scene()
        before = siteWith(it)
        browsers = [it.browser(before) for _ in range(2)]
        plain = [token(it.get(browser, count)) for browser in browsers]
        until = it.clock.seconds() + 100
        site = siteWith(it, keys=NEW, encryptData=isEncrypting, plainUntil=until)
        answer = it.get(it.browser(site), count, headers=cookie(plain[0]))
        assert answer.body == b"2"
        sealed = token(answer)
        assert parse(sealed) is None
        it.clock.advance(99)
        assert it.get(it.browser(site), look, headers=cookie(plain[1])).body != b"none"
        it.clock.advance(1)
        for late in plain:
            assert it.get(it.browser(site), look, headers=cookie(late)).body == b"none"
        assert it.get(it.browser(site), count, headers=cookie(sealed)).body == b"3"

    def test_begunWithout(self, scene):
        """
        Without that switch no cookie without a seal is taken, also when keys have just been
        introduced.
        """
        it = scene()
        plain = token(it.get(it.browser(siteWith(it)), count))
        site = siteWith(it, keys=NEW)
        assert it.get(it.browser(site), look, headers=cookie(plain)).body == b"none"

    def test_costsNothing(self, scene):
        """
        What we did not seal costs no look at the store, and sets no cookie.
        """
        it = scene(SharedStore(), wrap=RecordingStore)
        site = siteWith(it, keys=NEW)
        browser = it.browser(site)
        it.get(browser, count)
        it.store.calls.clear()
        for value in (os.urandom(32).hex().encode(), b"A" * 108, b"", b"=" * 50, b"%" * 4000):
            response = it.get(it.browser(site), look, headers=cookie(value))
            assert response.body == b"none" and setCookies(response) == []
        assert it.store.calls == []

    def test_rotation(self, scene):
        """
        After a new key each visitor's cookie is given out anew under it, and then the old key may
        go: nobody is logged out.
        """
        it = scene()
        browser = it.browser(siteWith(it, keys=OLD))
        first = token(it.get(browser, logIn("anna")))
        both = it.browser(siteWith(it, keys=[NEW, OLD]), cookies=browser.cookies)
        second = token(it.get(both, who))
        assert second != first
        assert setCookies(it.get(both, who)) == []
        new = it.browser(siteWith(it, keys=NEW), cookies=both.cookies)
        assert it.get(new, who).body == b"'anna'"
        left = it.get(it.browser(siteWith(it, keys=NEW)), who, headers=cookie(first))
        assert left.body == b"none"

    def test_audience(self, scene):
        """
        A cookie that was sealed for plain HTTP opens nothing over HTTPS.
        """
        it = scene()
        site = siteWith(it, keys=NEW)
        sealed = token(it.get(it.browser(site), logIn("anna")))
        headers = cookie(sealed, name=b"TWISTED_SECURE_SESSION")
        secure = it.browser(site, secure=True)
        assert it.get(secure, who, headers=headers).body == b"none"

    def test_logOut(self, scene):
        """
        A log-out works as without.
        """
        it = scene()
        browser = it.browser(siteWith(it, keys=NEW))
        it.get(browser, logIn("anna"))
        assert it.get(browser, logOut).code == 200
        assert it.get(browser, who).body == b"none"
        assert it.memory._records == {}

    def test_encrypted(self, scene):
        """
        The data are encrypted in the store, the owner is not.
        """
        it = scene()
        browser = it.browser(siteWith(it, keys=NEW, encryptData=True))

        async def fill(request: Any) -> bytes:
            session = request.getSession()
            session.data["pin"] = "tuna-4711"
            await session.logIn("anna")
            return b""

        it.get(browser, fill)
        [record] = it.memory._records.values()
        assert b"tuna" not in b"".join(record.attributes.values())
        assert record.sessionKey == "anna"
        site = siteWith(it, keys=OLD, encryptData=True)
        before = dict(it.memory._records)
        wrong = it.get(it.browser(site, cookies=browser.cookies), count)
        assert wrong.code == 503 and setCookies(wrong) == []
        assert it.memory._records == before
        it.errors.flush("encrypted with the key")


class TestRenewal:
    """
    Tokens that are renewed by age.
    """

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_renewed(self, scene, kind):
        """
        A token lives for its interval; at the next page after that there is another one, and the
        old one is dead at once.
        """
        it = scene(None if kind is None else kind())
        browser = it.browser(siteWith(it, reworkInterval=3600, sessionTimeout=10_000))
        first = token(it.get(browser, count))
        it.clock.advance(3599)
        assert setCookies(it.get(browser, count)) == []
        it.clock.advance(1)
        response = it.get(browser, count)
        second = token(response)
        assert response.body == b"3" and second != first
        assert it.get(it.browser(browser.site), look, headers=cookie(first)).body == b"none"
        it.clock.advance(3599)
        assert setCookies(it.get(browser, count)) == []
        it.clock.advance(1)
        assert token(it.get(browser, count)) not in (first, second)

    def test_pagesOnly(self, scene):
        """
        What belongs to a page is given no new token: the page asks for it with the one it has.
        """
        it = scene()
        browser = it.browser(siteWith(it, reworkInterval=60))
        it.get(browser, count)
        it.clock.advance(61)
        for mode in (b"cors", b"no-cors", b"same-origin"):
            part = it.get(browser, count, headers={"Sec-Fetch-Mode": mode})
            assert setCookies(part) == []
        page = it.get(browser, count, headers={"Sec-Fetch-Mode": b"navigate"})
        assert len(setCookies(page)) == 1

    def test_absolute(self, scene):
        """
        No renewal extends the absolute time-out.
        """
        it = scene()
        site = siteWith(it, reworkInterval=60, absoluteTimeout=600, sessionTimeout=600)
        browser = it.browser(site)
        it.get(browser, count)
        for _ in range(9):
            it.clock.advance(61)
            assert it.get(browser, look).body == b"1"
        it.clock.advance(51)
        assert it.get(browser, look).body == b"none"


class TestCap:
    """
    How many sessions one owner may have, on a site.
    """

    def test_evicted(self, scene):
        """
        The session that logged in longest ago makes room, and its callbacks run at once.
        """
        it = scene()
        site = siteWith(it, maxSessionsPerKey=2)
        browsers = [it.browser(site) for _ in range(3)]
        told: list[int] = []

        def watched(number: int) -> Any:
            async def answer(request: Any) -> bytes:
                session = request.getSession()
                session.notifyOnExpire(lambda: told.append(number))
                await session.logIn("anna")
                return b""

            return answer

        for number, browser in enumerate(browsers):
            it.get(browser, watched(number))
            it.clock.advance(1)
        assert told == [0]
        assert [it.get(each, who).body for each in browsers] == [b"none", b"'anna'", b"'anna'"]

    def test_refused(self, scene):
        """
        If nobody makes room the handler is told, and its visitor stays who he was.
        """
        it = scene()
        site = siteWith(it, maxSessionsPerKey=1, onExceed="refuse")
        it.get(it.browser(site), logIn("anna"))

        async def tryToLogIn(request: Any) -> bytes:
            session = request.getSession()
            session.data["cart"] = 1
            try:
                await session.logIn("anna")
            except TooManySessions as e:
                return str(e).encode()
            return b"in"

        browser = it.browser(site)
        assert b"end one of them first" in it.get(browser, tryToLogIn).body
        assert it.get(browser, who).body == b"None"
        assert sum(record.sessionKey == "anna" for record in it.memory._records.values()) == 1

    def test_assigned(self, scene):
        """
        No way leads around the limit, also not to set the owner by hand.
        """
        it = scene()
        site = siteWith(it, maxSessionsPerKey=1)

        def assign(request: Any) -> bytes:
            request.getSession().sessionKey = "anna"
            return b""

        for _ in range(3):
            it.get(it.browser(site), assign)
            it.clock.advance(1)
        assert len(it.memory._records) == 1


def test_timeouts(scene):
    """
    Sessions live as long as the manager says, unless their class says something.
    """
    it = scene()
    site = siteWith(it, sessionTimeout=60, absoluteTimeout=90)
    browser = it.browser(site)
    it.get(browser, count)
    it.clock.advance(59)
    assert it.get(browser, look).body == b"1"
    it.clock.advance(31)
    assert it.get(browser, look).body == b"none"
