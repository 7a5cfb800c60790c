"""
A browser with a session, and handlers that go on when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scenes import Scene, count, setCookies
from twisted.internet.defer import Deferred

from txsessions.testing import Browser, CookieJar, resultOf
from txsessions.testing.cookiejar import Location

HOME = Location("localhost", b"/", False)


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
