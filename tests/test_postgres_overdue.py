"""
Tests for L{txsessions.stores.postgresserver.overdue}: who waits too long.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txsessions.errors import StoreTimedOut
from txsessions.stores.postgresserver.overdue import Overdue
from txsessions.testing import resultOf


class Scene:
    """
    What watches, and its clock.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.overdue = Overdue(self.clock, 10.0)

    def ask(self) -> Deferred[Any]:
        """
        One more that waits.
        """
        answer: Deferred[Any] = Deferred()
        self.overdue.watch(answer)
        return answer


def test_late() -> None:
    """
    Each waits for its own time and no longer; the others go on waiting.
    """
    scene = Scene()
    first = scene.ask()
    scene.clock.advance(4.0)
    second = scene.ask()
    scene.clock.advance(5.75)
    assert not first.called
    scene.clock.advance(0.25)
    with pytest.raises(StoreTimedOut, match="10 seconds"):
        resultOf(first)
    scene.clock.advance(3.75)
    assert not second.called
    scene.clock.advance(0.25)
    with pytest.raises(StoreTimedOut):
        resultOf(second)
    assert scene.clock.getDelayedCalls() == []


def test_inTime() -> None:
    """
    Those that have their answers are left alone, and forgotten; there is one delayed call
    for all.
    """
    scene = Scene()
    for number in range(1000):
        scene.ask().callback(number)
        assert len(scene.clock.getDelayedCalls()) == 1
        assert len(scene.overdue._waiting) == 1
    scene.clock.advance(10.0)
    assert scene.clock.getDelayedCalls() == []


def test_rests() -> None:
    """
    Nothing is left behind where nothing waits any more.
    """
    scene = Scene()
    answer = scene.ask()
    scene.overdue.rest()
    assert len(scene.clock.getDelayedCalls()) == 1
    answer.callback(None)
    scene.overdue.rest()
    assert scene.clock.getDelayedCalls() == []


def test_again() -> None:
    """
    Whoever is told that it took too long may ask again at once.
    """
    scene = Scene()
    again: list[Deferred[Any]] = []
    scene.ask().addErrback(lambda failure: again.append(scene.ask()))
    scene.clock.advance(10.0)
    assert len(again) == 1 and not again[0].called
    scene.clock.advance(10.0)
    with pytest.raises(StoreTimedOut):
        resultOf(again[0])
