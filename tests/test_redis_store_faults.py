"""
Tests for L{txsessions.stores.redis} when the server dies, hangs, is full, or is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from redistools import back, givesUp, keyOf, newRecord
from servers import RedisCluster, RedisServer, pause, until, withReplica
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from txsessions.errors import (
    SessionError,
    SessionNotFound,
    StoreTimedOut,
    StoreUnavailable,
    StoreUnusable,
)
from txsessions.record import Change
from txsessions.stores import openStore
from txsessions.stores.redis import RedisStore


async def written(store: RedisStore, sid: str, until_: Callable[[], bool]) -> set[str]:
    """
    Save one attribute after the other.

    @return: The names of those that were acknowledged.
    """
    acknowledged: set[str] = set()
    number = 0
    while not until_():
        number += 1
        name = f"data:{number}:{uuid4().hex[:6]}"
        try:
            await store.saveSession(Change(sid, set={name: b"1"}))
        except StoreUnavailable:
            await pause()
        except SessionNotFound:
            break
        else:
            acknowledged.add(name)
    return acknowledged


async def lostInCrashes(server: RedisServer, kills: int) -> tuple[int, int]:
    """
    Kill a server again and again while sessions are saved.

    @return: How many saves were acknowledged, and how many of these are not there.
    """
    store = RedisStore(path=server.path, timeout=1.0)
    records = [newRecord() for _ in range(10)]
    await gatherResults([store.createSession(record) for record in records])
    over: list[bool] = []
    writing = [
        Deferred.fromCoroutine(written(store, record.sid, lambda: bool(over))) for record in records
    ]
    for _ in range(kills):
        await pause(0.15)
        await server.kill()
        await server.start()
        await back(store)
    await pause(0.1)
    over.append(True)
    total = lost = 0
    for record, acknowledged in zip(records, await gatherResults(writing), strict=True):
        [(_, loaded)] = await DeferredList([store.loadSession(record.sid)], consumeErrors=True)
        total += len(acknowledged)
        lost += len(acknowledged - set(getattr(loaded, "attributes", ())))
    await store.close()
    return total, lost


@pytest_twisted.ensureDeferred
async def test_killedUnderLoad(run: Any, tmp_path: Path, record_property: Any) -> None:
    """
    A server that writes each change to its append-only file, and is killed under load, loses
    no save that was acknowledged.
    """
    server = await run(RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always"))
    total, lost = await lostInCrashes(server, 3)
    record_property("figures", f"{total:,} acknowledged saves, 3 kills")
    assert total > 100
    assert lost == 0


@pytest_twisted.ensureDeferred
async def test_killedUnderLoadFindsLosses(run: Any, tmp_path: Path) -> None:
    """
    That goes red for a server without an append-only file.
    """
    server = await run(RedisServer(tmp_path))
    _, lost = await lostInCrashes(server, 1)
    assert lost > 0


@pytest_twisted.ensureDeferred
async def test_flushedScripts(run: Any, tmp_path: Path) -> None:
    """
    When the server forgets its scripts nobody notices, whatever is under way.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord()
    await store.createSession(record)
    versions = []
    for number in range(20):
        server.ask("SCRIPT", "FLUSH")
        saves = [
            store.saveSession(Change(record.sid, set={f"data:{number}:{n}": b"1"}))
            for n in range(5)
        ]
        versions += await gatherResults(saves)
    assert versions == list(range(2, 102))
    server.ask("SCRIPT", "FLUSH")
    assert (await store.claimExpired(10)).nextDeadline == pytest.approx(
        record.created + 1800, abs=0.1
    )
    await store.close()


@pytest_twisted.ensureDeferred
async def test_frozen(run: Any, tmp_path: Path) -> None:
    """
    While the server hangs an operation fails at its time-out, later ones at once; afterwards
    the sessions are there, and each save that was acknowledged.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path, timeout=0.4)
    record = newRecord()
    await store.createSession(record)
    server.freeze()
    began = reactor.seconds()
    assert isinstance(await givesUp(store.loadSession(record.sid)), StoreTimedOut)
    assert 0.4 <= reactor.seconds() - began < 0.6
    for operation in (
        store.loadSession(record.sid, "nothing"),
        store.saveSession(Change(record.sid, set={"data:a": b"1"})),
        store.claimExpired(10),
        store.findSessions("anna"),
    ):
        began = reactor.seconds()
        error = await givesUp(operation)
        assert isinstance(error, StoreUnavailable)
        assert not isinstance(error, StoreUnusable)
        assert reactor.seconds() - began < 0.05
    server.thaw()
    await back(store)
    assert await store.loadSession(record.sid) == record
    assert await store.saveSession(Change(record.sid, set={"data:a": b"1"})) == 2
    await store.close()


@pytest_twisted.ensureDeferred
async def test_closeAtOnce(run: Any, tmp_path: Path) -> None:
    """
    What was asked before anything was known of the server is done before the store closes,
    and no connection is left.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord()
    created, found = store.createSession(record), store.findSessions("anna")
    await store.close()
    assert created.result is True
    assert found.result == []
    assert store._handle._client is None
    assert b"cmd=exists" not in server.ask("CLIENT", "LIST")
    assert len(server.ask("CLIENT", "LIST").splitlines()) == 1


@pytest_twisted.ensureDeferred
async def test_fullMemory(run: Any, tmp_path: Path) -> None:
    """
    When the memory of the server is full a save fails, sessions are as they were, and can be
    read and ended.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord(attributes={"data:a": b"1"})
    await store.createSession(record)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    error = await givesUp(store.saveSession(Change(record.sid, set={"data:a": b"2"})))
    assert isinstance(error, StoreUnavailable)
    assert "OOM" in str(error)
    assert await store.loadSession(record.sid) == record
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert await store.saveSession(Change(record.sid, set={"data:a": b"2"})) == 2
    await store.close()


@pytest_twisted.ensureDeferred
async def test_sentinels(run: Any, tmp_path: Path) -> None:
    """
    A store that was given Sentinels follows the master, and keeps its sessions.
    """
    master, replica, sentinel = await withReplica(run, tmp_path)
    store = openStore(rf"redis:sentinels=127.0.0.1\:{sentinel.port}:master=main:timeout=1s")
    record = newRecord()
    await store.createSession(record)
    await until(lambda: replica.ask("EXISTS", keyOf(record.sid)), "the replica has it")
    await master.kill()
    assert isinstance(await givesUp(store.loadSession(record.sid)), SessionError)
    await back(store)
    assert await store.loadSession(record.sid) == record
    assert await store.saveSession(Change(record.sid, set={"data:a": b"1"})) == 2
    await store.close()


@pytest_twisted.ensureDeferred
async def test_oneNodeDown(run: Any, tmp_path: Path) -> None:
    """
    While one node of a Cluster is down the sessions of the others can be used, and those of
    that node are unavailable, not absent.
    """
    cluster = await run(RedisCluster(tmp_path, "--appendonly", "yes", "--appendfsync", "always"))
    store = openStore("redis:nodes=" + rf"127.0.0.1\:{cluster.nodes[0].port}" + ":timeout=1s")
    records = [newRecord() for _ in range(60)]
    await gatherResults([store.createSession(record) for record in records])
    await store.setup()
    await cluster.nodes[1].kill()
    answers = await DeferredList(
        [store.loadSession(record.sid) for record in records], consumeErrors=True
    )
    up = [result for succeeded, result in answers if succeeded]
    assert up == [record for record, (isUp, _) in zip(records, answers, strict=True) if isUp]
    down = [result.value for succeeded, result in answers if not succeeded]
    assert len(up) > 10
    assert len(down) > 5
    assert all(isinstance(error, StoreUnavailable) for error in down)
    assert isinstance(await givesUp(store.claimExpired(10)), StoreUnavailable)
    await cluster.nodes[1].start()
    await until(cluster.isWhole, "the Cluster is whole again")
    await back(store)
    again = await gatherResults([store.loadSession(record.sid) for record in records])
    assert again == records
    await store.close()
