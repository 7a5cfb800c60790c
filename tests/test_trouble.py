"""
What a request sees of a store that cannot load its session.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    SharedStore,
    count,
    gated,
    look,
    setCookies,
)
from twisted.internet.error import ConnectionLost

from txsessions.errors import CorruptRecord, UnknownKey
from txsessions.testing import FailingStore, GatedStore, HangingStore, resultOf


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
