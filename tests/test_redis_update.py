"""
Tests for L{txsessions.stores.redis}: what most requests ask for is done in a way of its own,
and comes to the same.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import keyOf, newRecord
from servers import RedisServer

from txsessions.errors import SessionError
from txsessions.record import Change
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.fields import AT_ONCE

NOW = float(int(time.time()))

MANY = {f"data:{number}": b"1" for number in range(4 * AT_ONCE)}

CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a touch": {"lastModified": NOW + 1 / 3},
    "an older touch": {"lastModified": NOW - 1.0},
    "the same touch": {"lastModified": NOW},
    "content": {"set": {"data:a": b"2", "data:\udcff": b"{}"}},
    "both": {"set": {"data:a": b"2"}, "lastModified": NOW + 1.1},
    "content, and an older touch": {"set": {"data:a": b"2"}, "lastModified": NOW - 1.0},
    "as much as goes at once": {"set": dict(list(MANY.items())[:AT_ONCE])},
    "more": {"set": MANY, "lastModified": NOW + 1.0},
    "the right version": {"set": {"data:a": b"2"}, "expectedVersion": 2**40},
    "another version": {"expectedVersion": 7, "lastModified": NOW + 900.0},
    "a touch just in time": {"lastModified": NOW + 899.9},
    "a touch too late": {"lastModified": NOW + 900.0},
    "content too late": {"set": {"data:a": b"2"}, "lastModified": NOW + 900.0},
}

RECORDS: dict[str, dict[str, Any]] = {
    "idle": {},
    "old": {"created": NOW - 1000.0, "absoluteTimeout": 1500.5, "version": 2**40},
    "endless": {"sessionTimeout": 1e300, "absoluteTimeout": 1e300},
    "till midnight": {"sessionTimeout": 86399.5 + 86400.0 - NOW % 86400, "sessionKey": "anna"},
}


async def outcomeOf(store: RedisStore, server: RedisServer, change: Change) -> Any:
    """
    What comes of a change: the answer, the record as it is kept, and whether the server keeps it
    for longer.
    """
    key = keyOf(change.sid)
    server.ask("EXPIRE", key, 3600)
    try:
        answer: Any = await store.saveSession(change)
    except SessionError as e:
        answer = (type(e), str(e).replace(change.sid, "…"))
    fields = server.ask("HGETALL", key)
    facts = dict(zip(fields[::2], fields[1::2], strict=True))
    for name in (b"m", b"c", b"i"):
        facts[name] = float(facts[name])
    return answer, facts, server.ask("TTL", key) > 3600


@pytest.mark.parametrize("kind", RECORDS)
@pytest_twisted.ensureDeferred
async def test_sameAsAnyOther(run: Any, tmp_path: Path, kind: str) -> None:
    """
    A change comes to the same in the short way, and in the one of those that ask for more (here:
    for a verifier).
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    facts = {"created": NOW, "lastModified": NOW, "sessionTimeout": 900.0, **RECORDS[kind]}
    for name, parts in CHANGES.items():
        outcomes = []
        for expected in (None, b"v" * 32):
            record = newRecord(attributes={"data:a": b"1"}, **facts)
            await store.createSession(record)
            change = Change(record.sid, expectedVerifier=expected, **parts)
            outcomes.append(await outcomeOf(store, server, change))
        assert outcomes[0] == outcomes[1], name
    await store.close()


@pytest_twisted.ensureDeferred
async def test_cost(run: Any, tmp_path: Path) -> None:
    """
    The server carries out one command for what most requests ask it to load, and one script of
    two commands for what they have saved.
    """
    server = await run(RedisServer(tmp_path))
    store = RedisStore(path=server.path)
    record = newRecord()
    await store.createSession(record)
    server.ask("CONFIG", "RESETSTAT")
    await store.loadSession(record.sid)
    await store.saveSession(
        Change(record.sid, set={"data:a": b"1"}, lastModified=record.lastModified + 1.0)
    )
    lines = server.ask("INFO", "commandstats").decode().splitlines()
    counts = {line.split(":")[0]: line.split("calls=")[1].split(",")[0] for line in lines[1:]}
    counts = {name: count for name, count in counts.items() if "config" not in name}
    assert counts == dict.fromkeys(
        ("cmdstat_hgetall", "cmdstat_evalsha", "cmdstat_hmget", "cmdstat_hset"), "1"
    )
    await store.close()
