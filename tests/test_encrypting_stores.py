"""
Secrets in stores that L{test_encrypting} and L{test_fixation} do not have: a wrong key, and
what somebody can do with all that the store keeps.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redistools import newRecord
from servers import RedisCluster
from test_fixation import SECRET

from txsessions import SessionManager
from txsessions.errors import UnknownKey
from txsessions.keys import KeyRing
from txsessions.record import Change
from txsessions.stores import openStore
from txsessions.stores.encrypting import EncryptingStore

STORES = ["json", "cluster"]


@pytest_twisted.async_yield_fixture(params=STORES)
async def kept(request: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """
    A store.
    """
    server = None
    text = f"json:{tmp_path / 'sessions'}"
    if request.param == "cluster":
        server = RedisCluster(tmp_path)
        await server.start()
        nodes = ",".join(rf"127.0.0.1\:{node.port}" for node in server.nodes)
        text = f"redis:nodes={nodes}"
    store: Any = openStore(text)
    yield store
    await store.close()
    if server is not None:
        await server.kill()


def everyUse(store: Any, sid: str) -> list[Callable[[], Any]]:
    """
    What one may want of a session's data.
    """
    return [
        lambda: store.loadSession(sid),
        lambda: store.findSessions("anna"),
        lambda: store.saveSession(Change(sid, set={"data:b": b"2"})),
        lambda: store.deleteSession(sid),
    ]


@pytest_twisted.ensureDeferred
async def test_wrongKey(kept: Any) -> None:
    """
    Whatever a process with a wrong key wants, it fails as that and not as damage, and nothing
    is changed: who has the right one finds all as it was.
    """
    right = KeyRing(os.urandom(32))
    record = newRecord(sessionKey="anna", attributes={"data:a": b'"s3cret"'})
    await EncryptingStore(kept, right).createSession(record)
    before = await kept.loadSession(record.sid)
    for number in range(4):
        wrong = EncryptingStore(kept, KeyRing(os.urandom(32)))
        with pytest.raises(UnknownKey):
            await everyUse(wrong, record.sid)[number]()
    assert await kept.loadSession(record.sid) == before
    assert await EncryptingStore(kept, right).loadSession(record.sid) == record


@pytest_twisted.ensureDeferred
async def test_dumped(kept: Any) -> None:
    """
    Nothing of what the store keeps opens a session, alone or behind the public handle.
    """
    manager = SessionManager(kept)
    id = await manager.create("anna", {"pin": SECRET})
    fields: set[bytes] = set()
    async for sid, record in kept.iterSessions():
        verifier = record.verifier.hex().encode()
        fields |= {sid.encode(), record.verifier, verifier, *record.attributes.values()}
        fields |= {sid.encode() + part for part in (verifier, verifier[:32], verifier[32:])}
    assert id.encode() not in fields and len(fields) >= 7
    for field in fields:
        assert await manager.get(field, default=None) is None
    assert await manager.get(id) == {"pin": SECRET}
    await manager.stop()
