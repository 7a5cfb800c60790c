"""
How many sessions an owner may have, where some of his have expired and nobody has ended them yet.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txsessions import SessionManager
from txsessions.custody import ROOM
from txsessions.errors import TooManySessions
from txsessions.lifetime import IDLE
from txsessions.stores import openStore
from txsessions.testing import HangingStore, RecordingStore, resultOf


@pytest.fixture
def clock() -> Clock:
    """
    Its time.
    """
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> Any:
    """
    A manager that nobody has started, with room for two sessions of an owner.
    """
    return SessionManager(
        RecordingStore(openStore("memory")),
        clock,
        sessionTimeout=100,
        maxSessionsPerKey=2,
        onExceed="refuse",
    )


def test_expired(manager: SessionManager, clock: Clock) -> None:
    """
    What has expired takes nobody's place; what lives does.
    """
    told: list[Any] = []
    manager.subscribe(lambda event: told.append((event.type, event.reason)))
    resultOf(manager.create("anna"))
    clock.advance(60)
    first = resultOf(manager.create("anna"))
    clock.advance(60)
    second = resultOf(manager.create("anna"))
    with pytest.raises(TooManySessions):
        resultOf(manager.create("anna"))
    assert len(resultOf(manager.find("anna"))) == 2
    assert resultOf(manager.get(first)) == resultOf(manager.get(second)) == {}
    clock.advance(1)
    assert told.count(("destroyed", IDLE)) == 1


def test_full(manager: SessionManager) -> None:
    """
    Where none has expired, nothing is ended.
    """
    for _ in range(2):
        resultOf(manager.create("anna"))
    with pytest.raises(TooManySessions):
        resultOf(manager.create("anna"))
    names = [call.name for call in manager._store.calls]  # type: ignore[attr-defined]
    assert "claimExpired" not in names


def test_hangingSweep(manager: SessionManager, clock: Clock) -> None:
    """
    A sweep that does not come to its end delays the answer, and does not withhold it.
    """
    for _ in range(2):
        resultOf(manager.create("anna"))
    clock.advance(100)
    hanging = HangingStore(manager._store)
    hanging.hang("claimExpired")
    manager._sweeper._store = hanging  # type: ignore[union-attr]
    answer = manager.create("anna")
    clock.advance(ROOM)
    with pytest.raises(TooManySessions):
        resultOf(answer)
    hanging.release()
    assert resultOf(manager.create("anna"))
