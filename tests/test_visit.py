"""
What a response tells the browser of the session: its token, a new one, that it is
gone, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from itertools import permutations
from typing import Any

import pytest
from scenes import COOKIE, Scene, SharedStore, count, finish, gated, look, scenes, setCookies, who
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.web.server import NOT_DONE_YET

from txsessions import Session, SessionCookie
from txsessions.errors import CookieTooLate
from txsessions.stores.memory import MemoryStore
from txsessions.testing import Browser, CookieJar, FailingStore, resultOf
from txsessions.testing.cookiejar import Location
from txsessions.token import SECURE

HOME = Location("localhost", b"/", False)


@pytest.fixture
def scene():
    """
    Makes scenes.
    """
    yield from scenes()


class Paused:
    """
    A handler that gets its session at once and goes on when the test says so.

    @ivar sessions: What it got, in the order of the requests.
    """

    def __init__(self, then: Callable[[Any], Any]) -> None:
        self.then = then
        self.sessions: list[Any] = []
        self.waiting: list[Deferred[None]] = []

    async def __call__(self, request: Any) -> bytes:
        self.sessions.append(request.peekSession())
        self.waiting.append(Deferred())
        await self.waiting[-1]
        result = self.then(request)
        return result if isinstance(result, bytes) else await result

    def goOn(self, number: int = 0) -> None:
        """
        Let a request go on.
        """
        self.waiting[number].callback(None)


def logIn(name: str) -> Callable[[Any], Any]:
    """
    A handler that logs somebody in.
    """

    async def answer(request: Any) -> bytes:
        await request.getSession().logIn(name)
        return b"welcome"

    return answer


async def logOut(request: Any) -> bytes:
    """
    A handler that logs out.
    """
    await request.getSession().logOut()
    return b"bye"


def jarAfter(browser: Browser, responses: Any) -> CookieJar:
    """
    The cookies of a browser when these responses have arrived in this order.
    """
    jar = CookieJar(browser.cookies.clock)
    for header in browser.initial:  # type: ignore[attr-defined]
        jar.receive(header, HOME)
    for response in responses:
        for header in setCookies(response):
            jar.receive(header, HOME)
    return jar


def visitor(it: Scene, store: Any = None) -> Browser:
    """
    A browser with a session.
    """
    browser = it.browser()
    response = it.ask(browser, count)
    if hasattr(it.store, "openAll"):
        it.store.openAll()
    browser.initial = setCookies(resultOf(response))  # type: ignore[attr-defined]
    return browser


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


class TestEmpty:
    """
    storeEmptySessions=False.
    """

    @pytest.fixture
    def it(self, scene):
        """
        A scene whose site stores no empty sessions.
        """
        it = scene()
        it.site.storeEmptySessions = False
        return it

    def test_looks(self, it):
        """
        Visitors who only look cost the store nothing, get no cookie, and leave
        nothing in memory.
        """
        for _ in range(100):
            response = it.get(it.browser(), lambda request: request.getSession().uid)
            assert (response.code, setCookies(response)) == (200, [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)

    @pytest.mark.parametrize(
        "keep",
        [
            lambda session: session.data.update(key=1),
            lambda session: setattr(session, "sessionKey", "anna"),
            lambda session: session.notifyOnExpire(lambda: None),
        ],
    )
    def test_keeps(self, it, keep):
        """
        Data, an owner, a callback are something to keep.
        """

        def answer(request: Any) -> bytes:
            session = request.getSession()
            keep(session)
            return session.uid

        browser = it.browser()
        response = it.get(browser, answer)
        assert browser.cookies.get(COOKIE) == response.body
        assert len(it.memory._records) == 1

    def test_laterKept(self, it):
        """
        A session that somebody goes on to hold, and that gets a callback later, is
        told of its end.
        """
        held, told = [], []
        it.get(it.browser(), lambda request: (held.append(request.getSession()), b"")[1])
        held[0].notifyOnExpire(lambda: told.append(1))
        assert len(it.site.sessions) == 1
        it.clock.advance(900)
        assert told == [1]

    def test_logOut(self, it):
        """
        A log-out deletes the cookie, though the handler goes on with a new session
        that is not stored.
        """
        browser = visitor(it)

        async def answer(request: Any) -> bytes:
            await request.getSession().logOut()
            request.getSession()
            return b"bye"

        assert [cookie.value for cookie in it.get(browser, answer).cookies] == [b""]
        assert len(browser.cookies) == 0


class TestOverlap:
    """
    Requests of one browser that overlap.
    """

    @pytest.mark.parametrize("isShared", [False, True])
    def test_loggedOutStaysOut(self, scene, isShared):
        """
        A slow handler that wrote to a session which another request has logged out
        revives nothing, gets its normal answer, and touches no cookie.
        """
        it = scene(SharedStore() if isShared else MemoryStore())
        browser = visitor(it)
        other = it.browser(it.makeSite(), cookies=browser.cookies) if isShared else browser

        def write(request: Any) -> bytes:
            slow.sessions[0].data["late"] = 1
            return b"fine"

        slow = Paused(write)
        response = it.ask(browser, slow)
        slow.sessions[0].data["early"] = 1
        assert it.get(other, logOut).code == 200
        slow.goOn()
        assert (resultOf(response).code, resultOf(response).body) == (200, b"fine")
        assert setCookies(resultOf(response)) == []
        assert it.memory._records == {}
        old = browser.initial[0].partition(b";")[0]
        assert it.get(it.browser(), look, headers={"Cookie": old}).body == b"none"

    def test_endedBeforeAsked(self, scene):
        """
        A session that has ended before a slow handler asks for it is none for it, and
        does not stay in memory because of that.
        """
        it = scene()
        browser = visitor(it)
        waiting: Deferred[None] = Deferred()

        async def answer(request: Any) -> bytes:
            await waiting
            return look(request)

        response = it.ask(browser, answer)
        it.get(browser, logOut)
        waiting.callback(None)
        assert resultOf(response).body == b"none"
        assert len(it.site.sessions) == 0

    def test_asksAgain(self, scene):
        """
        One that asks for the session again then gets a new one; it is stored, and
        the browser told of it, only if there is something in it.
        """
        it = scene()
        for answer, records in ((lambda request: request.getSession().uid, 0), (count, 1)):
            browser = visitor(it)
            slow = Paused(answer)
            response = it.ask(browser, slow)
            it.get(browser, logOut)
            slow.goOn()
            assert len(setCookies(resultOf(response))) == len(it.memory._records) == records

    def test_control(self, scene):
        """
        The tests notice a store that saves what has ended.
        """

        class Reviving(SharedStore):
            def saveSession(self, change: Any) -> Any:
                if change.sid not in self._records:
                    self._records[change.sid] = self.last
                return super().saveSession(change)

            def deleteSession(self, sid: str, reason: str = "") -> Any:
                self.last = self._records[sid]
                return super().deleteSession(sid, reason)

        it = scene(Reviving())
        browser = visitor(it)

        def write(request: Any) -> bytes:
            slow.sessions[0].data["late"] = 1
            return b"fine"

        slow = Paused(write)
        response = it.ask(browser, slow)
        it.get(it.browser(it.makeSite(), cookies=browser.cookies), logOut)
        slow.goOn()
        resultOf(response)
        assert it.memory._records != {}

    @pytest.mark.parametrize("isShared", [False, True])
    def test_sixKeys(self, scene, isShared):
        """
        Six requests that overlap and set one key each: six keys.
        """
        it = scene(SharedStore() if isShared else MemoryStore())
        browser = visitor(it)
        browsers = [
            it.browser(it.makeSite(), cookies=browser.cookies) if isShared else browser
            for _ in range(6)
        ]

        def write(request: Any) -> bytes:
            request.getSession().data[request.path.decode()] = 1
            return b""

        slow = Paused(write)
        responses = [it.ask(each, slow) for each in browsers]
        for number in (3, 0, 5, 1, 4, 2):
            slow.goOn(number)
        assert [resultOf(response).code for response in responses] == [200] * 6
        (record,) = it.memory._records.values()
        assert len(record.attributes) == 7

    def test_sixKeysControl(self, scene):
        """
        The test notices a store that keeps whole records as they were last seen.
        """
        import attrs

        class Overwriting(SharedStore):
            def saveSession(self, change: Any) -> Any:
                before = self._records[change.sid]
                done = super().saveSession(change)
                self._records[change.sid] = attrs.evolve(
                    self._records[change.sid], attributes=dict(change.set)
                )
                assert before is not None
                return done

        it = scene(Overwriting())
        browser = visitor(it)
        browsers = [it.browser(it.makeSite(), cookies=browser.cookies) for _ in range(6)]
        slow = Paused(
            lambda request: (
                request.getSession().data.__setitem__(request.path.decode(), 1),
                b"",
            )[1]
        )
        responses = [it.ask(each, slow) for each in browsers]
        for number in range(6):
            slow.goOn(number)
        for response in responses:
            resultOf(response)
        (record,) = it.memory._records.values()
        assert len(record.attributes) < 7

    def test_committedIntoReworked(self, scene):
        """
        A request that had loaded the session before another one reworked it commits
        into it, and its late answer never touches the new cookie.
        """
        for isShared in (False, True):
            it = scene(SharedStore() if isShared else MemoryStore())
            browser = visitor(it)
            other = it.browser(it.makeSite(), cookies=browser.cookies) if isShared else browser
            slow = Paused(count)
            response = it.ask(other, slow)
            assert it.get(browser, logIn("anna")).code == 200
            slow.goOn()
            assert resultOf(response).body == b"2"
            assert setCookies(resultOf(response)) == []
            assert it.get(browser, look).body == b"2"
            assert it.get(browser, who).body == b"'anna'"

    def test_lateArrival(self, scene):
        """
        A request that was sent with the old token, and arrives when another one has
        replaced it, gets a session of its own, and no cookie over the new one.
        """
        for isShared in (False, True):
            it = scene(SharedStore() if isShared else MemoryStore())
            browser = visitor(it)
            old = {"Cookie": browser.initial[0].partition(b";")[0]}
            other = it.browser(it.makeSite()) if isShared else it.browser()
            it.get(browser, logIn("anna"))
            late = it.get(other, lambda request: request.getSession().uid, headers=old)
            assert late.code == 200
            assert setCookies(late) == []
            assert len(it.memory._records) == 1
            assert len(it.site.sessions) == 1

    def test_lateArrivalWrites(self, scene):
        """
        What such a request writes is kept, and its browser told where.
        """
        it = scene()
        browser = visitor(it)
        old = {"Cookie": browser.initial[0].partition(b";")[0]}
        it.get(browser, logIn("anna"))
        late = it.get(it.browser(), count, headers=old)
        assert late.body == b"1"
        assert len(late.cookies) == 1

    @pytest.mark.parametrize("isShared", [False, True])
    def test_twoTabs(self, scene, isShared):
        """
        Two tabs log in at the same time.  Whichever request goes on first, whichever
        store operation comes first, whichever response arrives first: the browser
        ends logged in, the old token opens nothing, and one token opens the session.
        """
        for schedule in permutations(range(4)):
            it = scene(SharedStore() if isShared else MemoryStore(), wrap=gated)
            browser = visitor(it)
            tabs = [browser, it.browser(it.makeSite() if isShared else it.site)]
            tabs[1].cookies = browser.cookies
            steps = Paused(logIn("anna"))
            responses = [it.ask(tab, steps) for tab in tabs]
            while "loadSession" in it.store.names:
                it.store.open("loadSession")
            assert len(steps.waiting) == 2
            for turn in schedule:
                if turn < 2:
                    steps.goOn(turn)
                elif it.store.gates:
                    it.store.gates[-1 if turn == 3 else 0].open()
            it.store.openAll()
            results = [resultOf(response) for response in responses]
            for order in permutations(results):
                jar = jarAfter(browser, order)
                live = it.makeSite()
                final = it.browser(live, cookies=jar)
                response = it.ask(final, who)
                it.store.openAll()
                assert resultOf(response).body == b"'anna'", (schedule, order)
            tokens = {cookie.value for response in results for cookie in response.cookies}
            tokens.add(browser.initial[0].partition(b";")[0].partition(b"=")[2])
            opening = [token for token in tokens if self._opens(it, token)]
            assert len(opening) == 1

    def _opens(self, it: Scene, token: bytes) -> bool:
        """
        Whether a token opens a session.
        """
        browser = it.browser(it.makeSite())
        response = it.ask(browser, look, headers={"Cookie": COOKIE + b"=" + token})
        it.store.openAll()
        return resultOf(response).body != b"none"

    def test_twoTabsControl(self, scene):
        """
        The test notices a session that takes a new token for each log-in.
        """

        class Greedy(Session):
            def _rework(self, sessionKey: Any) -> Any:
                self.isTokenUnseen = False
                return super()._rework(sessionKey)

        it = scene()
        it.site.sessionFactory = Greedy
        browser = visitor(it)
        steps = Paused(logIn("anna"))
        responses = [it.ask(browser, steps), it.ask(browser, steps)]
        steps.goOn(0)
        steps.goOn(1)
        first, second = (resultOf(response) for response in responses)
        jar = jarAfter(browser, [second, first])
        assert it.get(it.browser(cookies=jar), who).body == b"none"

    def test_reworkerGone(self, scene):
        """
        When the client of a rework has gone before its response, the next request
        that wants a new token, and had loaded the session before, tells the browser.
        """
        it = scene()
        browser = visitor(it)

        async def rework(request: Any) -> bytes:
            await request.getSession().rework()
            return b""

        steps = Paused(rework)
        connection = browser.connect()
        gone, response = it.ask(connection, steps), it.ask(browser, steps)
        lost: list[Any] = []

        async def reworkAndStay(request: Any) -> None:
            await request.getSession().rework()
            lost.append(request)

        stays = browser.connect()
        staying = it.ask(stays, reworkAndStay)
        stays.disconnect()
        connection.disconnect()
        steps.goOn(1)
        assert len(resultOf(response).cookies) == 1
        assert it.get(browser, look).body == b"1"
        steps.goOn(0)
        for each in (gone, staying):
            each.addErrback(lambda failure: None)

    def test_anotherOwner(self, scene):
        """
        A log-in for another owner never goes on under a token that somebody else was
        given a moment ago, though they share a session.
        """
        it = scene()
        victim = visitor(it)
        mallory = it.browser()
        mallory.cookies.receive(victim.initial[0], HOME)
        slow = Paused(logIn("anna"))
        response = it.ask(victim, slow)
        it.get(mallory, logIn("mallory"))
        slow.goOn()
        assert len(resultOf(response).cookies) == 1
        assert it.get(victim, who).body == b"'anna'"
        assert it.get(mallory, who).body == b"none"


class TestAttribution:
    """
    Whose response carries the cookie of a log-in or a log-out.
    """

    def handlers(self, act: Callable[[Any], Any]) -> dict[str, Any]:
        """
        Handlers of all styles, which wait for a Deferred and then act.
        """

        @inlineCallbacks
        def generator(request: Any, ready: Deferred[None]) -> Any:
            session = request.getSession()
            yield ready
            yield act(session)
            finish(request, b"done")

        def bare(request: Any, ready: Deferred[None]) -> None:
            session = request.getSession()
            ready.addCallback(lambda _: act(session))
            ready.addCallback(lambda _: finish(request, b"done"))

        async def coroutine(request: Any, ready: Deferred[None]) -> None:
            session = request.getSession()
            await ready
            await act(session)
            finish(request, b"done")

        def started(request: Any, ready: Deferred[None]) -> None:
            Deferred.fromCoroutine(coroutine(request, ready))

        return {"inlineCallbacks": generator, "addCallback": bare, "coroutine": started}

    @pytest.mark.parametrize("style", ["inlineCallbacks", "addCallback", "coroutine"])
    @pytest.mark.parametrize("isAlone", [True, False])
    @pytest.mark.parametrize("isGated", [True, False])
    def test_logIn(self, scene, style, isAlone, isGated):
        """
        The response of the request that logs in carries the new token, whatever its
        handler is made of, and whatever other requests are under way.
        """
        it = scene(wrap=gated if isGated else lambda store: store)
        browser = visitor(it)
        ready: Deferred[None] = Deferred()
        handler = self.handlers(lambda session: session.logIn("anna"))[style]
        slow = Paused(look)
        others = [] if isAlone else [it.ask(browser, slow), it.ask(browser, slow)]
        response = it.ask(browser, lambda request: (handler(request, ready), NOT_DONE_YET)[1])
        Context().run(ready.callback, None)
        if isGated:
            it.store.openAll()
        assert len(resultOf(response).cookies) == 1
        for number, other in enumerate(others):
            slow.goOn(number)
            assert setCookies(resultOf(other)) == []
        response = it.ask(browser, who)
        if isGated:
            it.store.openAll()
        assert resultOf(response).body == b"'anna'"

    @pytest.mark.parametrize("style", ["inlineCallbacks", "addCallback", "coroutine"])
    def test_logOut(self, scene, style):
        """
        The response of the request that logs out deletes the cookie.
        """
        it = scene()
        browser = visitor(it)
        ready: Deferred[None] = Deferred()
        handler = self.handlers(lambda session: session.logOut())[style]
        response = it.ask(browser, lambda request: (handler(request, ready), NOT_DONE_YET)[1])
        Context().run(ready.callback, None)
        assert [cookie.value for cookie in resultOf(response).cookies] == [b""]

    def test_unknownLogOut(self, scene):
        """
        Where it cannot be told which of two requests logged out, neither deletes the
        cookie: it opens nothing anyway.
        """
        it = scene()
        browser = visitor(it)
        ready: Deferred[None] = Deferred()
        handler = self.handlers(lambda session: session.logOut())["addCallback"]
        slow = Paused(look)
        other = it.ask(browser, slow)
        response = it.ask(browser, lambda request: (handler(request, ready), NOT_DONE_YET)[1])
        Context().run(ready.callback, None)
        slow.goOn()
        assert setCookies(resultOf(response)) == setCookies(resultOf(other)) == []
        assert it.get(browser, look).body == b"none"

    def test_firedByAnother(self, scene):
        """
        A request whose Deferred another visitor's request fires gets its own cookie,
        and that one none.
        """
        it = scene()
        browser, stranger = visitor(it), visitor(it)
        ready: Deferred[None] = Deferred()
        handler = self.handlers(lambda session: session.logIn("anna"))["addCallback"]
        response = it.ask(browser, lambda request: (handler(request, ready), NOT_DONE_YET)[1])
        fired = it.get(
            stranger,
            lambda request: (request.getSession(), ready.callback(None), b"fired")[2],
        )
        assert setCookies(fired) == []
        assert len(resultOf(response).cookies) == 1
        assert it.get(browser, who).body == b"'anna'"
        assert it.get(stranger, who).body == b"None"

    def test_onlyLooking(self, scene):
        """
        A request that brought the session's cookie and never asked for the session
        is not taken for the one that logs in.
        """
        it = scene()
        browser = visitor(it)
        ready: Deferred[None] = Deferred()
        waiting: Deferred[None] = Deferred()

        async def static(request: Any) -> bytes:
            await waiting
            return b"a picture"

        handler = self.handlers(lambda session: session.logIn("anna"))["addCallback"]
        picture = it.ask(browser, static)
        response = it.ask(browser, lambda request: (handler(request, ready), NOT_DONE_YET)[1])
        Context().run(ready.callback, None)
        waiting.callback(None)
        assert setCookies(resultOf(picture)) == []
        assert len(resultOf(response).cookies) == 1

    def test_afterTheRequest(self, scene):
        """
        What a request has started and goes on after its response is not taken for a
        later request.
        """
        it = scene()
        browser = visitor(it)
        later: Deferred[None] = Deferred()
        seen = []

        def answer(request: Any) -> bytes:
            session = request.getSession()

            async def goOn() -> None:
                await later
                await session.rework()
                seen.append(session.reworker)

            Deferred.fromCoroutine(goOn())
            return b"answered"

        it.get(browser, answer)
        later.callback(None)
        assert seen == [None]

    def test_wrongContext(self, scene):
        """
        Code that runs in the context of one request, on the session of another,
        does not give the one the other's cookie.
        """
        it = scene()
        browser, stranger = visitor(it), visitor(it)
        slow = Paused(look)
        response = it.ask(browser, slow)

        async def answer(request: Any) -> bytes:
            request.getSession()
            await slow.sessions[0].logIn("anna")
            return b""

        assert setCookies(it.get(stranger, answer)) == []
        slow.goOn()
        assert len(resultOf(response).cookies) == 1
        assert it.get(stranger, who).body == b"None"
        assert it.get(browser, who).body == b"'anna'"
