"""
Tests for L{txsessions.stores.postgres}: servers that crash and hang.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from postgresload import TIMEOUT, answers, backends, newLoad, newRecord, outcomes
from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from txsessions.errors import SessionError, StoreTimedOut, StoreUnavailable
from txsessions.record import Change
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.opening import Opening


@pytest_twisted.ensureDeferred
async def test_crash(
    postgres: PostgresServer, make: Callable[..., PostgresStore], record_property: Any
) -> None:
    """
    A server that is killed in the middle of it all loses nothing that was acknowledged,
    and the store goes on when it is back.
    """
    store = make()
    load = await newLoad(store)
    running = load.run()
    for _ in range(2):
        before = sum(load.acknowledged.values())
        await until(lambda: sum(load.acknowledged.values()) > before + 200, "saves")  # noqa: B023
        await postgres.kill()
        await until(lambda: load.failures, "saves fail")
        await postgres.start()
        load.failures.clear()
    before = sum(load.acknowledged.values())
    await until(lambda: sum(load.acknowledged.values()) > before + 200, "saves again")
    load.isRunning = False
    await running
    await answers(store)
    record_property("figures", f"{sum(load.acknowledged.values()):,} acknowledged saves, 2 kills")
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_killedBackends(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Connections that the server ends are made again, and nothing acknowledged is lost.
    """
    store = make()
    load = await newLoad(store)
    running = load.run()
    for _ in range(5):
        before = sum(load.acknowledged.values())
        await until(lambda: sum(load.acknowledged.values()) > before + 100, "saves")  # noqa: B023
        for pid in backends(postgres):
            postgres.ask("SELECT pg_terminate_backend(%s)", pid)
    load.isRunning = False
    await running
    await answers(store)
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_idleConnectionIsReplaced(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    A connection that ended while nothing was asked is not noticed by who asks next.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    for pid in backends(postgres):
        postgres.ask("SELECT pg_terminate_backend(%s)", pid)
    await until(lambda: not backends(postgres), "they have ended")
    assert await store.loadSession(record.sid) == record


@pytest_twisted.ensureDeferred
async def test_freeze(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server that hangs is given up in time, holds nobody afterwards, and when it goes on
    everybody gets the answer to what he asked.
    """
    store = make()
    records = [newRecord(attributes={"data:a": b"%d" % n}) for n in range(100)]
    assert await outcomes(*map(store.createSession, records)) == [True] * 100
    postgres.freeze()
    try:
        began = reactor.seconds()
        first = await outcomes(*(store.loadSession(record.sid) for record in records))
        assert [o for o in first if not isinstance(o, StoreUnavailable)] == []
        assert reactor.seconds() - began < 2 * TIMEOUT
        began = reactor.seconds()
        second = await outcomes(*(store.loadSession(record.sid) for record in records))
        assert [o for o in second if not isinstance(o, StoreUnavailable)] == []
    finally:
        postgres.thaw()
    await answers(store)
    assert await outcomes(*(store.loadSession(r.sid) for r in records)) == records


@pytest_twisted.ensureDeferred
async def test_failsFast(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    While a server is down only one request now and then waits for it, and the reactor
    waits for nothing at all.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    gaps: list[float] = []
    last = [reactor.seconds()]

    def beat() -> None:
        now = reactor.seconds()
        gaps.append(now - last[0])
        last[0] = now

    heart = LoopingCall(beat)
    postgres.freeze()
    try:
        last[0] = reactor.seconds()
        heart.start(0.005)
        await outcomes(store.loadSession(record.sid))
        began, fast, slow = reactor.seconds(), 0, 0
        while reactor.seconds() < began + 1.5:
            call = store.loadSession(record.sid)
            call.addErrback(lambda failure: failure.trap(StoreUnavailable) and None)
            fast, slow = fast + call.called, slow + (not call.called)
            await pause()
        assert slow <= 2
        assert fast > 10
    finally:
        postgres.thaw()
        heart.stop()
    await answers(store)
    assert max(gaps) < 0.1


async def saves(store: PostgresStore, sid: str) -> bool:
    """
    Save a 2, if that can be done.
    """
    (answer,) = await outcomes(store.saveSession(Change(sid, set={"data:a": b"2"})))
    return isinstance(answer, int)


async def overtaken(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> bytes:
    """
    Give up on a save, because the process that serves the connection hangs;
    save something else; let the process go on.

    @return: What is stored in the end.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    (pid,) = backends(postgres)
    os.kill(pid, signal.SIGSTOP)
    try:
        (given,) = await outcomes(store.saveSession(Change(record.sid, set={"data:a": b"1"})))
        assert isinstance(given, StoreTimedOut)

        isSaved = False
        for _ in range(5):
            isSaved = isSaved or await saves(store, record.sid)
            await pause(0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    if not isSaved:
        await until(lambda: saves(store, record.sid), "a save")
    await until(lambda: pid not in backends(postgres), "the old connection has ended")
    loaded = await store.loadSession(record.sid)
    assert loaded is not None
    return loaded.attributes["data:a"]


@pytest_twisted.ensureDeferred
async def test_notOvertaken(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A save that nobody waits for any more does not undo a later one.
    """
    assert await overtaken(postgres, make) == b"2"


@pytest_twisted.ensureDeferred
async def test_overtakenWithoutLock(
    postgres: PostgresServer, make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Connections that do not wait for the end of the one before let it happen.
    """
    monkeypatch.setattr(Opening, "_takeOver", lambda self: iter(()))
    assert await overtaken(postgres, make) == b"1"


@pytest_twisted.ensureDeferred
async def test_closeDrains(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    What was asked for before the close is stored, and no connection is left.
    """
    store = make()
    load = await newLoad(store, 200)
    answered: list[int] = []
    for sid in load.acknowledged:
        change = Change(sid, set={"data:n": b"1"})
        store.saveSession(change).addCallback(answered.append)
        load.acknowledged[sid] = load.tried[sid] = 1
    await store.close()
    assert answered == [2] * 200
    await until(lambda: not backends(postgres), "its connections have ended")
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_closeWhileDown(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A store whose server is gone can be closed.
    """
    store = make()
    await store.createSession(newRecord())
    await postgres.kill()
    try:
        given = await outcomes(store.hasSession("0" * 32), store.close())
        assert isinstance(given[0], SessionError)
        assert given[1] is None
    finally:
        await postgres.start()
