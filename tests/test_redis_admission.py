"""
Tests for L{txsessions.stores.redisserver.admission}: a limited number gets in, whoever dies
or hangs at whatever step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from redisscene import START, Scene, changeOf
from servers import RedisServer, pause, until
from twisted.internet.defer import Deferred, DeferredList

from txsessions.errors import SessionEnded, StoreUnavailable, TooManySessions
from txsessions.limit import EVICT_OLDEST, REFUSE, SessionLimit
from txsessions.stores.redisserver import admission, connected
from txsessions.stores.redisserver.keys import Keys, ownerOf
from txsessions.stores.redisserver.ownerscripts import RESERVATION


@pytest_twisted.async_yield_fixture
async def stage(run: Any, tmp_path: Path) -> AsyncIterator[Scene]:
    """
    The scene.
    """
    stage = Scene(await run(RedisServer(tmp_path)))
    yield stage
    await stage.close()


async def dieAt(stage: Scene, number: int, limit: SessionLimit) -> list[str] | None:
    """
    Let a process log in, and die before it sends so many commands and one.

    @return: What it sent; C{None} if that was all.
    """
    counter = count()
    dying = stage.store(lambda name, args: next(counter) == number)
    logIn = DeferredList([stage.begin(dying, limit)], consumeErrors=True)
    await until(lambda: logIn.called or dying.mortal.isStuck, f"it dies at step {number}")
    return dying.mortal.names if dying.mortal.isStuck else None


@pytest.mark.parametrize("kind", [EVICT_OLDEST, REFUSE])
@pytest.mark.parametrize("maximum", [1, 3])
@pytest_twisted.ensureDeferred
async def test_deathAtEachStep(stage: Scene, maximum: int, kind: str) -> None:
    """
    Wherever a process dies, those who come later get in, or are told that there is no room,
    and at no moment there are more than the limit says.
    """
    limit = SessionLimit(maximum, kind)
    healthy = stage.store()
    sent: list[str] | None = []
    number = 0
    while sent is not None:
        stage.advance(RESERVATION + 1)
        await healthy.endSessions("anna")
        stage.advance(0.5)
        for _ in range(maximum - (kind == REFUSE)):
            await stage.logIn(healthy, limit)
            stage.advance(0.5)
        sent, last = await dieAt(stage, number, limit), sent
        number += 1
        assert stage.live() <= maximum
        for _ in range(2 * maximum):
            result = await stage.outcome(stage.logIn(healthy, limit))
            assert stage.live() <= maximum
            if kind == EVICT_OLDEST:
                assert result.version == 2
            elif isinstance(result, Exception):
                assert isinstance(result, TooManySessions)
        assert stage.live() == maximum
    evicting = ["delete"] if kind == EVICT_OLDEST else []
    assert [name for name in last if name in ("reserve", "logIn", "owned", "delete", "ZREM")] == [
        *("reserve", "logIn", "owned"),
        *evicting,
        *("logIn", "ZREM"),
    ]


async def landLate(stage: Scene, limit: SessionLimit) -> tuple[int, Any]:
    """
    A process hangs just before it lets its session in, so long that its place is given to
    another one.

    @return: How many there are at the most, and what it is told in the end.
    """
    slow, late = await stage.hanging(limit)
    other = stage.store()
    await stage.outcome(stage.logIn(other, limit))
    most = stage.live()
    slow.mortal.revive()
    for _ in range(40):
        most = max(most, stage.live())
        await pause(0.01)
    [(succeeded, result)] = await DeferredList([late], consumeErrors=True)
    return most, result if succeeded else result.value


@pytest_twisted.ensureDeferred
async def test_ticketRunsOut(stage: Scene) -> None:
    """
    A process that hangs for longer than its ticket holds does not get in by it: it has to
    begin again.
    """
    most, result = await landLate(stage, SessionLimit(1))
    assert most == 1
    assert result.version == 2
    assert len(result.evicted) == 1


@pytest_twisted.ensureDeferred
async def test_ticketRunsOutRefused(stage: Scene) -> None:
    """
    When nobody makes room it is told so.
    """
    most, result = await landLate(stage, SessionLimit(1, REFUSE))
    assert most == 1
    assert isinstance(result, TooManySessions)


@pytest_twisted.ensureDeferred
async def test_ticketForEver(stage: Scene, monkeypatch: Any) -> None:
    """
    That goes red when the last step does not look whether the ticket holds.
    """
    monkeypatch.setattr(admission, "MARGIN", -1e6)
    most, _ = await landLate(stage, SessionLimit(1))
    assert most == 2


@pytest_twisted.ensureDeferred
async def test_lineLost(stage: Scene) -> None:
    """
    When the line is lost those under way may be too many; the next log-in ends what is too
    much.
    """
    slow, late = await stage.hanging(SessionLimit(1))
    other = stage.store()
    owner = ownerOf("anna")
    assert stage.server.ask("DEL", *Keys("txsessions").bucket(owner.decode()).line(owner)) == 2
    await stage.logIn(other, SessionLimit(1))
    slow.mortal.revive()
    await late
    assert stage.live() == 2
    stage.advance(1.0)
    last = await stage.logIn(other, SessionLimit(1))
    assert stage.live() == 1
    assert len(last.evicted) == 2


@pytest_twisted.ensureDeferred
async def test_lineTooLong(stage: Scene, monkeypatch: Any) -> None:
    """
    Nobody waits for ever: whoever waits too long is told that the store cannot answer, and
    leaves no ticket.
    """
    monkeypatch.setattr(connected, "PATIENCE", 0.2)
    await stage.hanging(SessionLimit(1))
    other = stage.store()
    with pytest.raises(StoreUnavailable, match="try again"):
        await stage.logIn(other, SessionLimit(1))
    line, _ = Keys("txsessions").bucket(ownerOf("anna").decode()).line(ownerOf("anna"))
    await until(lambda: stage.server.ask("ZCARD", line) == 1, "its ticket is given back")


@pytest_twisted.ensureDeferred
async def test_landingUnknown(stage: Scene) -> None:
    """
    While nobody knows whether a log-in has been made its ticket is kept; it counts until it
    runs out.
    """
    lost, logIn = await stage.hanging(SessionLimit(2, REFUSE))
    other = stage.store()
    lost.mortal.lose()
    logIn.addErrback(lambda _: None).cancel()
    await stage.logIn(other, SessionLimit(2, REFUSE))
    waiting = Deferred.fromCoroutine(stage.logIn(other, SessionLimit(2, REFUSE)))
    await pause(0.1)
    assert not waiting.called
    stage.advance(RESERVATION)
    assert (await waiting).version == 2


@pytest_twisted.ensureDeferred
async def test_evictedWhileItWaits(stage: Scene) -> None:
    """
    A session that is ended while it waits in the line is told so, and ends no other.
    """
    first, _ = await stage.hanging(SessionLimit(1))
    second = stage.store()
    record = await stage.newSession(second)
    waiting = second.logInSession(changeOf(record, START), SessionLimit(1))
    await pause(0.05)
    await stage.store().deleteSession(record.sid)
    with pytest.raises(SessionEnded):
        await waiting
    first.mortal.revive()
    await until(lambda: stage.live() == 1, "the first one gets in")
