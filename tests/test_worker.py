"""
Tests for L{txsessions.stores.worker}.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from threading import Event, current_thread
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from txsessions.errors import StoreUnavailable
from txsessions.stores.worker import GATHERING, Worker


class Counting:
    """
    The reactor, and how often it was called from a thread.
    """

    def __init__(self) -> None:
        self.calls = 0

    def callFromThread(self, *arguments: Any) -> None:
        """
        See L{IReactorFromThreads.callFromThread}.
        """
        self.calls += 1
        reactor.callFromThread(*arguments)


class Desk:
    """
    Does requests: negates numbers, raises exceptions, and waits where it should.
    """

    def __init__(self, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.threads: set[str] = set()
        self.finished = 0
        self.gate = Event()
        self.gate.set()
        self.reactor = Counting()
        self.worker: Worker[Any] = Worker(
            "desk", self.perform, self.finish, self.reactor, **options
        )

    @property
    def done(self) -> list[Any]:
        """
        All requests, in the order in which they were done.
        """
        return [request for batch in self.batches for request in batch]

    def perform(self, requests: list[Any]) -> Sequence[Any]:
        """
        Do a batch.
        """
        self.gate.wait(10)
        self.batches.append(requests)
        self.threads.add(current_thread().name)
        if "all" in requests:
            raise ZeroDivisionError
        return [Failure(each) if isinstance(each, Exception) else -each for each in requests]

    def finish(self) -> None:
        """
        Note the end of the thread.
        """
        self.finished += 1


@pytest_twisted.ensureDeferred
async def test_order() -> None:
    """
    Requests are done in their order, in batches that are not too long; the
    reactor is told once for each batch, and once to gather them.
    """
    desk = Desk(batch=4)
    desk.gate.clear()
    answers = [desk.worker.submit(number) for number in range(10)]
    desk.gate.set()
    assert await gatherResults(answers) == [-number for number in range(10)]
    assert desk.done == list(range(10))
    assert list(map(len, desk.batches)) == [4, 4, 2]
    assert desk.reactor.calls == len(desk.batches) + 1
    assert desk.threads == {"desk"}
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_failures() -> None:
    """
    A request that fails fails alone; what the whole batch raises, for each.
    """
    desk = Desk()
    desk.gate.clear()
    calls = [desk.worker.submit(1)]
    calls += [desk.worker.submit(each) for each in (2, KeyError("x"), 3)]
    desk.gate.set()
    outcomes = await DeferredList(calls, consumeErrors=True)
    assert [isDone for isDone, _ in outcomes] == [True, True, False, True]
    with pytest.raises(ZeroDivisionError):
        await desk.worker.submit("all")
    assert await desk.worker.submit(5) == -5
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_bounded() -> None:
    """
    What is too much is refused at once, and is taken again when there is room.
    """
    desk = Desk(queue=5)
    desk.gate.clear()
    answers = [desk.worker.submit(number) for number in range(5)]
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="5 requests behind"):
            await desk.worker.submit(6)
    desk.gate.set()
    await gatherResults(answers)
    assert await desk.worker.submit(6) == -6
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_cancelled() -> None:
    """
    A request whose caller gave up is done in its place all the same.
    """
    desk = Desk()
    desk.gate.clear()
    first, second = desk.worker.submit(1), desk.worker.submit(2)
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    desk.gate.set()
    assert await second == -2
    assert desk.done == [1, 2]
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_stop() -> None:
    """
    Stopping waits for what was asked before, ends the thread, and is no error
    when none runs; what is asked later starts another one.
    """
    desk = Desk()
    await desk.worker.stop()
    assert desk.finished == 0
    desk.gate.clear()
    order: list[Any] = []
    for number in range(3):
        desk.worker.submit(number).addCallback(order.append)
    stops = [desk.worker.stop().addCallback(lambda _: order.append("stop")) for _ in range(2)]
    later = desk.worker.submit(9).addCallback(order.append)
    desk.gate.set()
    await gatherResults(stops)
    assert order[:5] == [0, -1, -2, "stop", "stop"]
    assert desk.finished == 1
    await later
    await desk.worker.stop()
    assert desk.finished == 2


@pytest_twisted.ensureDeferred
async def test_gathered() -> None:
    """
    What comes in the same turns of the reactor makes one batch; but nobody waits as long
    as something comes in each turn.
    """
    moment = count()
    desk = Desk(batch=10_000, monotonic=lambda: next(moment) * GATHERING / 3)
    given: list[int] = []
    give = desk.worker._flush

    def flush() -> None:
        given.append(len(desk.worker._gathered))
        give()

    desk.worker._flush = flush  # type: ignore[method-assign]
    answers = []
    for number in range(50):
        answers.append(desk.worker.submit(number))
        await deferLater(reactor, 0, lambda: None)
    await gatherResults(answers)
    assert sum(given) == 50
    assert 2 < max(given) <= 5
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_calledAtOnce() -> None:
    """
    A reactor that calls at once what it is told in its own thread loses no request.
    """
    desk = Desk()
    call = desk.reactor.callFromThread

    def callFromThread(function: Any, *arguments: Any) -> None:
        if isInIOThread():
            function(*arguments)
        else:
            call(function, *arguments)

    desk.reactor.callFromThread = callFromThread  # type: ignore[method-assign]
    assert await gatherResults([desk.worker.submit(number) for number in range(3)]) == [0, -1, -2]
    await desk.worker.stop()


@pytest_twisted.ensureDeferred
async def test_divided() -> None:
    """
    A batch may be divided, and the reactor is told of each part by itself.
    """

    def divide(requests: list[Any]) -> Sequence[Sequence[int]]:
        even = [place for place, request in enumerate(requests) if request % 2 == 0]
        odd = [place for place, request in enumerate(requests) if request % 2]
        return [part for part in (even, odd) if part]

    desk = Desk(divide=divide)
    desk.gate.clear()
    answers = [desk.worker.submit(number) for number in range(6)]
    desk.gate.set()
    assert await gatherResults(answers) == [0, -1, -2, -3, -4, -5]
    assert [0, 2, 4] in desk.batches or [2, 4] in desk.batches
    await desk.worker.stop()
