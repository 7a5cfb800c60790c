"""
Tests for what sites in different processes know of each other's endings: callbacks
and connections.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from backends import backend
from clustered import Exchange, Place, Told, dial, inTime
from postgresserver import PostgresServer
from servers import pause, until
from twistdserver import TwistdServer

STORES = ["sqlite:sessions.db", "json:sessions", "redis", "redis-cluster", "postgres"]

SERVED = ["redis", "redis-cluster", "postgres"]


@pytest_twisted.async_yield_fixture(params=STORES, scope="module")
async def shared(request: Any, tmp_path_factory: Any) -> AsyncIterator[tuple[Any, str]]:
    """
    The server of a store, if it has one, and the store as twistd has it.
    """
    directory = tmp_path_factory.mktemp("store")
    server, text = backend(request.param, directory)
    if server is None:
        kind, _, path = request.param.partition(":")
        yield None, f"{kind}:{directory / path}"
        return
    try:
        await server.start()
        yield server, text
    finally:
        await server.kill()
        if isinstance(server, PostgresServer):
            server.remove()


@pytest_twisted.async_yield_fixture
async def places(shared: tuple[Any, str]) -> AsyncIterator[tuple[Place, Place]]:
    """
    Two sites that share sessions.
    """
    pair = Place(shared[1]), Place(shared[1])
    for place in pair:
        await place.start()
    yield pair
    for place in pair:
        await place.stop()


async def logOut(there: Place, cookie: str) -> None:
    """
    Log out.
    """
    await there.ask("logout", cookie)


async def clear(there: Place, cookie: str) -> None:
    """
    End all sessions of the owner.
    """
    assert await there.manager.clear("alice") == 1


async def sweep(there: Place, cookie: str) -> None:
    """
    Let it expire, of which only that site knows.
    """
    await there.ask("hasten", cookie)
    handle = cookie.partition("=")[2][:32]

    async def hasEnded() -> bool:
        return not await there.store.hasSession(handle)

    await until(hasEnded, "it has expired")


@pytest.mark.parametrize("end", [logOut, clear, sweep])
@pytest_twisted.ensureDeferred
async def test_callback(places: tuple[Place, Place], end: Callable[..., Any]) -> None:
    """
    A callback is called once, within a second, in the process that registered it, when
    the session ends by another one: by a log-out, a clear of its owner's sessions, a
    sweep.
    """
    here, there = places
    cookie = await here.ask("login", await here.ask("begin"))
    told = Told()
    here.session(cookie).notifyOnExpire(told)
    took = await inTime(lambda: end(there, cookie), told)
    print(f"{took:.3f} s")
    await pause(0.3)
    assert len(told.times) == 1


@pytest_twisted.ensureDeferred
async def test_callbackOfOtherProcess(shared: tuple[Any, str], tmp_path: Path) -> None:
    """
    So it is where the other one is a process of its own.
    """
    here, there = Place(shared[1]), TwistdServer(tmp_path, shared[1])
    await here.start()
    await there.start()
    try:
        visitor = Place.__new__(Place)
        visitor._client = type(here._client)(there.port)
        cookie = await visitor.ask("begin?key=guest")
        await here.ask("", cookie)
        told = Told()
        here.session(cookie).notifyOnExpire(told)
        await inTime(lambda: visitor.ask("logout", cookie), told)
        visitor._client.close()
        assert there.tracebacks() == []
    finally:
        await here.stop()
        await there.kill()


@pytest_twisted.ensureDeferred
async def test_connections(places: tuple[Place, Place]) -> None:
    """
    A connection and a stream of events that are bound to a session are closed within a
    second when it ends by another process, even if the session was reworked after that;
    and no sooner.
    """
    here, there = places
    exchange = Exchange()
    cookie = await here.ask("begin")
    ours, theirs = await exchange.connect()
    here.session(cookie).bind(ours)
    host = f"Host: localhost\r\nCookie: {cookie}\r\n"
    stream = await dial(here.port, f"GET /events HTTP/1.1\r\n{host}\r\n")
    await until(lambda: b"hello" in stream.received, "the stream has begun")
    cookie = await there.ask("rework", cookie)
    await here.ask("", cookie)
    await pause(1.2)
    assert theirs.lost.times == stream.lost.times == []
    await inTime(lambda: logOut(there, cookie), theirs.lost)
    await stream.lost.wait()
    # It was cut off, and is not complete.
    assert not stream.received.endswith(b"0\r\n\r\n")
    await exchange.close()


@pytest.mark.parametrize("isActivity", [True, False])
@pytest_twisted.ensureDeferred
async def test_activity(places: tuple[Place, Place], isActivity: bool) -> None:
    """
    A connection keeps its session alive, whoever sweeps, as long as it is open and if
    that was asked for; otherwise it is closed when the time-out has passed.
    """
    here, there = places
    exchange = Exchange()
    cookie = await here.ask("hasten", await here.ask("begin"))
    ours, theirs = await exchange.connect()
    session = here.session(cookie)
    session.bind(ours, isActivity)
    await there.ask("", cookie)
    began = time.monotonic()
    if isActivity:
        await pause(4.0)
        assert theirs.lost.times == []
        assert await there.store.hasSession(session.sid)
        ours.transport.loseConnection()  # type: ignore[union-attr]
        told = Told()
        session.notifyOnExpire(told)
        await told.wait()
    else:
        assert 1.0 < await theirs.lost.wait() - began < 4.0
    await exchange.close()


@pytest.mark.parametrize("shared", SERVED, indirect=True)
@pytest_twisted.ensureDeferred
async def test_channelDown(places: tuple[Place, Place], shared: tuple[Any, str]) -> None:
    """
    A callback is called once, and a connection is closed, when the session ends while
    the process that has them cannot hear of it, because the server of the store was
    killed and has just come back.
    """
    here, _ = places
    exchange = Exchange()
    told = Told()
    cookie = await here.ask("begin")
    session = here.session(cookie)
    session.notifyOnExpire(told)
    ours, theirs = await exchange.connect()
    session.bind(ours)
    await shared[0].kill()
    await pause(1.0)
    await shared[0].start()
    third = Place(shared[1])

    async def isEnded() -> Any:
        try:
            return await third.store.deleteSession(session.sid)
        except Exception:
            return None

    await until(isEnded, "it has ended")
    await told.wait()
    await theirs.lost.wait()
    await pause(0.3)
    assert len(told.times) == 1
    await third.store.close()
    await exchange.close()
