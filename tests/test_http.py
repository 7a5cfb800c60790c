"""
Overlapping requests and stores in trouble, through real HTTP and on both stores that
need no server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_twisted
import treq
from pages import Page
from scenes import COOKIE, Errors, SharedStore, answering
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher
from twisted.web.client import Agent

from txsessions import Site
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import FailingStore, HangingStore


class Shop:
    """
    A site whose pages tell what they keep of a visitor.

    @ivar arrived: How many slow requests have got their session.
    @ivar goOn: Fires when they may go on.
    """

    def __init__(self, store: Any) -> None:
        self.clock = Clock()
        self.arrived = 0
        self.goOn: Deferred[None] = Deferred()
        self.site = Site(
            Page(answering(lambda request: getattr(self, request.path[1:].decode())(request))),
            reactor=self.clock,
            sessionStore=store,
        )
        self.port: Any = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.agent = Agent(reactor)

    async def get(self, path: str, token: bytes | None = None) -> Any:
        """
        Send a request; the response has its body in C{text}.
        """
        headers = {} if token is None else {"Cookie": COOKIE + b"=" + token}
        url = f"http://127.0.0.1:{self.port.getHost().port}/{path}"
        response = await treq.get(url, headers=headers, agent=self.agent)
        response.text = (await response.content()).decode()
        return response

    def ask(self, path: str, token: bytes | None = None) -> Deferred[Any]:
        """
        Send a request, and do not wait for the response.
        """
        return Deferred.fromCoroutine(self.get(path, token))

    async def close(self) -> None:
        """
        Let go of port and store.
        """
        if self.port is not None:
            port, self.port = self.port, None
            await port.stopListening()
            await until(lambda: not self.clock.getDelayedCalls())

    async def wait(self, seconds: float) -> None:
        """
        Let time go by.
        """
        sweeper = self.site.sessionManager._sweeper
        await until(lambda: sweeper._running is None)
        self.clock.advance(seconds)
        await until(lambda: sweeper._running is None)

    def visit(self, request: Any) -> bytes:
        data = request.getSession().data
        data["n"] = data.get("n", 0) + 1
        return b"%d" % data["n"]

    def keys(self, request: Any) -> bytes:
        session = request.peekSession()
        return b"none" if session is None else " ".join(sorted(session.data)).encode()

    async def slow(self, request: Any) -> bytes:
        session = request.getSession()
        session.data["early"] = 1
        await self._wait()
        session.data["late"] = 1
        return b"done"

    async def key(self, request: Any) -> bytes:
        session = request.getSession()
        await self._wait()
        session.data[request.args[b"name"][0].decode()] = 1
        return b"done"

    async def out(self, request: Any) -> bytes:
        await request.getSession().logOut()
        return b"bye"

    async def _wait(self) -> None:
        self.arrived += 1
        waiting: Deferred[None] = Deferred()
        self.goOn.addCallback(lambda _: waiting.callback(None))
        await waiting


def tokenOf(response: Any) -> bytes:
    """
    The token in a response's cookie.
    """
    (header,) = response.headers.getRawHeaders(b"set-cookie")
    return header.partition(b";")[0].partition(b"=")[2]


async def until(condition: Any) -> None:
    """
    Wait for a condition, for as long as a real server may take.
    """
    for _ in range(1000):
        if condition():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


@pytest.fixture(params=["memory", "sqlite"])
def makeStore(request, tmp_path):
    """
    Makes a store of either kind.
    """
    if request.param == "memory":
        return MemoryStore
    return lambda: SQLiteStore(tmp_path / "sessions.db")


@pytest_twisted.async_yield_fixture
async def openShop() -> AsyncIterator[Any]:
    """
    Opens shops, and closes them.
    """
    shops: list[Shop] = []
    errors = Errors()
    globalLogPublisher.addObserver(errors)

    def make(store: Any) -> Shop:
        shops.append(Shop(store))
        shops[-1].errors = errors  # type: ignore[attr-defined]
        return shops[-1]

    yield make
    for shop in shops:
        await shop.close()
    globalLogPublisher.removeObserver(errors)
    assert errors.texts() == []


async def logOutMeanwhile(shop: Shop, other: Shop) -> tuple[Any, bytes]:
    """
    Log out at one site while a slow request is under way at another.

    @return: The response to the slow one, and the token.
    """
    token = tokenOf(await shop.get("visit"))
    slow = shop.ask("slow", token)
    await until(lambda: shop.arrived == 1)
    out = await other.get("out", token)
    assert (out.code, tokenOf(out)) == (200, b"")
    shop.goOn.callback(None)
    return await slow, token


@pytest_twisted.ensureDeferred
async def test_loggedOutStaysOut(openShop, makeStore):
    """
    A slow handler that loaded the session, wrote to it and ends after a log-out in
    another request revives nothing, and answers 200.
    """
    shop = openShop(makeStore())
    response, token = await logOutMeanwhile(shop, shop)
    assert (response.code, response.text) == (200, "done")
    assert not response.headers.hasHeader(b"set-cookie")
    assert (await shop.get("keys", token)).text == "none"
    assert not await shop.site.sessionStore.hasSession(token[:32].decode())


@pytest_twisted.ensureDeferred
async def test_loggedOutElsewhere(openShop, tmp_path):
    """
    So it is when the log-out was in another process.
    """
    path = tmp_path / "sessions.db"
    shop, other = openShop(SQLiteStore(path)), openShop(SQLiteStore(path))
    response, token = await logOutMeanwhile(shop, other)
    assert (response.code, response.text) == (200, "done")
    assert not response.headers.hasHeader(b"set-cookie")
    for each in (shop, other):
        assert (await each.get("keys", token)).text == "none"


@pytest_twisted.ensureDeferred
async def test_loggedOutControl(openShop):
    """
    The test notices a store that saves what has ended, and does not say that it has.
    """

    class Reviving(SharedStore):
        def watchEndings(self, ended: Any, missed: Any) -> Any:
            return lambda: None

        def deleteSession(self, sid: str, reason: str = "") -> Any:
            self.last = self._records[sid]
            return super().deleteSession(sid, reason)

        def saveSession(self, change: Any) -> Any:
            self._records.setdefault(change.sid, getattr(self, "last", None))
            return super().saveSession(change)

    store = Reviving()
    shop, other = openShop(store), openShop(store)
    response, token = await logOutMeanwhile(shop, other)
    assert response.code == 200
    assert (await other.get("keys", token)).text == "early late n"


@pytest_twisted.ensureDeferred
async def test_sixKeys(openShop, makeStore):
    """
    Six parallel requests that each set one key: six keys.
    """
    shop = openShop(makeStore())
    token = tokenOf(await shop.get("visit"))
    waiting = [shop.ask(f"key?name=k{number}", token) for number in range(6)]
    await until(lambda: shop.arrived == 6)
    shop.goOn.callback(None)
    responses = await gatherResults(waiting)
    assert [response.code for response in responses] == [200] * 6
    assert (await shop.get("keys", token)).text == "k0 k1 k2 k3 k4 k5 n"
    record = await shop.site.sessionStore.loadSession(token[:32].decode())
    assert len(record.attributes) == 7


@pytest_twisted.ensureDeferred
async def test_sixKeysOfTwoSites(openShop, tmp_path):
    """
    So it is when two sites, as in two processes, serve three of them each.
    """
    path = tmp_path / "sessions.db"
    shops = [openShop(SQLiteStore(path)), openShop(SQLiteStore(path))]
    token = tokenOf(await shops[0].get("visit"))
    waiting = [shops[number % 2].ask(f"key?name=k{number}", token) for number in range(6)]
    await until(lambda: [shop.arrived for shop in shops] == [3, 3])
    for shop in shops:
        shop.goOn.callback(None)
    await gatherResults(waiting)
    for shop in shops:
        assert (await shop.get("keys", token)).text == "k0 k1 k2 k3 k4 k5 n"


@pytest_twisted.ensureDeferred
async def test_sixKeysControl(openShop):
    """
    The test notices a store that keeps records as they were last seen.
    """

    class Overwriting(MemoryStore):
        def saveSession(self, change: Any) -> Any:
            done = super().saveSession(change)
            record = self._records[change.sid]
            self._records[change.sid] = attrs.evolve(record, attributes=dict(change.set))
            return done

    shop = openShop(Overwriting())
    token = tokenOf(await shop.get("visit"))
    waiting = [shop.ask(f"key?name=k{number}", token) for number in range(6)]
    await until(lambda: shop.arrived == 6)
    shop.goOn.callback(None)
    await gatherResults(waiting)
    record = await shop.site.sessionStore.loadSession(token[:32].decode())
    assert len(record.attributes) < 7


@pytest.mark.parametrize("operation", ["loadSession", "saveSession"])
@pytest_twisted.ensureDeferred
async def test_storeFails(openShop, makeStore, operation):
    """
    A store that fails at load or at save: 503 with Retry-After, no cookie, the old
    record intact; the session is there again when the store is.
    """
    store = FailingStore(makeStore())
    shop = openShop(store)
    shop.site.sessionManager.isOwner = False
    token = tokenOf(await shop.get("visit"))
    sid = token[:32].decode()
    before = await store.store.loadSession(sid)
    store.fail(operation)
    response = await shop.get("visit", token)
    assert response.code == 503
    assert response.headers.getRawHeaders(b"retry-after") == [b"5"]
    assert not response.headers.hasHeader(b"set-cookie")
    assert await store.store.loadSession(sid) == before
    shop.errors.flush("the test broke the store")
    store.mend()
    assert (await shop.get("visit", token)).text == "2"


def givenUpAt(call: Any) -> float:
    """
    When a delayed call gives something up, in seconds; 0 if it does something else.
    """
    return call.getTime() if call.func.__name__ == "_giveUp" else 0.0


@pytest.mark.parametrize("operation", ["loadSession", "saveSession"])
@pytest_twisted.ensureDeferred
async def test_storeHangs(openShop, makeStore, operation):
    """
    One that hangs: the same after its time-out.
    """
    store = HangingStore(makeStore())
    shop = openShop(store)
    shop.site.sessionManager.isOwner = False
    token = tokenOf(await shop.get("visit"))
    store.hang(operation)
    timeout = {"loadSession": 2, "saveSession": 5}[operation]
    calls = len(shop.clock.getDelayedCalls())
    waiting = shop.ask("visit", token)
    await until(lambda: len(shop.clock.getDelayedCalls()) > calls)
    # The load that goes before a save has a time-out of its own, which is shorter.
    late = shop.clock.seconds() + timeout - 1
    await until(lambda: any(givenUpAt(call) > late for call in shop.clock.calls))
    shop.clock.advance(timeout - 0.1)
    for _ in range(5):
        await deferLater(reactor, 0)
    assert not waiting.called
    shop.clock.advance(0.2)
    response = await waiting
    assert response.code == 503
    assert response.headers.getRawHeaders(b"retry-after") == [b"5"]
    assert not response.headers.hasHeader(b"set-cookie")
    shop.errors.flush(f"has not answered for {timeout} seconds")
    store.release()
    visits = int((await shop.get("visit", token)).text)
    assert visits == (2 if operation == "loadSession" else 3)
    record = await store.store.loadSession(token[:32].decode())
    assert record.attributes["data:n"] == b"%d" % visits


@pytest_twisted.ensureDeferred
async def test_restart(openShop, tmp_path):
    """
    A session outlives its process; it is as old as it is, and not new.
    """
    path = tmp_path / "sessions.db"
    shop = openShop(SQLiteStore(path))
    token = tokenOf(await shop.get("visit"))
    await shop.wait(500)
    await shop.close()
    again = openShop(SQLiteStore(path))
    await again.wait(600)
    assert (await again.get("visit", token)).text == "2"
    await again.wait(901)
    await again.close()
    last = openShop(SQLiteStore(path))
    await last.wait(3000)
    assert (await last.get("visit", token)).text == "1"
