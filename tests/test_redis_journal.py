"""
Tests for L{txsessions.stores.redisserver.journal}: endings that are held until they are told,
through crashes of the server, and within bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
from redisscene import Scene
from redistools import newRecord
from servers import RedisCluster, RedisServer, until
from twisted.internet.defer import DeferredList, gatherResults
from twisted.logger import globalLogPublisher

from txsessions.errors import SessionEnded
from txsessions.record import Record
from txsessions.stores.journal import RETENTION, JournalEntry
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.keys import Keys
from txsessions.stores.redisserver.lua import SLACK
from txsessions.stores.redisserver.scripts import Scripts

KEYS = Keys("txsessions")


class SmallStore(RedisStore):
    """
    A store whose journal holds five endings in a bucket.
    """

    _scripts = Scripts(share=5)


async def newSession(store: RedisStore, **facts: Any) -> Record:
    """
    A session that begins now.
    """
    record = newRecord(**facts)
    assert await store.createSession(record)
    return record


def entriesOf(server: RedisServer) -> list[bytes]:
    """
    The keys of all endings that are held.
    """
    return list(server.ask("KEYS", "*}ending:*"))


async def all_(store: RedisStore, observer: str) -> list[JournalEntry]:
    """
    All that an observer has still to be told, and acknowledges.
    """
    entries: list[JournalEntry] = []
    while True:
        taken = await store.takeEndings(observer, 50, 60.0)
        await store.acknowledge(observer, [entry.eventID for entry in taken])
        entries += taken
        if not taken:
            return entries


@pytest_twisted.ensureDeferred
async def test_flushedScripts(run: Any, tmp_path: Path) -> None:
    """
    When the server forgets its scripts nobody notices, whatever is asked of the journal.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    server.ask("SCRIPT", "FLUSH")
    await store.enrol("audit")
    record = await newSession(store)
    server.ask("SCRIPT", "FLUSH")
    await store.deleteSession(record.sid)
    server.ask("SCRIPT", "FLUSH")
    (entry,) = await store.takeEndings("audit", 10, 60.0)
    server.ask("SCRIPT", "FLUSH")
    await store.acknowledge("audit", [entry.eventID])
    server.ask("SCRIPT", "FLUSH")
    await store.dismiss("audit")
    assert entriesOf(server) == []
    await store.close()


@pytest_twisted.ensureDeferred
async def test_bounded(run: Any, tmp_path: Path) -> None:
    """
    What is more than a bucket holds is dropped, the oldest first, nothing of it is left, and
    the log says how many it were.
    """
    server = await run(RedisServer(tmp_path))
    store = SmallStore(path=server.path)
    await store.enrol("audit")
    await store.enrol("mail")
    bucket = KEYS.bucket("0" * 32)
    sids = [sid for sid in (f"{n:032x}" for n in range(2000)) if KEYS.bucket(sid) is bucket][:20]
    for sid in sids:
        await newSession(store, sid=sid)
        await store.deleteSession(sid)
    assert len(entriesOf(server)) == 5
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    told = await all_(store, "audit")
    globalLogPublisher.removeObserver(events.append)
    assert [entry.record.sid for entry in told] == sids[-5:]
    counts = {event["observer"]: event["dropped"] for event in events if "dropped" in event}
    assert counts == {"audit": 15, "mail": 15}
    assert len(entriesOf(server)) == 5
    assert [entry.record.sid for entry in await all_(store, "mail")] == sids[-5:]
    assert entriesOf(server) == []
    await store.close()


@pytest_twisted.ensureDeferred
async def test_retention(run: Any, tmp_path: Path) -> None:
    """
    An ending is held for its time and no longer, also where the server was about to forget
    the session itself.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    await store.enrol("audit")
    overdue = await newSession(store, created=0.0, lastModified=0.0)
    key = KEYS.bucket(overdue.sid).record(overdue.sid)
    server.ask("PEXPIRE", key, 60_000)
    assert len((await store.claimExpired(10)).endings) == 1
    (entry,) = entriesOf(server)
    journal = KEYS.bucket(overdue.sid).journal("audit")
    for held in (entry, journal):
        assert RETENTION - 60 < server.ask("TTL", held) <= RETENTION
    server.ask("DEL", entry)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    assert await store.takeEndings("audit", 10, 60.0) == []
    globalLogPublisher.removeObserver(events.append)
    assert [event["dropped"] for event in events if "dropped" in event] == [1]
    assert server.ask("EXISTS", journal) == 0
    assert SLACK > RETENTION
    await store.close()


@pytest_twisted.ensureDeferred
async def test_retentionByTheClock(run: Any, tmp_path: Path) -> None:
    """
    It is the server's time by which an ending is too old, to the second.
    """
    stage = Scene(await run(RedisServer(tmp_path)))
    store = stage.store()
    await store.enrol("audit")
    for seconds, count in ((RETENTION - 1, 1), (RETENTION, 0)):
        record = await stage.newSession(store)
        await store.deleteSession(record.sid)
        stage.advance(seconds)
        assert len(await all_(store, "audit")) == count
    assert entriesOf(stage.server) == []
    await stage.close()


@pytest_twisted.ensureDeferred
async def test_shared(run: Any, tmp_path: Path) -> None:
    """
    However many have to be told, an ending is there once, until the last of them has been
    told or dismissed.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    for observer in ("audit", "mail", "stock"):
        await store.enrol(observer)
    records = [await newSession(store) for _ in range(300)]
    await gatherResults([store.deleteSession(record.sid) for record in records])
    assert len(entriesOf(server)) == 300
    assert len(await all_(store, "audit")) == 300
    await store.dismiss("mail")
    assert len(entriesOf(server)) == 300
    (entry,) = await store.takeEndings("stock", 1, 60.0)
    await store.acknowledge("stock", [entry.eventID, entry.eventID])
    assert len(entriesOf(server)) == 299
    await store.dismiss("stock")
    assert entriesOf(server) == []
    await store.dismiss("audit")
    assert server.ask("KEYS", "*}observers") == []
    await store.close()


@pytest_twisted.ensureDeferred
async def test_costsNothing(run: Any, tmp_path: Path) -> None:
    """
    Where nobody has to be told, an ending costs one look whether anybody has, inside of the
    script, and nothing is written down.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    records = [await newSession(store) for _ in range(3)]
    for record in records:
        await store.deleteSession(record.sid)
    assert server.calls("smembers") == 3
    assert server.calls("rename") == server.calls("hincrby") == 0
    assert sorted(key.rpartition(b":")[2].decode() for key in server.ask("KEYS", "*")) == sorted(
        record.sid for record in records
    )
    await store.close()


@pytest_twisted.ensureDeferred
async def test_cheapWhenThereIsNothing(run: Any, tmp_path: Path) -> None:
    """
    Whoever asks when there is nothing costs one script on one server, and one for each
    bucket on a Cluster.
    """
    server = await run(RedisServer(tmp_path / "server"))
    cluster = await run(RedisCluster(tmp_path / "cluster"))
    stores = (
        RedisStore(path=server.path),
        RedisStore(nodes=[f"127.0.0.1:{cluster.nodes[0].port}"]),
    )
    for store, nodes, scripts in zip(stores, ([server], cluster.nodes), (1, 64), strict=True):
        await store.enrol("audit")
        assert await store.takeEndings("audit", 100, 60.0) == []
        before = sum(node.calls("evalsha") for node in nodes)
        assert await store.takeEndings("audit", 100, 60.0) == []
        assert sum(node.calls("evalsha") for node in nodes) == before + scripts
        await store.close()


@pytest_twisted.ensureDeferred
async def test_damaged(run: Any, tmp_path: Path) -> None:
    """
    An ending whose record is none is told to the log, harms no other, and goes.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    await store.enrol("audit")
    records = [await newSession(store) for _ in range(2)]
    for record in records:
        await store.deleteSession(record.sid)
    (broken,) = (key for key in entriesOf(server) if records[0].sid.encode() in key)
    server.ask("HDEL", broken, "d")
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    (entry,) = await store.takeEndings("audit", 10, 60.0)
    globalLogPublisher.removeObserver(events.append)
    assert entry.record == records[1]
    assert any("damaged" in event["log_format"] for event in events if event["log_format"])
    await until(lambda: len(entriesOf(server)) == 1, "it goes")
    await store.close()


@pytest_twisted.ensureDeferred
async def test_fullMemory(run: Any, tmp_path: Path) -> None:
    """
    When the memory of the server is full sessions end nevertheless, alone or all of an owner,
    and that is written down.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    await store.enrol("audit")
    records = [await newSession(store, sessionKey="anna") for _ in range(3)]
    await store.takeEndings("audit", 10, 60.0)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    assert (await store.deleteSession(records[0].sid)).sid == records[0].sid
    assert len(await store.endSessions("anna")) == 2
    assert list(await store.endSessions("anna")) == []
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert {entry.record.sid for entry in await all_(store, "audit")} == {r.sid for r in records}
    [(_, answer)] = await DeferredList([store.loadSession(records[0].sid)], consumeErrors=True)
    assert answer.check(SessionEnded)
    await store.close()
