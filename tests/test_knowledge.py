"""
When the store is asked for a session, when what this process knows is enough, and
how it hears of what others do.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    COOKIE,
    SharedStore,
    asks,
    cookie,
    count,
    look,
    who,
)

from txsessions.testing import FailingStore, GatedStore, RecordingStore, resultOf


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

        it.store.fail("logInSession", answersOnly=True)
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
