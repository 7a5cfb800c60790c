"""
Requests of one browser that overlap: log-outs, log-ins, writes, late answers.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from scenes import COOKIE, Scene, SharedStore, count, gated, look, setCookies, who
from twisted.internet.defer import Deferred
from visits import HOME, Paused, jarAfter, logIn, logOut, visitor

from txsessions import Session
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf


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
            def watchEndings(self, ended: Any, missed: Any) -> Any:
                return lambda: None

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
            def _rework(self, sessionKey: Any, authenticatedAt: Any = None) -> Any:
                self.isTokenUnseen = False
                return super()._rework(sessionKey, authenticatedAt)

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
