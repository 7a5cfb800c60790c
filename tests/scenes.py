"""
A site of ours with everything that a test of it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import iscoroutine
from typing import Any

from pages import Page
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.web.server import NOT_DONE_YET

from txsessions import Site
from txsessions.stores.memory import MemoryStore
from txsessions.testing import Browser, GatedStore, resultOf
from txsessions.testing.browser import Requester
from txsessions.testing.response import Response

COOKIE = b"TWISTED_SESSION"
SECURE_COOKIE = b"TWISTED_SECURE_SESSION"


OPERATIONS = ("loadSession", "createSession", "saveSession", "logInSession", "deleteSession")


def gated(store: Any) -> GatedStore:
    """
    A store whose operations on single sessions wait for the test.
    """
    return GatedStore(store, *OPERATIONS)


class SharedStore(MemoryStore):
    """
    A store in memory that several sites use, as processes use a server's.
    """

    isMultiprocessSafe = True


class Errors:
    """
    The errors that are logged while a test runs.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            self.events.append(event)

    def texts(self) -> list[str]:
        """
        What was logged, each as a line.
        """
        return [
            formatEvent(event) + str(getattr(event.get("log_failure"), "value", ""))
            for event in self.events
        ]

    def flush(self, *parts: str) -> None:
        """
        Forget the errors, each of which must have one of these in it, and all
        of which must occur.
        """
        texts, self.events = self.texts(), []
        for text in texts:
            assert any(part in text for part in parts), text
        for part in parts:
            assert any(part in text for text in texts), (part, texts)


class Scene:
    """
    Sites over one store, with a clock of the test, and browsers of them.

    @ivar memory: The store at the bottom.
    @ivar store: The store that the sites use.
    @ivar site: The first site.
    @ivar errors: What was logged.
    """

    def __init__(
        self,
        errors: Errors,
        memory: MemoryStore | None = None,
        wrap: Any = lambda store: store,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.memory = MemoryStore() if memory is None else memory
        self.store = wrap(self.memory)
        self.errors = errors
        self._browsers: list[Browser] = []
        self._answers: dict[bytes, Callable[[Any], Any]] = {}
        self.site = self.makeSite()

    def makeSite(self, kind: Any = Site, **options: Any) -> Any:
        """
        Another site over the same store, as in another process.
        """
        resource = Page(lambda request: self._answers[request.path](request))
        options.setdefault("reactor", self.clock)
        return kind(resource, sessionStore=self.store, **options)

    def browser(self, site: Any = None, **options: Any) -> Browser:
        """
        Another browser of the site, or of another one.
        """
        self._browsers.append(Browser(self.site if site is None else site, **options))
        return self._browsers[-1]

    def page(self, answer: Callable[[Any], Any]) -> str:
        """
        The path of a page that is answered by a function, or by a coroutine.
        """
        path = f"/{len(self._answers)}"
        self._answers[path.encode()] = answering(answer)
        return path

    def ask(
        self, browser: Requester, answer: Callable[[Any], Any], **options: Any
    ) -> Deferred[Response]:
        """
        Have a browser send a request that this function answers.
        """
        method = options.pop("method", "GET")
        return browser.request(method, self.page(answer), **options)

    def get(self, browser: Requester, answer: Callable[[Any], Any], **options: Any) -> Response:
        """
        The response to such a request, which is there at once.
        """
        return resultOf(self.ask(browser, answer, **options))

    def close(self) -> None:
        """
        Leave nothing behind, and see to it that nothing is.
        """
        for browser in self._browsers:
            browser.close()
        assert self.clock.getDelayedCalls() == []


def scenes() -> Iterator[Callable[..., Scene]]:
    """
    Makes scenes, and closes them.
    """
    made: list[Scene] = []
    errors = Errors()
    globalLogPublisher.addObserver(errors)

    def make(*arguments: Any, **options: Any) -> Scene:
        made.append(Scene(errors, *arguments, **options))
        return made[-1]

    yield make
    for scene in made:
        scene.close()
    globalLogPublisher.removeObserver(errors)
    assert errors.texts() == []


def answering(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """
    The C{render} of a resource whose answer is a function, or a coroutine.
    """

    def render(request: Any) -> Any:
        result = answer(request)
        if iscoroutine(result):
            done = ensureDeferred(result).addCallback(lambda body: finish(request, body))
            done.addErrback(request.processingFailed).addErrback(lambda failure: None)
            return NOT_DONE_YET
        return result

    return render


def finish(request: Any, body: bytes | None) -> None:
    """
    Write a body and the end of a response; for C{None} that was done already,
    and nothing when the client has gone.
    """
    if body is not None and not request._disconnected:
        request.write(body)
        request.finish()


def count(request: Any) -> bytes:
    """
    Count the visits of a session.
    """
    data = request.getSession().data
    data["n"] = data.get("n", 0) + 1
    return b"%d" % data["n"]


def look(request: Any) -> bytes:
    """
    Tell how often a session was counted, without making one.
    """
    session = request.peekSession()
    return b"none" if session is None else b"%d" % session.data.get("n", 0)


def who(request: Any) -> bytes:
    """
    Tell the owner of a session, without making one.
    """
    session = request.peekSession()
    return b"none" if session is None else repr(session.sessionKey).encode()


def setCookies(response: Response) -> list[bytes]:
    """
    The values of the C{Set-Cookie} headers of a response.
    """
    return response.headers.getRawHeaders(b"set-cookie", [])


def wrote(request: Any) -> Any:
    count(request)
    request.write(b"some ")
    request.write(b"bytes")
    request.finish()
    return NOT_DONE_YET


def wroteNothing(request: Any) -> Any:
    count(request)
    request.finish()
    return NOT_DONE_YET


def cookie(*tokens: bytes, name: bytes = COOKIE) -> dict[str, bytes]:
    """
    The headers of a request that brings these tokens.
    """
    return {"Cookie": b"; ".join(name + b"=" + token for token in tokens)}


def asks(it: Scene) -> list[str]:
    """
    What the store was asked of single sessions, since this was last asked.
    """
    names = [call.name for call in it.store.calls if call.name != "claimExpired"]
    it.store.calls.clear()
    return names


def stored(it: Scene) -> Any:
    """
    The live session of a new visitor, stored and held by nobody.
    """
    it.get(it.browser(), count)
    (session,) = it.site.sessions.values()
    return session
