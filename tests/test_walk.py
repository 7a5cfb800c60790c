"""
Tests for L{txsessions.walk}.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from txsessions.testing import resultOf
from txsessions.walk import LIMIT, SLICE, Walk


class Numbers:
    """
    Numbers from 0, asynchronously.

    @ivar given: How many it has given so far.
    @ivar isClosed: Whether it was let go of.
    """

    def __init__(self, count: int, failsAt: int | None = None) -> None:
        self._count = count
        self._failsAt = failsAt
        self.given = 0
        self.isClosed = False

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number in range(self._count):
                if number == self._failsAt:
                    raise LookupError("no further")
                self.given += 1
                yield number
        finally:
            self.isClosed = True


class Works:
    """
    Deals with numbers when the test says so.

    @ivar begun: Those that were begun.
    @ivar waiting: Deferreds of those that are not done.
    """

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.waiting: list[Deferred[None]] = []

    async def __call__(self, number: int) -> None:
        self.begun.append(number)
        done: Deferred[None] = Deferred()
        self.waiting.append(done)
        await done


def walk(work: Any, numbers: Numbers, clock: Any = None, limit: int = LIMIT) -> Deferred[None]:
    """
    Begin a walk.
    """
    return Deferred.fromCoroutine(Walk(clock or Clock(), work, limit).run(aiter(numbers)))


def test_all():
    """
    Everything is dealt with, once, in its order.
    """
    seen = []

    async def work(number: int) -> None:
        seen.append(number)

    resultOf(walk(work, Numbers(1000)))
    assert seen == list(range(1000))


def test_bounded():
    """
    So many are dealt with at a time and no more, and no further ones are
    fetched but the next; the walk is done when the last one is.
    """
    works, numbers = Works(), Numbers(10)
    done = walk(works, numbers, limit=3)
    assert (works.begun, numbers.given) == ([0, 1, 2], 4)
    works.waiting.pop().callback(None)
    assert (works.begun, numbers.given) == ([0, 1, 2, 3], 5)
    while works.waiting:
        assert not done.called
        works.waiting.pop().callback(None)
    resultOf(done)
    assert works.begun == list(range(10))


def test_failure():
    """
    The first failure ends the walk, when what is under way is done, and is told.
    """
    works, numbers = Works(), Numbers(10)
    done = walk(works, numbers, limit=3)
    works.waiting.pop().errback(ZeroDivisionError())
    works.waiting.pop().errback(KeyError())
    assert numbers.isClosed and not done.called
    while works.waiting:
        works.waiting.pop().callback(None)
    with pytest.raises(ZeroDivisionError):
        resultOf(done)
    assert len(works.begun) < 10


def test_failureOfTheIterator():
    """
    So does one of the iterator itself.
    """
    works = Works()
    done = walk(works, Numbers(10, failsAt=2))
    assert not done.called
    for each in works.waiting:
        each.callback(None)
    with pytest.raises(LookupError):
        resultOf(done)
    assert works.begun == [0, 1]


def test_cancelled():
    """
    Who cancels it hears of that when what is under way is done, and nothing is
    begun any more.
    """
    works, numbers = Works(), Numbers(10)
    outcomes: list[Any] = []
    done = walk(works, numbers, limit=3).addBoth(outcomes.append)
    done.cancel()
    assert numbers.isClosed
    while works.waiting:
        assert outcomes == []
        works.waiting.pop().callback(None)
    assert outcomes[0].check(CancelledError)
    assert works.begun == [0, 1, 2]


class TickingClock(Clock):
    """
    A clock on which a look takes a millisecond.

    @ivar turns: What waits for the reactor's turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[Any] = []

    def seconds(self) -> float:
        self.rightNow += 0.001
        return self.rightNow

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> Any:
        self.turns.append(callable)


def test_turns():
    """
    Where nothing has to be waited for, the reactor has its turn every so often.
    """
    clock, seen, before = TickingClock(), [], 0

    async def work(number: int) -> None:
        seen.append(number)
        await succeed(None)

    done = walk(work, Numbers(100), clock)
    while clock.turns:
        assert len(seen) - before <= SLICE / 0.001
        before = len(seen)
        clock.turns.pop()(None)
    resultOf(done)
    assert len(seen) == 100
