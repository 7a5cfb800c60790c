"""
Tests for L{txsessions.stores.redisserver.owners}: no log-in outruns the end of all sessions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redisscene import Scene, TimedStore, changeOf, isLanding
from servers import RedisServer, until
from twisted.internet.defer import DeferredList

from txsessions.errors import SessionEnded
from txsessions.lifetime import REVOKED
from txsessions.limit import SessionLimit
from txsessions.redis.script import Script
from txsessions.stores.redisserver import owners, ownerscripts
from txsessions.stores.redisserver.keys import Keys, ownerOf

KEYS = Keys("txsessions")


@pytest_twisted.async_yield_fixture
async def stage(run: Any, tmp_path: Path) -> AsyncIterator[Scene]:
    """
    The scene.
    """
    stage = Scene(await run(RedisServer(tmp_path)))
    yield stage
    await stage.close()


async def outrun(stage: Scene, limit: SessionLimit | None) -> Any:
    """
    All sessions of an owner end between a log-in and the step that makes it.

    @return: What comes of the log-in.
    """

    def isLast(name: str, args: Any) -> bool:
        return isLanding(name, args) if limit else name == "logIn"

    slow, other = stage.store(isLast), stage.store()
    record = await stage.newSession(slow)
    logIn = slow.logInSession(changeOf(record, stage.clock.seconds()), limit)
    await until(lambda: slow.mortal.isStuck, "it hangs")
    stage.advance(0.001)
    assert list(await other.endSessions("anna")) == []
    slow.mortal.revive()
    [(_, result)] = await DeferredList([logIn], consumeErrors=True)
    return result


@pytest.mark.parametrize("limit", [None, SessionLimit(1)])
@pytest_twisted.ensureDeferred
async def test_outrun(stage: Scene, limit: SessionLimit | None) -> None:
    """
    A log-in on its way when all sessions of the owner end is too late.
    """
    result = await outrun(stage, limit)
    assert result.check(SessionEnded)
    assert result.value.reason == REVOKED
    assert stage.live() == 0


@pytest.mark.parametrize("limit", [None, SessionLimit(1)])
@pytest_twisted.ensureDeferred
async def test_outrunWithoutAFence(
    stage: Scene, monkeypatch: Any, limit: SessionLimit | None
) -> None:
    """
    That goes red where the step which makes the log-in does not look.
    """
    whole = TimedStore._scripts.logIn.source
    broken = whole.replace("redis.call('GET', KEYS[5])", "false")
    assert broken != whole
    monkeypatch.setattr(TimedStore._scripts, "logIn", Script("logIn", broken))
    result = await outrun(stage, limit)
    assert result.version == 2
    assert stage.live() == 1


@pytest_twisted.ensureDeferred
async def test_slices(stage: Scene, monkeypatch: Any) -> None:
    """
    Sessions end some at a time; in between a log-in that is older is too late already, and
    nobody's session is skipped.
    """
    monkeypatch.setattr(owners, "PORTION", 7)
    steps: list[str] = []

    def isThird(name: str, args: Any) -> bool:
        steps.append(name)
        return steps.count("endOwned") == 3

    slow, other = stage.store(isThird), stage.store()
    records = [await stage.newSession(other) for _ in range(50)]
    for record in records[:40]:
        await other.logInSession(changeOf(record, stage.clock.seconds()))
    before = stage.clock.seconds()
    stage.advance(1.0)
    ending = slow.endSessions("anna")
    await until(lambda: hasattr(slow, "mortal") and slow.mortal.isStuck, "it hangs")
    assert stage.live() == 40 - 14
    for record in records[40:]:
        with pytest.raises(SessionEnded):
            await other.logInSession(changeOf(record, before))
    slow.mortal.revive()
    endings = await ending
    assert {each.record.sid for each in endings} == {record.sid for record in records[:40]}
    assert stage.live() == 0


@pytest_twisted.ensureDeferred
async def test_disorder(stage: Scene) -> None:
    """
    A damaged session is put aside, an entry that does not belong into the index is taken out,
    and a session that has another owner lives on.
    """
    store = stage.store()
    records = [await stage.newSession(store) for _ in range(4)]
    for record in records:
        await store.logInSession(changeOf(record, stage.clock.seconds()))
    whole, damaged, lost, foreign = (
        KEYS.bucket(record.sid).record(record.sid) for record in records
    )
    stage.server.ask("HDEL", damaged, "d")
    stage.server.ask("DEL", lost)
    stage.server.ask("HSET", foreign, "o", "bert")
    endings = await store.endSessions("anna")
    assert [each.record.sid for each in endings] == [records[0].sid]
    assert stage.server.ask("EXISTS", damaged, lost) == 0
    assert stage.server.ask("EXISTS", foreign, whole) == 2
    assert (await store.loadSession(records[3].sid)).sessionKey == "bert"
    assert stage.server.ask("EXISTS", KEYS.bucket(records[1].sid).damaged(records[1].sid)) == 1
    for record in records:
        assert stage.server.ask("ZCARD", KEYS.bucket(record.sid).owners) == 0


@pytest_twisted.ensureDeferred
async def test_fenceLasts(stage: Scene) -> None:
    """
    The server forgets the fence after an hour; it never goes back, whoever calls late.
    """
    store = stage.store()
    await store.endSessions("anna")
    fence = KEYS.buckets[0].fence(ownerOf("anna"))
    assert 3590 < stage.server.ask("TTL", fence) <= 3600
    moment = float(stage.server.ask("GET", fence))
    stage.server.ask("SET", fence, repr(moment + 100))
    await store.endSessions("anna")
    assert float(stage.server.ask("GET", fence)) == moment + 100
    assert ownerscripts.DURATION == 3600
