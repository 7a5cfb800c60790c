"""
Tests for L{txsessions.stores.redis} when something is wrong: with the server, its time, its
configuration, or a record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from servers import RedisCluster, RedisServer, pause, until, withReplica
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.errors import (
    CorruptRecord,
    SessionEnded,
    SessionError,
    SessionNotFound,
    StoreTimedOut,
    StoreUnavailable,
    StoreUnusable,
)
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores import openStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.checks import check
from txsessions.stores.redisserver.keys import Keys
from txsessions.stores.redisserver.lua import SLACK

SECRET = "hunter2-is-secret"
KEYS = Keys("txsessions")


def newRecord(**facts: Any) -> Record:
    """
    A record of a session that begins now.
    """
    now = time.time()
    usual = {"created": now, "lastModified": now, "sessionTimeout": 1800.0}
    return Record(**{"sid": uuid4().hex, "verifier": b"v" * 32, **usual, **facts})


def keyOf(sid: str) -> bytes:
    """
    The key of a record.
    """
    return KEYS.bucket(sid).record(sid)


async def givesUp(operation: Deferred[Any]) -> Any:
    """
    The error that an operation fails with.
    """
    [(succeeded, result)] = await DeferredList([operation], consumeErrors=True)
    assert not succeeded, result
    return result.value


async def back(store: RedisStore) -> None:
    """
    Wait until the store answers again.
    """

    async def answers() -> bool:
        try:
            return await store.hasSession("0" * 32) is False
        except StoreUnavailable:
            return False

    await until(answers, "the store answers again")


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
async def test_killedUnderLoad(run: Any, tmp_path: Path) -> None:
    """
    A server that writes each change to its append-only file, and is killed under load, loses
    no save that was acknowledged.
    """
    server = await run(RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always"))
    total, lost = await lostInCrashes(server, 3)
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
    assert claim.nextDeadline == pytest.approx(now + 0.3, abs=1e-5)
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


DAMAGES: dict[str, Callable[[RedisServer, bytes], object]] = {
    "another type": lambda server, key: server.ask("SET", key, "x"),
    "no verifier": lambda server, key: server.ask("HDEL", key, "d"),
    "no number": lambda server, key: server.ask("HSET", key, "m", "yesterday"),
    "NaN": lambda server, key: server.ask("HSET", key, "c", "nan"),
    "hexadecimal": lambda server, key: server.ask("HSET", key, "i", "0x10"),
    "no text": lambda server, key: server.ask("HSET", key, "o", b"\xff\xfe"),
    "no version": lambda server, key: server.ask("HSET", key, "v", "1.5"),
    "attributes alone": lambda server, key: server.ask("HDEL", key, *"vdcmiao"),
}


def spoil(server: RedisServer, key: bytes, damage: str) -> None:
    """
    Damage a record.
    """
    if damage == "another type":
        server.ask("DEL", key)
    DAMAGES[damage](server, key)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest_twisted.ensureDeferred
async def test_damaged(run: Any, tmp_path: Path, damage: str) -> None:
    """
    Whatever is wrong with a record, it is told once to who asks for it, ended sessions and
    other records are not touched by it, and it is kept for people to look at.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    records = [newRecord(sessionKey="anna", attributes={"data:a": b"1"}) for _ in range(5)]
    await gatherResults([store.createSession(record) for record in records])
    loaded, ended, found, browsed, whole = records
    for record in (loaded, ended, found, browsed):
        spoil(server, keyOf(record.sid), damage)
    error = await givesUp(store.loadSession(loaded.sid))
    assert isinstance(error, CorruptRecord)
    aside = KEYS.bucket(loaded.sid).damaged(loaded.sid)
    assert aside.decode() in str(error)
    assert server.ask("EXISTS", aside) == 1
    assert server.ask("TTL", aside) > 86400
    assert await store.loadSession(loaded.sid) is None
    assert isinstance(await givesUp(store.deleteSession(ended.sid)), CorruptRecord)
    assert await store.hasSession(ended.sid) is False
    assert await store.findSessions("anna") == [whole]
    assert [sid async for sid, _ in store.iterSessions()] == [whole.sid]
    for record in (found, browsed):
        await until(
            lambda record=record: server.ask("EXISTS", keyOf(record.sid)) == 0, "it is put aside"
        )
    assert await store.loadSession(whole.sid) == whole
    await store.close()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest_twisted.ensureDeferred
async def test_damagedInASweep(run: Any, tmp_path: Path, damage: str) -> None:
    """
    A sweep puts damaged records aside and gives all others.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    now = time.time()
    attributes = {"data:a": b"1"}
    records = [newRecord(lastModified=now - 3600 - n, attributes=attributes) for n in range(20)]
    await gatherResults([store.createSession(record) for record in records])
    damaged = records[5]
    spoil(server, keyOf(damaged.sid), damage)
    given = []
    for _ in range(20):
        claim = await store.claimExpired(5)
        given += [ending.record for ending in claim.endings]
    assert {record.sid for record in given} == {r.sid for r in records} - {damaged.sid}
    assert claim.nextDeadline is None
    aside = KEYS.bucket(damaged.sid).damaged(damaged.sid)
    await until(lambda: server.ask("EXISTS", aside) == 1, "it is put aside")
    await store.close()


@pytest_twisted.ensureDeferred
async def test_setup(run: Any, tmp_path: Path) -> None:
    """
    A server that may throw sessions away is refused, with what to do; one that does not is
    taken, and a warning says that it keeps nothing on disk.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    await store.setup()
    globalLogPublisher.removeObserver(events.append)
    assert any("appendonly" in event.get("log_format", "") for event in events)
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await store.setup()
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    error = await givesUp(store.setup())
    assert isinstance(error, StoreUnusable)
    assert "set maxmemory-policy noeviction" in str(error)
    assert "\n" not in str(error)
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await store.setup()
    await store.close()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("redis_version:5.0.14", "6.0 or later is needed"),
        ("redis_version:", "6.0 or later is needed"),
        ("redis_version:7.0.0\r\nredis_mode:cluster", "nodes="),
        ("redis_version:7.0.0\r\nredis_mode:sentinel", "sentinels="),
    ],
)
def test_wrongServer(facts: str, said: str) -> None:
    """
    A server that is too old, or of another kind, is refused with what to do.
    """
    with pytest.raises(StoreUnusable, match=said):
        check([facts.encode()], False, "Redis")


@pytest_twisted.ensureDeferred
async def test_wrongPassword(run: Any, tmp_path: Path) -> None:
    """
    A password that is refused, or a user who may not do what is needed, is told as something
    that somebody has to mend, and the password is told to nobody.
    """
    server = await run(RedisServer(tmp_path))
    server.ask("ACL", "SETUSER", "app", "on", ">another", "~*", "+@all")
    server.ask("ACL", "SETUSER", "weak", "on", f">{SECRET}", "~*", "+ping", "+script|load")
    for user, said in (("app", "WRONGPASS"), ("weak", "NOPERM")):
        store = RedisStore(path=server.path, user=user, password=SECRET)
        for operation in (store.setup(), store.loadSession("0" * 32)):
            error = await givesUp(operation)
            assert isinstance(error, StoreUnusable)
            assert said in str(error)
            assert SECRET not in str(error) + repr(store)
        await store.close()


async def useOwners(store: RedisStore) -> None:
    """
    Log in with a limit, and end all sessions of the owner.
    """
    records = [newRecord() for _ in range(2)]
    await gatherResults([store.createSession(each) for each in records])
    for each in records:
        change = Change(each.sid, sessionKey="anna", set={AUTHENTICATED: timeText(time.time())})
        await store.logInSession(change, SessionLimit(1))
    assert len(await store.endSessions("anna")) == 1


@pytest_twisted.ensureDeferred
async def test_smallestUser(run: Any, tmp_path: Path) -> None:
    """
    A user with the rights that the documentation of the store lists can do everything with
    the keys of the store, and nothing with those of others.
    """
    server = await run(RedisServer(tmp_path))
    words = (RedisStore.__doc__ or "").replace("E{lb}", "{").replace("C{", "").split()
    rights = [word.strip(".,;}") for word in words if word[0] in "+~&"]
    assert rights[0] == "~{txsessions:*"
    assert "&txsessions:ended" in rights
    assert len(rights) > 30
    server.ask("ACL", "SETUSER", "app", "on", f">{SECRET}", *rights)
    store = RedisStore(path=server.path, user="app", password=SECRET)
    await store.setup()
    heard: list[str] = []
    stop = store.watchEndings(lambda sid, reason: heard.append(sid), list)
    await until(lambda: server.ask("PUBSUB", "NUMSUB", "txsessions:ended")[1], "it listens")
    await store.enrol("audit")
    record = newRecord(sessionKey="anna", absoluteTimeout=1e6)
    await store.createSession(record)
    change = Change(
        record.sid,
        set={"data:a": b"1"},
        unset=frozenset({"data:b"}),
        sessionKey="bert",
        absoluteTimeout=None,
        lastModified=time.time(),
    )
    assert await store.saveSession(change) == 2
    assert await store.hasSession(record.sid)
    assert len(await store.findSessions("bert")) == 1
    assert [sid async for sid, _ in store.iterSessions()] == [record.sid]
    assert await store.deleteOldSessions(10) == 0
    old = newRecord(lastModified=time.time() - 1e5)
    await store.createSession(old)
    assert len((await store.claimExpired(10)).endings) == 1
    assert (await store.deleteSession(record.sid)).version == 2
    await useOwners(store)
    entries = await store.takeEndings("audit", 10, 60.0)
    assert len(entries) == 4
    await until(lambda: {entry.record.sid for entry in entries} == set(heard), "all are heard of")
    await store.acknowledge("audit", [entry.eventID for entry in entries])
    await store.dismiss("audit")
    stop()
    damaged = newRecord()
    await store.createSession(damaged)
    spoil(server, keyOf(damaged.sid), "no verifier")
    assert isinstance(await givesUp(store.loadSession(damaged.sid)), CorruptRecord)
    await store.close()
    stranger = RedisStore(path=server.path, user="app", password=SECRET, prefix="others")
    assert isinstance(await givesUp(stranger.createSession(newRecord())), StoreUnusable)
    await stranger.close()


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
async def test_prefixes(run: Any, tmp_path: Path) -> None:
    """
    Two applications in one database know nothing of each other's sessions.
    """
    server = await run(RedisServer(tmp_path))
    one, two = (RedisStore(path=server.path, prefix=prefix) for prefix in ("one", "two"))
    record = newRecord(sessionKey="anna", lastModified=0.0)
    await one.createSession(record)
    assert await two.loadSession(record.sid) is None
    assert await two.findSessions("anna") == []
    assert list((await two.claimExpired(10)).endings) == []
    assert len((await one.claimExpired(10)).endings) == 1
    await gatherResults([one.close(), two.close()])


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
