"""
Requests of several processes on one session, with their store operations in every
order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from pages import Page
from scenes import COOKIE, Errors, answering, cookie, count, look, setCookies, who
from twisted.logger import globalLogPublisher

from txsessions import Site
from txsessions.record import UNCHANGED
from txsessions.stores.memory import MemoryStore
from txsessions.testing import CookieJar, Response, resultOf
from txsessions.testing.cookiejar import Location
from txsessions.testing.explorer import (
    Actor,
    InterleavingFailed,
    SiteScenario,
    atTheEnd,
    explore,
)
from txsessions.testing.setcookie import parse
from txsessions.testing.shared import SharedData, SharedFile, SharedMemory

HOME = Location("localhost", b"/", False)

Handler = Callable[[Any], Any]


class Requests(SiteScenario):
    """
    Some requests of one browser, each to a site of its own, sent at the same time.

    @cvar handlers: What answers them.
    @ivar first: The token that all of them bring.
    """

    handlers: tuple[Handler, ...] = ()

    def makeSite(self, process: str, store: Any) -> Site:
        def render(request: Any) -> Any:
            return answering(self.answers[request.path])(request)

        return Site(Page(render), sessionStore=store, reactor=self.clock)

    async def begin(self) -> None:
        self.answers: dict[bytes, Handler] = {b"/": count}
        self.visitor = self.browser("the first visit")
        self.begun = await self.visitor.get("/")
        self.first = self.begun.cookies[0].value

    def actors(self) -> list[Actor]:
        return [
            Actor(f"request {number}", f"site {number}", self.asking(f"site {number}", handler))
            for number, handler in enumerate(self.handlers)
        ]

    def asking(self, process: str, handler: Handler) -> Handler:
        """
        Somebody who sends a request.
        """

        def ask(store: Any) -> Any:
            path = f"/{process[-1]}"
            self.answers[path.encode()] = handler
            return self.browser(process, self.visitor).get(path)

        return ask

    @property
    def responses(self) -> list[Response]:
        """
        What was answered, in the order of the requests.
        """
        return [self.outcomes[f"request {number}"] for number in range(len(self.handlers))]

    @atTheEnd
    async def collect(self) -> None:
        """
        See what is stored, and that it all came to an end.
        """
        self.records = {sid: record async for sid, record in self.truth.iterSessions()}
        assert {response.code for response in self.responses} == {200}

    async def seen(self, token: bytes, handler: Handler = look) -> bytes:
        """
        What somebody with this token sees, whom no process knows.
        """
        self.answers[b"/seen"] = handler
        browser = self.browser(f"onlooker {len(self.stores)}")
        return (await browser.get("/seen", headers=cookie(token))).body

    def tokens(self) -> set[bytes]:
        """
        All tokens that were ever given out.
        """
        given = {each.value for response in self.responses for each in response.cookies}
        return (given | {self.first}) - {b""}

    async def opening(self) -> list[bytes]:
        """
        See to it that one token opens each session.

        @return: These tokens.
        """
        opening = [token for token in self.tokens() if await self.seen(token) != b"none"]
        assert sorted(token[:32].decode() for token in opening) == sorted(self.records)
        return opening


def sets(key: str) -> Handler:
    """
    A handler that sets one key.
    """

    def answer(request: Any) -> bytes:
        request.getSession().data[key] = 1
        return b"done"

    return answer


def increments(request: Any) -> Any:
    """
    A handler that adds one to a number.
    """

    async def answer() -> bytes:
        await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
        return b"done"

    return answer()


async def logsOut(request: Any) -> bytes:
    """
    A handler that logs out.
    """
    await request.getSession().logOut()
    return b"done"


async def logsIn(request: Any) -> bytes:
    """
    A handler that logs somebody in.
    """
    await request.getSession().logIn("anna")
    return b"done"


async def reworks(request: Any) -> bytes:
    """
    A handler that gets a new token.
    """
    await request.getSession().rework()
    return b"done"


class StaysOut(Requests):
    """
    Nothing that any of the requests was given opens the session.
    """

    @atTheEnd
    async def isOut(self) -> None:
        assert await self.seen(self.first) == b"none", "the cookie opens the session again"
        assert self.first[:32].decode() not in self.records, "the session is stored again"


class KeepsKeys(Requests):
    """
    Everything that was set is there, and one token opens it.  What a request has
    set that came with the old token when that was dead already is in a session of
    its own, of which the browser was told.
    """

    @atTheEnd
    async def hasKeys(self) -> None:
        expected = {self.first[:32].decode(): {"data:n"}}
        for key, response in zip("ab", self.responses, strict=False):
            token = response.cookies[0].value if response.cookies else self.first
            expected.setdefault(token[:32].decode(), set()).add(f"data:{key}")
        found = {
            sid: {name for name in record.attributes if name.startswith("data:")}
            for sid, record in self.records.items()
        }
        assert found == expected, "a key is lost"
        assert self.first not in await self.opening(), "the old token opens the session"


class EndsLoggedIn(Requests):
    """
    In whichever order the responses arrive, the browser ends logged in.
    """

    @atTheEnd
    async def isIn(self) -> None:
        for responses in (self.responses, self.responses[::-1]):
            jar = CookieJar(self.clock)
            for response in (self.begun, *responses):
                for header in setCookies(response):
                    assert parse(header) is not None
                    jar.receive(header, HOME)
            assert await self.seen(jar.get(COOKIE) or b"", who) == b"'anna'"
        await self.opening()


class Counts(Requests):
    """
    Three increments make three.
    """

    @atTheEnd
    async def isFour(self) -> None:
        (record,) = self.records.values()
        assert record.attributes["data:n"] == b"4"


class Reviving(MemoryStore):
    """
    Saves what has ended: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        self._records.setdefault(change.sid, getattr(self, "last", None))
        return super().saveSession(change)

    def deleteSession(self, sid: str, reason: str = "") -> Any:
        self.last = self._records.get(sid)
        return super().deleteSession(sid, reason)


class Overwriting(MemoryStore):
    """
    Keeps of the attributes only those of the last change: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        done = super().saveSession(change)
        if change.set and change.sid in self._records:
            record = self._records[change.sid]
            self._records[change.sid] = attrs.evolve(record, attributes=dict(change.set))
        return done


class Indifferent(MemoryStore):
    """
    Does not care which verifier or version a change is for: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        return super().saveSession(
            attrs.evolve(change, expectedVersion=None, expectedVerifier=None)
        )

    def logInSession(self, change: Any, limit: Any = None) -> Any:
        return super().logInSession(attrs.evolve(change, expectedVerifier=None), limit)


class Forgetful(MemoryStore):
    """
    Forgets new verifiers: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        return super().saveSession(attrs.evolve(change, verifier=UNCHANGED))


CASES: dict[str, tuple[tuple[Handler, ...], type[Requests], type[MemoryStore]]] = {
    "logOut": ((sets("a"), sets("b"), logsOut), StaysOut, Reviving),
    "logOuts": ((sets("a"), logsOut, logsOut), StaysOut, Reviving),
    "rework": ((sets("a"), sets("b"), reworks), KeepsKeys, Overwriting),
    "reworkTaken": ((sets("a"), sets("b"), reworks), KeepsKeys, Forgetful),
    "twoTabs": ((logsIn, logsIn), EndsLoggedIn, Indifferent),
    "threeTabs": ((logsIn, logsIn, logsIn), EndsLoggedIn, Indifferent),
    "modify": ((increments, increments, increments), Counts, Indifferent),
}


def played(case: str, data: SharedData, **options: Any) -> Any:
    """
    Explore a case; nothing that goes wrong may be logged.
    """
    handlers, kind, _ = CASES[case]
    scenario = type(kind.__name__, (kind,), {"handlers": handlers, "title": case})
    errors = Errors()
    globalLogPublisher.addObserver(errors)
    try:
        return resultOf(explore(scenario, data, **options)), errors.texts()
    finally:
        globalLogPublisher.removeObserver(errors)


@pytest.mark.parametrize("case", CASES)
def test_everyOrder(case: str) -> None:
    """
    In every order of the operations: dead stays dead, no key is lost, no token but
    one opens the session, two tabs end logged in, increments count.
    """
    found, errors = played(case, SharedMemory())
    assert found.isComplete and found.count >= 4 and errors == []


@pytest.mark.parametrize("case", CASES)
def test_someOrders(case: str, tmp_path: Path) -> None:
    """
    The same on a SQLite file, in orders that come by chance.
    """
    found, errors = played(case, SharedFile(tmp_path), runs=8, seed=6)
    assert found.count == 8 and errors == []


@pytest.mark.parametrize("case", CASES)
def test_control(case: str) -> None:
    """
    On a store that is broken on purpose some order shows it.
    """
    with pytest.raises(InterleavingFailed):
        played(case, SharedMemory(CASES[case][2]), shorten=0)
