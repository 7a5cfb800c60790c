"""
How long stores hold the reactor where there is very much to do.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest_twisted
from backends import backend
from redistools import newRecord
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import LoopingCall

from txsessions.courier import BATCH
from txsessions.stores import openStore
from txsessions.stores.wrapping import Call, Operation, WrappingStore
from txsessions.sweeper import Sweeper

STORES = {
    "memory": "memory",
    "sqlite": "sqlite:{}/sessions.db",
    "json": "json:{}/sessions",
    "redis": "redis",
    "cluster": "redis-cluster",
    "postgres": "postgres",
}

SESSIONS = {"json": 200}
MANY = 1000
"""
How many sessions there are; fewer where each of them is synced to the disk by itself.
"""

TOGETHER = 50
"""
So many are made at the same time, so that the test does not hold the reactor itself.
"""

EXPIRED = {"sessionTimeout": 30.0}

LONGEST = 0.05


class Pulse:
    """
    Looks in each turn of the reactor how much of the processor its thread has taken.

    @ivar longest: The most between two looks, in seconds.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()
        self._call = LoopingCall(self._look)
        self._call.start(0)

    def stop(self) -> None:
        """
        Look no more.
        """
        self._look()
        self._call.stop()

    def _look(self) -> None:
        """
        Look.
        """
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now


@contextmanager
def pulse() -> Iterator[Pulse]:
    """
    Looks for as long as a block takes.
    """
    gc.collect()
    found = Pulse()
    try:
        yield found
    finally:
        found.stop()


@pytest_twisted.async_yield_fixture(params=STORES)
async def kept(request: Any, tmp_path: Path) -> AsyncIterator[tuple[Any, int]]:
    """
    A store, on a server of its own if it needs one, and how many sessions to make.
    """
    server, text = backend(STORES[request.param].format(tmp_path), tmp_path / "server")
    if server is not None:
        await server.start()
    store: Any = openStore(text)
    yield store, SESSIONS.get(request.param, MANY)
    if request.param != "memory":
        await store.close()
    if server is not None:
        await server.kill()
        getattr(server, "remove", lambda: None)()


async def fill(store: Any, count: int, **facts: Any) -> None:
    """
    Make sessions.
    """
    for _ in range(0, count, TOGETHER):
        records = [newRecord(attributes={"data:a": b'"x"'}, **facts) for _ in range(TOGETHER)]
        await gatherResults([store.createSession(record) for record in records])


async def browse(store: Any) -> int:
    """
    Look at all sessions.
    """
    return len([sid async for sid, _ in store.iterSessions()])


async def tell(store: Any) -> int:
    """
    Take all endings from the journal.
    """
    count = 0
    while entries := await store.takeEndings("mail", BATCH, 60.0):
        await store.acknowledge("mail", [entry.eventID for entry in entries])
        count += len(entries)
    return count


async def held(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """
    How long the reactor was held at the most, and what the work came to.
    """
    with pulse() as found:
        result = await work()
    return found.longest, result


@pytest_twisted.ensureDeferred
async def test_owner(kept: Any, record_property: Any) -> None:
    """
    Very many sessions of one owner are found, browsed, ended together and told of, and nothing
    of that holds the reactor for more than 50 ms.
    """
    store, count = kept
    await store.enrol("mail")
    await fill(store, count, sessionKey="anna")
    found, sessions = await held(lambda: store.findSessions("anna"))
    browsed, seen = await held(lambda: browse(store))
    ended, endings = await held(lambda: store.endSessions("anna"))
    told, entries = await held(lambda: tell(store))
    assert len(sessions) == seen == len(endings) == entries == count
    longest = max(found, browsed, ended, told)
    record_property("figures", f"{count:,} sessions, {1000 * longest:.0f} ms")
    assert longest < LONGEST


@pytest_twisted.ensureDeferred
async def test_expired(kept: Any, record_property: Any) -> None:
    """
    Very many sessions that have expired hold it for no longer.
    """
    store, count = kept
    await fill(store, count, created=time.time() - 90, lastModified=time.time() - 60, **EXPIRED)
    told: list[Any] = []
    clock: Any = reactor
    longest, _ = await held(Sweeper(store, clock, told.append).run)
    assert len(told) == count
    record_property("figures", f"{count:,} sessions, {1000 * longest:.0f} ms")
    assert longest < LONGEST


class BusyStore(WrappingStore):
    """
    Works where the reactor does: broken on purpose.
    """

    def around(self, call: Call, proceed: Operation) -> Any:
        end = time.thread_time() + 2 * LONGEST
        while time.thread_time() < end:
            pass
        return proceed()


@pytest_twisted.ensureDeferred
async def test_control() -> None:
    """
    A store that works in the reactor's thread is noticed.
    """
    store = BusyStore(openStore("memory"))
    longest, _ = await held(lambda: store.findSessions("anna"))
    assert longest > LONGEST
