"""
Tests for L{txsessions.stores.redisserver.notices}: what is heard of endings, through whatever
happens to the connection.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_twisted
from servers import RedisCluster, RedisServer, pause, until, withReplica
from twisted.logger import globalLogPublisher

from txsessions.errors import StoreUnavailable
from txsessions.record import Record
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.notices import Notices


class Ear:
    """
    Somebody who hears of endings.

    @ivar heard: The handles of those that ended.
    @ivar missed: How often some may have been missed.
    """

    def __init__(self, store: RedisStore) -> None:
        self.heard: list[str] = []
        self.missed = 0
        self.stop = store.watchEndings(lambda sid, reason: self.heard.append(sid), self._missed)

    def _missed(self) -> None:
        """
        Some may have been missed.
        """
        self.missed += 1


def listeners(server: RedisServer) -> int:
    """
    How many connections listen to what ends.
    """
    return int(server.ask("PUBSUB", "NUMSUB", "txsessions:ended")[1])


async def endOne(store: RedisStore) -> str:
    """
    A session that begins and ends; its handle.
    """
    now = time.time()
    record = Record(uuid4().hex, b"v" * 32, now, now, 1800.0)
    await store.createSession(record)
    await store.deleteSession(record.sid)
    return record.sid


async def isHeard(ear: Ear, store: RedisStore) -> bool:
    """
    Whether an ending is heard of soon.
    """
    try:
        sid = await endOne(store)
    except StoreUnavailable:
        return False
    for _ in range(10):
        if sid in ear.heard:
            return True
        await pause(0.01)
    return False


@pytest_twisted.ensureDeferred
async def test_connectedWhileWatched(run: Any, tmp_path: Path) -> None:
    """
    There is one connection for all who watch, as long as somebody does; what was never
    lost was never missed.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    await store.hasSession("0" * 32)
    assert listeners(server) == 0
    ears = [Ear(store), Ear(store)]
    await until(lambda: listeners(server) == 1, "it listens")
    sid = await endOne(store)
    await until(lambda: all(sid in ear.heard for ear in ears), "both hear")
    ears[0].stop()
    await pause()
    assert listeners(server) == 1
    ears[1].stop()
    await until(lambda: listeners(server) == 0, "it listens no more")
    assert len(server.ask("CLIENT", "LIST").splitlines()) == 2
    again = Ear(store)
    await until(lambda: isHeard(again, store), "it listens again")
    again.stop()
    again.stop()
    assert [ear.missed for ear in (*ears, again)] == [0, 0, 0]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_closed(run: Any, tmp_path: Path) -> None:
    """
    A store that closes listens no more, and leaves nothing behind; it may be used again.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    ear = Ear(store)
    await store.close()
    assert len(server.ask("CLIENT", "LIST").splitlines()) == 1
    ear.stop()
    again = Ear(store)
    await until(lambda: isHeard(again, store), "it listens again")
    assert ear.heard == []
    await store.close()
    assert len(server.ask("CLIENT", "LIST").splitlines()) == 1


@pytest_twisted.ensureDeferred
async def test_restarted(run: Any, tmp_path: Path) -> None:
    """
    After the connection was lost those who watch are told that they may have missed some,
    once, when it is there again; and then they hear again.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    ear = Ear(store)
    await until(lambda: isHeard(ear, store), "it listens")
    await server.kill()
    await pause(0.05)
    assert ear.missed == 0
    await server.start()
    await until(lambda: ear.missed, "it may have missed some")
    await until(lambda: isHeard(ear, store), "it listens again")
    assert ear.missed == 1
    await store.close()


@pytest_twisted.ensureDeferred
async def test_restartedUnheard(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """
    That goes red when nobody looks for the confirmation.
    """
    monkeypatch.setattr(Notices, "_established", lambda self, client: None)
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    ear = Ear(store)
    await until(lambda: isHeard(ear, store), "it listens")
    await server.kill()
    await server.start()
    await until(lambda: isHeard(ear, store), "it listens again")
    assert ear.missed == 0
    await store.close()


@pytest_twisted.ensureDeferred
async def test_late(run: Any, tmp_path: Path) -> None:
    """
    Whoever begins to watch while the server is down is told that he may have missed some
    when it is back, and hears from then on.
    """
    server = RedisServer(tmp_path)
    store = RedisStore(path=server.path, timeout=0.5)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    ear = Ear(store)
    await until(
        lambda: any("not heard" in (event["log_format"] or "") for event in events), "it is logged"
    )
    globalLogPublisher.removeObserver(events.append)
    assert ear.missed == 0
    await run(server)
    await until(lambda: ear.missed == 1, "it may have missed some")
    await until(lambda: isHeard(ear, store), "it listens")
    await store.close()


@pytest_twisted.ensureDeferred
async def test_notAllowed(run: Any, tmp_path: Path) -> None:
    """
    A user who may not publish, or may not listen, ends sessions as all others do; that nobody
    hears of it is logged.
    """
    server = await run(RedisServer(tmp_path))
    for user, right in (("mute", "-publish"), ("deaf", "-subscribe"), ("both", "resetchannels")):
        server.ask("ACL", "SETUSER", user, "on", ">secret", "~*", "+@all", "allchannels", right)
    listening = RedisStore(path=server.path)
    ear = Ear(listening)
    await until(lambda: isHeard(ear, listening), "it listens")
    for user, isHeardOf in (("mute", False), ("deaf", True), ("both", False)):
        store = RedisStore(path=server.path, user=user, password="secret")
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        await store.enrol(user)
        deaf = Ear(store)
        sid = await endOne(store)
        (entry,) = await store.takeEndings(user, 10, 60.0)
        assert entry.record.sid == sid
        if isHeardOf:
            await until(lambda sid=sid: sid in ear.heard, "it is heard of")
        await pause(0.05)
        globalLogPublisher.removeObserver(events.append)
        assert (sid in ear.heard) is isHeardOf
        isLogged = any("NOPERM" in str(event.get("error")) for event in events)
        assert isLogged is (user != "mute")
        assert deaf.missed == 0
        await store.dismiss(user)
        await store.close()
    await listening.close()


@pytest_twisted.ensureDeferred
async def test_nodeDown(run: Any, tmp_path: Path) -> None:
    """
    On a Cluster what ends on one node is heard of through any other, also after the one
    that was listened to is gone.
    """
    cluster = await run(RedisCluster(tmp_path))
    store = RedisStore(nodes=[f"127.0.0.1:{node.port}" for node in cluster.nodes], timeout=1.0)
    ear = Ear(store)
    await until(lambda: isHeard(ear, store), "it listens")
    sids = [await endOne(store) for _ in range(20)]
    await until(lambda: set(sids) <= set(ear.heard), "all are heard of")
    (node,) = (node for node in cluster.nodes if listeners(node))
    await node.kill()
    await until(lambda: ear.missed, "it may have missed some")
    await until(lambda: isHeard(ear, store), "it listens to another one")
    await store.close()


@pytest_twisted.ensureDeferred
async def test_failOver(run: Any, tmp_path: Path) -> None:
    """
    Behind Sentinels it is the new master that is listened to after a fail-over.
    """
    master, _, sentinel = await withReplica(run, tmp_path)
    store = RedisStore(sentinels=[f"127.0.0.1:{sentinel.port}"], master="main", timeout=1.0)
    ear = Ear(store)
    await until(lambda: isHeard(ear, store), "it listens")
    await master.kill()
    await until(lambda: ear.missed, "it may have missed some")
    await until(lambda: isHeard(ear, store), "it listens to the new master")
    await store.close()
