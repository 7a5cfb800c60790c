"""
Tests for L{txsessions.stores.redis}: servers that are not right, and users who may not do
what is needed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import givesUp, keyOf, newRecord, spoil
from servers import RedisServer, until
from twisted.internet.defer import gatherResults
from twisted.logger import globalLogPublisher

from txsessions.errors import (
    CorruptRecord,
    StoreUnusable,
)
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, timeText
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.checks import check

SECRET = "hunter2-is-secret"


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
