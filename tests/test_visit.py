"""
What a response tells the browser of the session: its token, a new one, that it is
gone, or nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import COOKIE, count, gated, look, setCookies, who
from visits import logIn, logOut, visitor

from txsessions import SessionCookie
from txsessions.errors import CookieTooLate
from txsessions.testing import FailingStore, resultOf
from txsessions.token import SECURE


class TestTelling:
    """
    One request after the other.
    """

    def test_first(self, scene):
        """
        The first getSession() sets the cookie, of an empty session too; later ones
        set none.
        """
        it = scene()
        browser = it.browser()

        def answer(request: Any) -> bytes:
            session = request.getSession()
            assert request.getSession() is session
            return session.uid

        first, second = it.get(browser, answer), it.get(browser, answer)
        assert [cookie.name for cookie in first.cookies] == [COOKIE]
        assert first.cookies[0].value == first.body == second.body
        assert setCookies(second) == []

    def test_atOnce(self, scene):
        """
        The cookie stands among the response's as soon as getSession() returns.
        """
        it = scene()

        def answer(request: Any) -> bytes:
            session = request.getSession()
            (line,) = request.cookies
            assert line.startswith(COOKIE + b"=" + session.uid)
            return b""

        assert it.get(it.browser(), answer).code == 200

    def test_attributes(self, scene):
        """
        By default the cookie is HttpOnly and SameSite=Lax, for the whole site.
        """
        it = scene()
        (cookie,) = it.get(it.browser(), count).cookies
        assert cookie.attributes == {b"path": b"/", b"httponly": b"", b"samesite": b"Lax"}

    def test_peek(self, scene):
        """
        peekSession() gives None to a stranger, and makes no session and no cookie.
        """
        it = scene()
        response = it.get(it.browser(), look)
        assert (response.body, setCookies(response)) == (b"none", [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)

    def test_unknownToken(self, scene):
        """
        A token that we did not give out is never adopted.
        """
        it = scene()
        forged = b"ab" * 32
        response = it.get(it.browser(), count, headers={"Cookie": COOKIE + b"=" + forged})
        assert response.body == b"1"
        assert response.cookies[0].value != forged
        assert forged not in it.site.sessions

    def test_logOut(self, scene):
        """
        The response of a log-out deletes the cookie and repeats every attribute, so
        that browsers find the one that is meant.
        """
        it = scene()
        policy = it.site.sessionCookie = SessionCookie(
            secure="always",
            prefix="__Host-",
            sameSite="none",
            partitioned=True,
            maxAge=100,
        )
        browser = it.browser(secure=True)
        (made,) = it.get(browser, count).cookies
        (gone,) = it.get(browser, logOut).cookies
        assert made.name == gone.name == policy.nameFor(SECURE)
        assert gone.value == b""
        ages = {b"max-age", b"expires"}
        assert {name: gone.attributes[name] for name in gone.attributes.keys() - ages} == {
            name: made.attributes[name] for name in made.attributes.keys() - ages
        }
        assert (made.attributes[b"max-age"], gone.attributes[b"max-age"]) == (b"100", b"0")
        assert len(browser.cookies) == 0
        assert it.memory._records == {}

    def test_expireWithoutWaiting(self, scene):
        """
        expire() in a handler that does not wait: the response does.
        """
        it = scene(wrap=gated)
        browser = visitor(it)
        response = it.ask(browser, lambda request: (request.getSession().expire(), b"bye")[1])
        assert not response.called
        it.store.openAll()
        assert resultOf(response).cookies[0].value == b""
        assert it.memory._records == {}

    @pytest.mark.parametrize("wrap", [lambda store: store, gated])
    def test_logOutFails(self, scene, wrap):
        """
        A log-out that the store cannot do is a 503 without a deletion cookie, and
        the session is there again when the store is.
        """
        it = scene(wrap=lambda store: wrap(FailingStore(store)))
        failing = it.store if isinstance(it.store, FailingStore) else it.store.store
        browser = visitor(it)
        failing.fail("deleteSession")
        for answer in (logOut, lambda request: (request.getSession().expire(), b"bye")[1]):
            response = it.ask(browser, answer)
            if failing is not it.store:
                it.store.openAll()
            assert (resultOf(response).code, setCookies(resultOf(response))) == (503, [])
        failing.mend()
        response = it.ask(browser, count)
        if failing is not it.store:
            it.store.openAll()
        assert resultOf(response).body == b"2"
        it.errors.flush("the test broke the store", "Could not end session")

    def test_expireTriedAgain(self, scene):
        """
        An expire() whose store was down for a moment is made good by the response.
        """
        it = scene(wrap=FailingStore)
        browser = visitor(it)

        def answer(request: Any) -> bytes:
            it.store.fail("deleteSession")
            request.getSession().expire()
            it.store.mend()
            return b"bye"

        response = it.get(browser, answer)
        assert (response.code, response.cookies[0].value) == (200, b"")
        assert it.memory._records == {}
        it.errors.flush("Could not end session")

    def test_newAfterLogOut(self, scene):
        """
        getSession() after a log-out in the same request gives a new session, and
        there is one cookie.
        """
        it = scene(wrap=gated)
        browser = visitor(it)
        seen = []

        async def answer(request: Any) -> bytes:
            before = request.getSession()
            await before.logOut()
            after = request.getSession()
            seen.extend([before, after, request.getSession()])
            return count(request)

        response = it.ask(browser, answer)
        it.store.openAll()
        response = resultOf(response)
        before, after, again = seen
        assert before is not after is again
        assert before.endReason == "logout"
        assert after.data == {"n": 1}
        assert [cookie.value for cookie in response.cookies] == [after.uid]
        assert list(it.memory._records) == [after.sid]

    def test_newAfterExpire(self, scene):
        """
        So it is without waiting: the response waits for the old end as well as for
        the new beginning, and a failure of either is one.
        """

        def answer(request: Any) -> bytes:
            request.getSession().expire()
            return count(request)

        it = scene(wrap=lambda store: gated(FailingStore(store)))
        browser = visitor(it)
        response = it.ask(browser, answer)
        assert it.store.names == ["deleteSession", "createSession"]
        it.store.open("createSession")
        assert not response.called
        it.store.openAll()
        assert len(resultOf(response).cookies) == 1
        it.store.store.fail("deleteSession")
        response = it.ask(browser, answer)
        it.store.openAll()
        assert (resultOf(response).code, setCookies(resultOf(response))) == (503, [])
        it.errors.flush("the test broke the store", "Could not end session")

    def test_peekAfterLogOut(self, scene):
        """
        peekSession() after a log-out in the same request gives None, and the cookie
        is deleted.
        """
        it = scene()
        browser = visitor(it)

        async def answer(request: Any) -> bytes:
            await request.getSession().logOut()
            return look(request)

        response = it.get(browser, answer)
        assert response.body == b"none"
        assert [cookie.value for cookie in response.cookies] == [b""]

    def test_rework(self, scene):
        """
        The response of a rework carries the new token, once.
        """
        it = scene()
        browser = visitor(it)
        before = browser.cookies.get(COOKIE)

        async def answer(request: Any) -> bytes:
            return await request.getSession().rework()

        response = it.get(browser, answer)
        assert [cookie.value for cookie in response.cookies] == [response.body]
        assert response.body != before
        assert it.get(browser, look).body == b"1"
        assert setCookies(it.get(browser, count)) == []
        old = it.get(it.browser(), look, headers={"Cookie": COOKIE + b"=" + before})
        assert old.body == b"none"

    @pytest.mark.parametrize("wrap", [lambda store: store, gated])
    def test_reworkWithoutWaiting(self, scene, wrap):
        """
        A handler that does not wait for its log-in: the response does, and carries
        the new token.
        """
        it = scene(wrap=wrap)
        browser = visitor(it)
        before = browser.cookies.get(COOKIE)
        response = it.ask(browser, lambda request: (request.getSession().logIn("anna"), b"")[1])
        if wrap is gated:
            it.store.openAll()
        assert len(resultOf(response).cookies) == 1
        assert browser.cookies.get(COOKIE) != before
        response = it.ask(browser, who)
        if wrap is gated:
            it.store.openAll()
        assert resultOf(response).body == b"'anna'"

    def test_twiceInOneRequest(self, scene):
        """
        A log-in, a rework and a change in one request make one cookie, that of the
        last token.
        """
        it = scene()
        browser = visitor(it)

        async def answer(request: Any) -> bytes:
            session = request.getSession()
            await session.logIn("anna")
            await session.rework()
            count(request)
            return session.uid

        response = it.get(browser, answer)
        assert [cookie.value for cookie in response.cookies] == [response.body]
        assert it.get(browser, who).body == b"'anna'"

    def test_logInOfStranger(self, scene):
        """
        A log-in in a browser's first request makes one cookie.
        """
        it = scene()
        browser = it.browser()
        response = it.get(browser, logIn("anna"))
        assert len(response.cookies) == 1
        assert it.get(browser, who).body == b"'anna'"

    def test_newEndedAtOnce(self, scene):
        """
        A session that begins and ends in one request leaves no cookie and no record.
        """
        it = scene()
        response = it.get(it.browser(), logOut)
        assert (response.code, setCookies(response)) == (200, [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)

    def test_tooLate(self, scene):
        """
        A session, or a token, that begins after the headers have left is an error
        that says so; it is not silently dropped.
        """
        seen = []

        async def begin(request: Any) -> bytes:
            request.write(b"begun")
            with pytest.raises(CookieTooLate, match="before the first write"):
                request.getSession()
            seen.append(request.peekSession())
            return b""

        async def renew(request: Any) -> bytes:
            session = request.getSession()
            request.write(b"begun")
            for call in (session.rework, lambda: session.logIn("anna")):
                with pytest.raises(CookieTooLate, match="before the first write"):
                    await call()
            return session.uid

        it = scene()
        browser = it.browser()
        assert it.get(browser, begin).body == b"begun"
        assert seen == [None]
        assert it.memory._records == {}
        browser = visitor(it)
        assert it.get(browser, renew).body[5:] == browser.cookies.get(COOKIE)
        assert it.get(browser, look).body == b"1"

    def test_tooLateWhileHeld(self, scene):
        """
        Whether the headers wait for a slow store or have left makes no difference.
        """

        def answer(request: Any) -> bytes:
            count(request)
            request.write(b"held")
            with pytest.raises(CookieTooLate):
                request.getSession(forceNotSecure=True)
            return b""

        it = scene(wrap=gated)
        response = it.ask(it.browser(secure=True).connect(), answer)
        it.store.openAll()
        assert resultOf(response).body == b"held"

    def test_foundAfterHeaders(self, scene):
        """
        A session that the cookie has opened may be asked for after the headers have
        left, and what changes in it is saved.
        """
        it = scene()
        browser = visitor(it)

        def answer(request: Any) -> bytes:
            request.write(b"begun ")
            return count(request)

        assert it.get(browser, answer).body == b"begun 2"
        assert it.get(browser, look).body == b"2"
