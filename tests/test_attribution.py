"""
Whose response carries the cookie of a log-in or a log-out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from scenes import finish, gated, look, setCookies, who
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.web.server import NOT_DONE_YET
from visits import Paused, visitor

from txsessions.testing import resultOf


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
