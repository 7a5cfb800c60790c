"""
Log-ins: what was known before is worth nothing after, and what was checked before the end of all
sessions comes too late.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from backends import BACKENDS
from pages import Page
from scenes import answering, cookie, count, setCookies, who
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from visits import HOME, Paused, logIn, visitor

from txsessions import Session, SessionManager, Site
from txsessions.errors import SessionEnded
from txsessions.lifetime import REVOKED
from txsessions.stores import openStore
from txsessions.testing import Browser, resultOf
from txsessions.token import parse

SECRET = "tuna-4711"


@pytest_twisted.async_yield_fixture(
    scope="module", params=["memory", "json", "sqlite", "redis", "postgres"]
)
async def opened(request: Any, tmp_path_factory: Any) -> AsyncIterator[Callable[[], Any]]:
    """
    Opens a store once more, as another process would.
    """
    kind = request.param
    directory: Path = tmp_path_factory.mktemp(kind)
    server, made = None, []
    if kind in BACKENDS:
        server, text = BACKENDS[kind](directory)
        await server.start()
    else:
        text = {"memory": "memory", "json": "json:{}", "sqlite": "sqlite:{}.db"}[kind]
        text = text.format(directory / uuid4().hex)
    only = openStore(text) if kind == "memory" else None

    def openAgain() -> Any:
        made.append(openStore(text) if only is None else only)
        return made[-1]

    yield openAgain
    for store in made:
        close = getattr(store, "close", None)
        if close is not None:
            await close()
    if server is not None:
        await server.kill()
        getattr(server, "remove", lambda: None)()


def token(response: Any) -> bytes:
    """
    The token in the one cookie that a response sets.
    """
    [line] = setCookies(response)
    return bytes(line.partition(b";")[0].partition(b"=")[2])


def siteOver(store: Any, render: Callable[[Any], Any]) -> Any:
    """
    A site with one page, as a worker has it.
    """
    return Site(Page(render), sessionStore=store)


@pytest_twisted.ensureDeferred
async def test_everyStore(opened: Callable[[], Any]) -> None:
    """
    A token that was known before the log-in opens nothing after it, on any worker; the new one
    does.
    """

    async def handler(request: Any) -> bytes:
        if request.path == b"/log-in":
            await request.getSession().logIn("anna")
        elif request.path == b"/begin":
            request.getSession().data["cart"] = 1
        session = request.peekSession()
        return b"none" if session is None else repr(session.sessionKey).encode()

    workers = [siteOver(opened(), answering(handler)) for _ in range(2)]
    browsers = [Browser(workers[0], IReactorTime(reactor))]
    first = token(await browsers[0].get("/begin"))
    assert (await browsers[0].get("/log-in")).body == b"'anna'"
    for worker in workers:
        attacker = Browser(worker, IReactorTime(reactor))
        victim = Browser(worker, IReactorTime(reactor), cookies=browsers[0].cookies.copy())
        browsers += (attacker, victim)
        assert (await attacker.get("/", headers=cookie(first))).body == b"none"
        assert (await victim.get("/")).body == b"'anna'"
    for each in browsers:
        each.close()
    for worker in workers:
        await worker.stopSessions()


@pytest_twisted.ensureDeferred
async def test_dumped(opened: Callable[[], Any]) -> None:
    """
    Nothing of what a store keeps, field by field, opens a session.
    """
    store = opened()
    manager = SessionManager(store)
    id = await manager.create("anna", {"pin": SECRET})
    fields: set[bytes] = set()
    async for sid, record in store.iterSessions():
        fields |= {sid.encode(), record.sid.encode(), record.verifier, *record.attributes.values()}
        fields |= {record.verifier.hex().encode(), sid.encode() + record.verifier.hex().encode()}
        fields |= {sid.encode() + record.verifier.hex().encode()[:32]}
        fields |= {sid.encode() + record.verifier.hex().encode()[32:]}
        fields |= {name.encode() for name in record.attributes}
        fields |= {(record.sessionKey or "x").encode(), repr(record.created).encode()}
    assert id.encode() not in fields and len(fields) > 8
    for field in fields:
        assert await manager.get(field, default=None) is None
    assert (await manager.get(id)) == {"pin": SECRET}
    await manager.delete(id)
    await manager.stop()


@pytest_twisted.ensureDeferred
async def test_clearBesideOthers(opened: Callable[[], Any]) -> None:
    """
    While all sessions of an owner are ended, 100 log-ins and 100 saves run on two workers: what
    was there before is dead, and the saves revive nothing.
    """
    workers = [SessionManager(opened()), SessionManager(opened())]
    before = [await workers[n % 2].create("carla", {"n": 0}) for n in range(20)]
    later: list[Deferred[Any]] = []
    clearing: Deferred[int] | None = None
    for n in range(100):
        later.append(workers[n % 2].update(before[n % 20], {f"key {n % 7}": n}))
        later.append(workers[(n + 1) % 2].create("carla", {"n": n}))
        if n == 30:
            clearing = workers[0].clear("carla")
    assert clearing is not None
    ended, _ = await DeferredList([clearing, DeferredList(later, consumeErrors=True)])
    assert ended[1] >= 20
    for worker in workers:
        assert [await worker.get(id, default=None) for id in before] == [None] * 20
    live = await workers[1].find("carla")
    alive = [success for success, _ in await DeferredList(later, consumeErrors=True)]
    assert len(live) <= 100 and any(alive)
    await workers[1].clear("carla", missingOk=True)
    assert await workers[0].find("carla") == []
    for worker in workers:
        await worker.stop()


def test_outrun(scene: Any) -> None:
    """
    A log-in that looked at the password before all sessions of the owner were ended, and that the
    store hears of after that, ends as well; one that looked later is let in.
    """
    it = scene()
    manager = it.site.sessionManager

    async def slow(request: Any) -> bytes:
        began = it.clock.seconds()
        waiting: Deferred[None] = Deferred()
        passwords.append(waiting)
        await waiting
        try:
            await request.getSession().logIn("anna", authenticatedAt=began)
        except SessionEnded as e:
            return e.reason.encode()
        return b"in"

    passwords: list[Deferred[None]] = []
    early = it.ask(visitor(it), slow)
    it.clock.advance(1)
    resultOf(manager.clear("anna", missingOk=True))
    it.clock.advance(1)
    late = it.ask(visitor(it), slow)
    for waiting in passwords:
        waiting.callback(None)
    assert resultOf(early).body == REVOKED.encode()
    assert resultOf(late).body == b"in"
    assert len(resultOf(manager.find("anna"))) == 1


def test_authenticatedAt(scene: Any) -> None:
    """
    A session knows when its owner logged in; no visit and no new token moves that, a log-in does.
    """
    it = scene()
    browser = it.browser()
    seen: list[Any] = []

    async def look(request: Any) -> bytes:
        session = request.getSession()
        seen.append(session.authenticatedAt)
        if request.args.get(b"new"):
            await session.rework()
        return b""

    it.get(browser, look)
    it.get(browser, logIn("anna"))
    began = it.clock.seconds()
    it.clock.advance(500)
    it.get(browser, look)
    it.clock.advance(500)
    it.get(it.browser(it.makeSite(), cookies=browser.cookies), look)
    it.get(browser, logIn("anna"))
    it.get(browser, look)
    assert seen == [None, began, began, began + 1000]


class Race:
    """
    Two tabs of one browser that log in at the same time, in some order of all that happens: a
    request leaves with the cookies that there are, its password is checked, its response arrives.

    @ivar jar: The cookies of the browser.
    @ivar tokens: All tokens that the browser was ever given.
    """

    def __init__(self, make: Callable[..., Any], random: Random) -> None:
        self.it = make()
        self.random = random
        self.steps = Paused(logIn("anna"))
        browser = self.it.browser()
        self.tokens: list[bytes] = []
        self.jar = browser.cookies.copy()
        self.arrive(self.it.get(browser, count))

    def arrive(self, response: Any) -> None:
        """
        The browser takes the cookies of a response.
        """
        for header in setCookies(response):
            self.jar.receive(header, HOME)
            self.tokens.append(header.partition(b";")[0].partition(b"=")[2])

    def possible(self, tab: list[Any]) -> Callable[[], object]:
        """
        What comes next for one tab: its request, its password, its response.
        """
        it, steps = self.it, self.steps
        if not tab:
            return lambda: tab.extend(
                (it.ask(it.browser(cookies=self.jar.copy()), steps), len(steps.waiting) - 1)
            )
        if len(tab) == 2:
            return lambda: tab.append(steps.goOn(tab[1]))
        return lambda: tab.append(self.arrive(resultOf(tab[0])))

    def run(self) -> None:
        """
        Let everything happen.
        """
        tabs: list[list[Any]] = [[], []]
        while any(len(tab) < 4 for tab in tabs):
            tab = self.random.choice([tab for tab in tabs if len(tab) < 4])
            self.possible(tab)()
            self.it.clock.advance(self.random.choice([0, 0.1, 1]))

    def whoIs(self, token: bytes) -> bytes:
        """
        Whose session a token opens.
        """
        return bytes(self.it.get(self.it.browser(), who, headers=cookie(token)).body)


def raced(scene: Any, number: int, begin: int = 0) -> None:
    """
    Race in so many random orders.
    """
    for seed in range(begin, begin + number):
        race = Race(scene, Random(seed))
        race.run()
        assert race.it.get(race.it.browser(cookies=race.jar), who).body == b"'anna'", seed
        live = [token for token in set(race.tokens) if race.whoIs(token) != b"none"]
        sids = [parse(token).sid for token in live]  # type: ignore[union-attr]  # tokens are
        assert len(sids) == len(set(sids)), seed
        race.it.close()


def test_twoTabs(scene: Any) -> None:
    """
    Two tabs that log in at the same time leave the browser logged in, and of each session one
    token is live at the most, in each of many random orders.  (TXSESSIONS_ORDERS says how many.)
    """
    raced(scene, int(os.environ.get("TXSESSIONS_ORDERS", "400")))


def test_twoTabsControl(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The race notices a session that gives each of two log-ins a token of its own.
    """

    def greedy(self: Any, sessionKey: Any, authenticatedAt: Any = None) -> Any:
        self.isTokenUnseen = False
        return rework(self, sessionKey, authenticatedAt)

    rework = Session._rework
    monkeypatch.setattr(Session, "_rework", greedy)
    with pytest.raises(AssertionError):
        raced(scene, 100)
