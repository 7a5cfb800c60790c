"""
Tests for L{txsessions.stores.redis}: records that are none.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import DAMAGES, KEYS, givesUp, keyOf, newRecord, spoil
from servers import RedisServer, until
from twisted.internet.defer import gatherResults

from txsessions.errors import CorruptRecord
from txsessions.record import Change
from txsessions.stores.redis import RedisStore


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


@pytest.mark.parametrize(
    "damage", ["another type", "no verifier", "no number", "NaN", "attributes alone"]
)
@pytest_twisted.ensureDeferred
async def test_damagedWhenSaved(run: Any, tmp_path: Path, damage: str) -> None:
    """
    A record that is damaged while somebody works on the session takes no change: that is told,
    and it is put aside.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord(attributes={"data:a": b"1"})
    await store.createSession(record)
    spoil(server, keyOf(record.sid), damage)
    change = Change(record.sid, set={"data:a": b"2"}, lastModified=record.lastModified + 1.0)
    assert isinstance(await givesUp(store.saveSession(change)), CorruptRecord)
    assert server.ask("EXISTS", KEYS.bucket(record.sid).damaged(record.sid)) == 1
    assert server.ask("EXISTS", keyOf(record.sid)) == 0
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
