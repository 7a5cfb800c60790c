"""
Tests for L{txsessions.stores.redisserver.journal} while the server is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest_twisted
from redistools import newRecord
from servers import RedisServer, pause
from twisted.internet.defer import Deferred, gatherResults

from txsessions.errors import StoreUnavailable
from txsessions.lifetime import LOGOUT
from txsessions.stores.redis import RedisStore

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


async def retried(operation: Callable[[], Deferred[Any]]) -> Any:
    """
    What an operation gives in the end, however often the store cannot answer.
    """
    while True:
        try:
            return await operation()
        except StoreUnavailable:
            await pause()


class Ledger:
    """
    What was ended, and what was told.

    @ivar ended: The handles of those sessions that surely have been ended.
    @ivar told: How often each was told, after that was acknowledged.
    """

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.ended: set[str] = set()
        self.told: dict[str, int] = {}
        self.isOver = False

    async def end(self) -> None:
        """
        End one session after the other.
        """
        while not self.isOver:
            record = newRecord()
            try:
                if await self.store.createSession(record):
                    await self.store.deleteSession(record.sid, LOGOUT)
                    self.ended.add(record.sid)
            except StoreUnavailable:
                await pause()

    async def tell(self) -> None:
        """
        Take what there is, and acknowledge it, until there is nothing left.
        """
        while True:
            taken = await retried(lambda: self.store.takeEndings("audit", 20, 0.2))
            ids = [entry.eventID for entry in taken]
            await retried(lambda ids=ids: self.store.acknowledge("audit", ids))
            for entry in taken:
                self.told[entry.record.sid] = self.told.get(entry.record.sid, 0) + 1
            if self.isOver and not taken:
                return
            await pause(0.01)


async def toldThroughCrashes(server: RedisServer) -> tuple[int, int, int]:
    """
    Kill a server again and again while sessions end, and somebody is told of it.

    @return: How many ended, how many of these were not told, and how many were told twice
        although the first time had been acknowledged.
    """
    store = RedisStore(path=server.path, timeout=1.0)
    await store.enrol("audit")
    ledger = Ledger(store)
    ending = [Deferred.fromCoroutine(ledger.end()) for _ in range(8)]
    telling = Deferred.fromCoroutine(ledger.tell())
    for _ in range(3):
        await pause(0.2)
        await server.kill()
        await server.start()
    await pause(0.2)
    ledger.isOver = True
    await gatherResults([*ending, telling])
    # What the last lease still holds.
    await pause(0.3)
    await ledger.tell()
    await store.close()
    twice = sum(count > 1 for count in ledger.told.values())
    return len(ledger.ended), len(ledger.ended - set(ledger.told)), twice


@pytest_twisted.ensureDeferred
async def test_killed(run: Any, tmp_path: Path) -> None:
    """
    A server that writes each change to its append-only file, and is killed under load, loses
    no ending, and no acknowledgement.
    """
    ended, untold, twice = await toldThroughCrashes(await run(RedisServer(tmp_path, *DURABLE)))
    assert ended > 100
    assert (untold, twice) == (0, 0)


@pytest_twisted.ensureDeferred
async def test_killedWithoutAFile(run: Any, tmp_path: Path) -> None:
    """
    That goes red for a server without an append-only file.
    """
    _, untold, _ = await toldThroughCrashes(await run(RedisServer(tmp_path)))
    assert untold > 0
