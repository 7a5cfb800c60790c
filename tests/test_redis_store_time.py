"""
Tests for L{txsessions.stores.redis}: whose time counts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import KEYS, givesUp, keyOf, newRecord
from servers import RedisServer, pause, until
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded
from txsessions.record import Change
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.lua import SLACK


@pytest_twisted.ensureDeferred
async def test_ownClock(run: Any, tmp_path: Path) -> None:
    """
    A store whose clock has nothing to do with the server's gives back the times that it was
    given, to a microsecond, and ends a session when its time has passed for the server.
    """
    server = await run(RedisServer(tmp_path))
    clock = Clock()
    clock.advance(1_000_000.0)
    store = RedisStore(path=server.path, clock=clock)
    now = clock.seconds()
    record = newRecord(created=now - 50.25, lastModified=now, sessionTimeout=0.2)
    other = newRecord(created=now, lastModified=now, sessionTimeout=100.0, absoluteTimeout=7.5)
    await gatherResults([store.createSession(each) for each in (record, other)])
    assert await store.loadSession(record.sid) == record
    assert await store.loadSession(other.sid) == other
    await store.saveSession(Change(record.sid, lastModified=now + 0.1))
    claim = await store.claimExpired(10)
    assert list(claim.endings) == []
    # The touch has moved nothing; it counts when the session comes up.
    assert claim.nextDeadline == pytest.approx(now + 0.2, abs=1e-5)
    await pause(0.35)
    claim = await store.claimExpired(10)
    assert [ending.record.sid for ending in claim.endings] == [record.sid]
    assert claim.endings[0].record.lastModified == pytest.approx(now + 0.1, abs=1e-5)
    assert claim.nextDeadline == pytest.approx(now + 7.5, abs=1e-5)
    await store.close()


@pytest_twisted.ensureDeferred
async def test_clocksApart(run: Any, tmp_path: Path) -> None:
    """
    Processes whose clocks are an hour apart end no session early, none late, and see each
    other's touches.
    """
    server = await run(RedisServer(tmp_path))
    clocks = [Clock(), Clock(), Clock()]
    for clock, shift in zip(clocks, (-3600, 0, 3600), strict=True):
        clock.advance(time.time() + shift)
    stores = [RedisStore(path=server.path, clock=clock) for clock in clocks]
    slow, right, fast = stores
    begin = clocks[0].seconds()
    record = newRecord(created=begin, lastModified=begin, sessionTimeout=60.0)
    await slow.createSession(record)
    for store, clock in zip(stores, clocks, strict=True):
        claim = await store.claimExpired(10)
        assert list(claim.endings) == []
        assert claim.nextDeadline == pytest.approx(clock.seconds() + 60, abs=2)
        loaded = await store.loadSession(record.sid)
        assert loaded.lastModified == pytest.approx(clock.seconds(), abs=2)
    assert await fast.saveSession(Change(record.sid, lastModified=clocks[2].seconds() + 30)) == 1
    loaded = await right.loadSession(record.sid)
    assert loaded.lastModified == pytest.approx(clocks[1].seconds() + 30, abs=2)
    late = Change(record.sid, lastModified=clocks[2].seconds() + 30 + 61)
    assert isinstance(await givesUp(fast.saveSession(late)), SessionEnded)
    await gatherResults([store.close() for store in stores])


@pytest_twisted.ensureDeferred
async def test_lentClock(run: Any, tmp_path: Path) -> None:
    """
    A clock that is lent after the store was used counts from the next operation on.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord()
    await store.createSession(record)
    assert await store.loadSession(record.sid) == record
    store.clock = Clock()
    store.clock.advance(5000.0)
    loaded = await store.loadSession(record.sid)
    assert loaded.lastModified == pytest.approx(5000.0, abs=5)
    await store.close()


@pytest_twisted.ensureDeferred
async def test_safetyNet(run: Any, tmp_path: Path) -> None:
    """
    The server itself forgets a session long after its deadline, and the end of one after an
    hour; an entry of the index that is left then is taken out when it is read.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record, overdue = newRecord(sessionKey="anna"), newRecord(lastModified=0.0, created=0.0)
    await gatherResults([store.createSession(each) for each in (record, overdue)])
    assert server.ask("TTL", keyOf(record.sid)) == pytest.approx(1800 + SLACK, abs=5)
    assert server.ask("TTL", keyOf(overdue.sid)) == pytest.approx(SLACK, abs=5)
    await store.saveSession(Change(record.sid, sessionTimeout=5 * 86400.0))
    assert server.ask("TTL", keyOf(record.sid)) == pytest.approx(5 * 86400 + SLACK, abs=5)
    await store.deleteSession(overdue.sid)
    assert server.ask("TTL", keyOf(overdue.sid)) == pytest.approx(3600, abs=5)
    server.ask("DEL", keyOf(record.sid))
    owners = KEYS.bucket(record.sid).owners
    assert server.ask("ZCARD", owners) == 1
    assert await store.findSessions("anna") == []
    assert await store.loadSession(record.sid) is None
    assert await until(lambda: server.ask("ZCARD", owners) == 0, "the entry is taken out")
    server.ask("ZADD", KEYS.bucket(record.sid).deadlines, 1, record.sid)
    assert list((await store.claimExpired(10)).endings) == []
    assert (await store.claimExpired(10)).nextDeadline is None
    await store.close()
