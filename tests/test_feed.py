"""
Tests for L{txsessions.feed}.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from listening import TurningClock, clockOf, settle
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from txsessions.event import SessionEvent
from txsessions.feed import SessionFeed
from txsessions.interfaces import ISessionDestroyed, ISessionObserver
from txsessions.publisher import EventPublisher
from txsessions.testing import resultOf


@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


@pytest.fixture
def publisher(clock: TurningClock) -> EventPublisher:
    """
    A publisher on the clock.
    """
    return EventPublisher(clock)


async def read(feed: SessionFeed, into: list[Any], count: int = 1000) -> str:
    """
    Read some events.
    """
    async for event in feed:
        into.append(event)
        if len(into) == count:
            return "enough"
    return "ended"


def begin(feed: SessionFeed, into: list[Any], count: int = 1000) -> Deferred[str]:
    """
    Read some events.
    """
    return Deferred.fromCoroutine(read(feed, into, count))


def test_events(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    The feed gives the events from its beginning, those that wait and those that come, in their
    order, and ends when the publisher is stopped, after what is left.
    """
    publisher.publish("before")
    feed = publisher.feed()
    assert verifyObject(ISessionObserver, feed.inlet)
    publisher.publish(1)
    settle(clock)
    got: list[Any] = []
    reading = begin(feed, got)
    assert got == [1]
    publisher.publish(2)
    publisher.publish(3)
    settle(clock)
    assert got == [1, 2, 3] and not reading.called
    publisher.publish(4)
    publisher.stop()
    settle(clock)
    assert got == [1, 2, 3, 4] and resultOf(reading) == "ended"
    assert resultOf(begin(publisher.feed(), got)) == "ended"
    publisher.start()
    assert not publisher.hasSubscribers
    assert not clock.getDelayedCalls()


def test_kinds(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    It gives the kinds of events that are asked for.
    """
    feed = publisher.feed(ISessionDestroyed)
    events = [SessionEvent(each, 1) for each in ("created", "reworked", "destroyed")]
    for event in events:
        publisher.publish(event)
    settle(clock)
    got: list[Any] = []
    assert resultOf(begin(feed, got, 1)) == "enough"
    assert got == events[2:]


def test_bound(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    So many events wait to be read and no more; the oldest are dropped, and counted.
    """
    feed = publisher.feed(maximum=3)
    for event in range(10):
        publisher.publish(event)
    settle(clock)
    got: list[Any] = []
    resultOf(begin(feed, got, 3))
    assert got == [7, 8, 9] and feed.dropped == 7


def test_close(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A feed that is closed has no subscription and no events; whoever waits is told that it has
    ended, and to close it twice is no error.
    """
    feed = publisher.feed()
    got: list[Any] = []
    reading = begin(feed, got)
    publisher.publish(1)
    settle(clock)
    publisher.publish(2)
    for _ in range(2):
        feed.close()
    assert resultOf(reading) == "ended" and got == [1]
    assert not publisher.hasSubscribers
    settle(clock)
    assert resultOf(begin(feed, got)) == "ended" and got == [1]


def test_garbage(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A feed of which nobody knows any more has no subscription.
    """
    feed = publisher.feed()
    assert publisher.hasSubscribers
    publisher.publish(1)
    del feed
    gc.collect()
    assert not publisher.hasSubscribers
    settle(clock)
    got: list[Any] = []
    reading = begin(publisher.feed(), got, 1)
    publisher.publish(2)
    settle(clock)
    assert resultOf(reading) == "enough" and got == [2]
    del reading
    gc.collect()
    assert not publisher.hasSubscribers


def test_kept(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A loop that waits for events goes on, though nobody else knows of it.
    """
    got: list[Any] = []
    begin(publisher.feed(), got)
    gc.collect()
    publisher.publish(1)
    settle(clock)
    gc.collect()
    publisher.publish(2)
    settle(clock)
    assert got == [1, 2]
    publisher.stop()


def test_cancel(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A loop that is cancelled while it waits leaves a feed from which others can read.
    """
    feed = publisher.feed()
    got: list[Any] = []
    reading = begin(feed, got)
    reading.cancel()
    with pytest.raises(CancelledError):
        resultOf(reading)
    publisher.publish(1)
    settle(clock)
    assert resultOf(begin(feed, got, 1)) == "enough" and got == [1]


def test_twoReaders(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A second reader is refused while the first one waits.
    """
    feed = publisher.feed()
    first = begin(feed, [])
    with pytest.raises(RuntimeError, match="one for each reader"):
        resultOf(begin(feed, []))
    publisher.stop()
    assert resultOf(first) == "ended"


def test_slow(clock: TurningClock, publisher: EventPublisher) -> None:
    """
    A reader that works between the events misses none that fits.
    """
    got: list[Any] = []
    hold: list[Deferred[None]] = []

    async def work(feed: SessionFeed) -> None:
        async for event in feed:
            got.append(event)
            hold.append(Deferred())
            await hold[-1]

    working = Deferred.fromCoroutine(work(publisher.feed()))
    for event in range(5):
        publisher.publish(event)
        settle(clock)
    publisher.stop()
    settle(clock)
    for count in range(1, 6):
        assert got == list(range(count))
        hold[-1].callback(None)
    assert resultOf(working) is None  # type: ignore[func-returns-value]  # that it has fired
