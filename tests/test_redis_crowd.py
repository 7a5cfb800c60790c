"""
Tests for L{txsessions.stores.redisserver.admission}: many that log in at the same time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_twisted
from redisscene import Scene, changeOf
from servers import RedisServer, pause
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, gatherResults

from txsessions.errors import TooManySessions
from txsessions.limit import REFUSE, SessionLimit
from txsessions.record import Record
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.admission import Admission


async def crowd(stage: Scene, limit: SessionLimit, logIns: int) -> tuple[int, list[Any]]:
    """
    Many log in at the same time over two stores.

    @return: How many live sessions were seen at the most, and what came of the log-ins.
    """
    stores = [RedisStore(path=stage.server.path, timeout=5.0) for _ in range(2)]
    now = reactor.seconds()
    records = [Record(uuid4().hex, b"v" * 32, now, now, 1800.0) for _ in range(logIns)]
    await gatherResults([stores[0].createSession(record) for record in records])
    ended = DeferredList(
        [
            stores[number % 2].logInSession(changeOf(record, now + number), limit)
            for number, record in enumerate(records)
        ],
        consumeErrors=True,
    )
    most = 0
    while not ended.called:
        most = max(most, stage.live(), len(await stores[0].findSessions("anna")))
        await pause(0.001)
    answers = [result if succeeded else result.value for succeeded, result in await ended]
    most = max(most, stage.live())
    assert not any(store._lines.open or store._logIns.open for store in stores)
    await gatherResults([store.close() for store in stores])
    return most, answers


@pytest_twisted.ensureDeferred
async def test_hundredLogIns(run: Any, tmp_path: Path) -> None:
    """
    Of a hundred that log in at the same time, over two processes, all get in, and there are
    never more than three; and those that had to go are told to one of them.
    """
    most, answers = await crowd(Scene(await run(RedisServer(tmp_path))), SessionLimit(3), 100)
    assert most == 3
    evicted = [ending.record.sid for answer in answers for ending in answer.evicted]
    assert len(evicted) == len(set(evicted)) == 97


@pytest_twisted.ensureDeferred
async def test_hundredRefused(run: Any, tmp_path: Path) -> None:
    """
    When nobody makes room, exactly three of a hundred get in.
    """
    most, answers = await crowd(
        Scene(await run(RedisServer(tmp_path))), SessionLimit(3, REFUSE), 100
    )
    assert most == 3
    refused = [answer for answer in answers if isinstance(answer, TooManySessions)]
    assert len(refused) == 97


@pytest_twisted.ensureDeferred
async def test_hundredWithoutALine(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """
    That goes red when nobody waits for those before him.
    """

    async def reserve(self: Admission, owner: bytes) -> tuple[float, list[str]]:
        till, _ = await original(self, owner)
        return till, []

    original = Admission._reserve
    monkeypatch.setattr(Admission, "_reserve", reserve)
    most, _ = await crowd(Scene(await run(RedisServer(tmp_path))), SessionLimit(3), 100)
    assert most > 3
