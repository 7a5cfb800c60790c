"""
Tests for L{txsessions.publisher}, L{txsessions.subscription} and L{txsessions.update}.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from listening import Listener, TurningClock, boom, clockOf, created, logged, settle, texts
from twisted.internet.defer import Deferred, fail, succeed

from txsessions.event import SessionEvent
from txsessions.interfaces import (
    ISessionCreated,
    ISessionDestroyed,
    ISessionEvent,
    ISessionExpired,
    ISessionStore,
)
from txsessions.publisher import BATCH, MAXIMUM, SLICE, EventPublisher
from txsessions.subscription import QUIET
from txsessions.testing import resultOf
from txsessions.update import TIMEOUT


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


@pytest.fixture
def log() -> Iterator[list[Any]]:
    """
    What is logged.
    """
    with logged() as events:
        yield events


class TestSubscribing:
    """
    Who is told.
    """

    def test_told(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        Who subscribes is told of what is published from then on, in the order in which it was,
        and not while it is published.
        """
        first, second = Listener(), Listener()
        events = created(1, 2, 3)
        publisher.publish(events[0])
        publisher.subscribe(first)
        publisher.publish(events[1])
        publisher.subscribe(second)
        publisher.publish(events[2])
        assert not first.heard
        settle(clock)
        assert (first.heard, second.heard) == (events[1:], events[2:])

    def test_once(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        To subscribe twice is one subscription, also for a method that is looked up anew; to
        unsubscribe ends it, and is no error for what has not subscribed.
        """
        heard: list[Any] = []
        listener = Listener()
        for _ in range(2):
            publisher.subscribe(heard.append)
            publisher.subscribe(listener)
        publisher.publish("one")
        settle(clock)
        assert (heard, listener.heard) == (["one"], ["one"])
        publisher.publish("two")
        for _ in range(2):
            publisher.unsubscribe(heard.append)
            publisher.unsubscribe(listener)
        publisher.publish("three")
        settle(clock)
        assert (heard, listener.heard) == (["one"], ["one"])

    def test_equalIsNotSame(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        Observers that are equal are two.
        """

        class Equal(Listener):
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = None  # type: ignore[assignment]  # as Python has it

        one, other = Equal(), Equal()
        publisher.subscribe(one)
        publisher.subscribe(other)
        publisher.publish("event")
        publisher.unsubscribe(one)
        settle(clock)
        assert (one.heard, other.heard) == ([], ["event"])

    def test_kinds(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        An observer is told of the kinds that it asks for; to subscribe again changes them.
        """
        events = [
            SessionEvent("created", 1),
            SessionEvent("reworked", 1),
            SessionEvent("destroyed", 1, reason="logout"),
            SessionEvent("destroyed", 2, reason="expired-idle"),
        ]
        asked = [(), (ISessionEvent,), (ISessionDestroyed,), (ISessionExpired,)]
        asked.append((ISessionCreated, ISessionExpired))
        listeners = [Listener() for _ in asked]
        for listener, kinds in zip(listeners, asked, strict=True):
            publisher.subscribe(listener, *kinds)
        for event in events:
            publisher.publish(event)
        settle(clock)
        told = [[events.index(event) for event in listener.heard] for listener in listeners]
        assert told == [[0, 1, 2, 3], [0, 1, 2, 3], [2, 3], [3], [0, 3]]
        publisher.subscribe(listeners[0], ISessionCreated)
        for event in events:
            publisher.publish(event)
        settle(clock)
        assert listeners[0].heard[4:] == [events[0]]

    @pytest.mark.parametrize("kind", ["destroyed", ISessionStore, SessionEvent, None])
    def test_noKind(self, publisher: EventPublisher, kind: Any) -> None:
        """
        What is no kind of events is refused at once.
        """
        with pytest.raises(TypeError, match="give ISessionEvent"):
            publisher.subscribe(Listener(), kind)
        assert not publisher.hasSubscribers

    def test_hasSubscribers(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        The publisher says whether anybody listens, also while the last update of one who has
        left is under way, and after the end.
        """
        listener = Listener(lambda event: Deferred())
        assert not publisher.hasSubscribers
        publisher.subscribe(listener)
        assert publisher.hasSubscribers
        publisher.publish("event")
        settle(clock)
        publisher.unsubscribe(listener)
        assert not publisher.hasSubscribers
        publisher.subscribe(listener)
        assert publisher.hasSubscribers
        publisher.stop(0.0)
        clock.advance(0)
        assert not publisher.hasSubscribers
        publisher.start()
        assert publisher.hasSubscribers

    def test_nobody(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        Where nobody listens, publishing leaves nothing behind.
        """
        publisher.publish("event")
        assert not clock.getDelayedCalls()


class TestIsolation:
    """
    Observers that are broken, or do things meanwhile.
    """

    @pytest.mark.parametrize("how", [boom, lambda event: fail(ZeroDivisionError())])
    def test_raising(
        self, clock: TurningClock, publisher: EventPublisher, log: list[Any], how: Any
    ) -> None:
        """
        One that fails is logged, by where it is defined, and neither it nor others miss
        anything.
        """
        listeners = [Listener(), Listener(how), Listener()]
        for listener in listeners:
            publisher.subscribe(listener)
        for event in range(5):
            publisher.publish(event)
        settle(clock)
        assert [listener.heard for listener in listeners] == [[0, 1, 2, 3, 4]] * 3
        assert texts(log) == ["Observer listening.Listener failed"]
        assert log[0]["log_failure"].check(ZeroDivisionError)

    def test_quiet(self, clock: TurningClock, publisher: EventPublisher, log: list[Any]) -> None:
        """
        One that fails all the time is logged from time to time only, with how often it failed.
        """
        publisher.subscribe(boom)
        for event in range(10 * round(QUIET)):
            publisher.publish(event)
            clock.advance(0.5)
        assert texts(log) == [
            "Observer listening.boom failed",
            *["Observer listening.boom failed (and 19 times before)"] * 4,
        ]

    def test_worse(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        What is no mere error leaves the turn, and nothing is stuck because of it.
        """
        listeners = [Listener(sys.exit), Listener()]
        for listener in listeners:
            publisher.subscribe(listener)
        publisher.publish(1)
        publisher.publish(2)
        for _ in range(2):
            with pytest.raises(SystemExit):
                settle(clock)
        settle(clock)
        assert [listener.heard for listener in listeners] == [[1, 2]] * 2

    def test_changesSubscriptions(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        An update may unsubscribe itself and others, and subscribe others.
        """
        late, other = Listener(), Listener()

        def change(event: Any) -> None:
            publisher.unsubscribe(changer)
            publisher.unsubscribe(other)
            publisher.subscribe(late)
            publisher.publish("late")

        changer = Listener(change)
        publisher.subscribe(changer)
        publisher.subscribe(other)
        publisher.publish("early")
        settle(clock)
        assert (changer.heard, other.heard, late.heard) == (["early"], [], ["late"])

    def test_endlessChain(self, clock: TurningClock) -> None:
        """
        An observer that publishes an event in each update does not fill the stack, and others
        are told in between.
        """
        publisher = EventPublisher(clock)
        left = list(range(10_000))

        def again(event: Any) -> None:
            if left:
                publisher.publish(left.pop())

        chaining, other = Listener(again), Listener()
        publisher.subscribe(chaining)
        publisher.subscribe(other)
        publisher.publish("first")
        settle(clock)
        assert len(chaining.heard) == len(other.heard) == 10_001

    def test_burstFromWithin(self, clock: TurningClock, log: list[Any]) -> None:
        """
        One that publishes 10,000 events in one update holds the reactor for less than 10
        milliseconds by what the publisher does, which is bounded.
        """
        publisher = EventPublisher(clock)
        events = created(*range(10_000))
        took: list[float] = []

        def burst(event: Any) -> None:
            if event == "first":
                began = time.process_time()
                for each in events:
                    publisher.publish(each)
                took.append(time.process_time() - began)

        bursting = Listener(burst)
        publisher.subscribe(bursting)
        for _ in range(5):  # the fastest of five: the machine is not ours alone
            publisher.publish("first")
            settle(clock)
        assert min(took) < 0.01
        assert len(publisher._ready) == 0 and bursting.heard[-1] is events[-1]
        assert publisher.dropped == 5 * (10_000 - MAXIMUM)

    def test_turns(self, clock: TurningClock) -> None:
        """
        After 5 milliseconds of updates the reactor has its turn, at the latest after a certain
        number of them.
        """
        publisher = EventPublisher(clock, maximum=10 * BATCH)

        def work(event: Any) -> None:
            clock.rightNow += 0.001

        quick, working = Listener(), Listener(work)
        publisher.subscribe(quick)
        for event in range(3 * BATCH):
            publisher.publish(event)
        clock.turn()
        assert len(quick.heard) == BATCH
        settle(clock)
        publisher.unsubscribe(quick)
        publisher.subscribe(working)
        for event in range(50):
            publisher.publish(event)
        clock.turn()
        assert len(working.heard) == SLICE / 0.001
        settle(clock)
        assert len(working.heard) == 50

    def test_tenThousand(
        self, clock: TurningClock, publisher: EventPublisher, log: list[Any]
    ) -> None:
        """
        With one that raises each time and one that never finishes, the others get 10,000 events
        in their order, and what waits is bounded and counted.
        """
        raising, hanging = Listener(boom), Listener(lambda event: Deferred())
        good, slow = Listener(), Listener(lambda event: succeed(None))
        for listener in (good, raising, hanging, slow):
            publisher.subscribe(listener)
        events = created(*range(10_000))
        for number, event in enumerate(events):
            publisher.publish(event)
            assert sum(len(each._queue) for each in publisher._subscriptions) <= 4 * MAXIMUM
            if number % 250 == 249:
                clock.advance(0)
        settle(clock)
        assert good.heard == events and slow.heard == events and raising.heard == events
        assert hanging.heard == events[:1]
        assert publisher.dropped == 10_000 - 1 - MAXIMUM
        assert len([text for text in texts(log) if "too slow" in text]) == 1
        stopped = publisher.stop(0.0)
        settle(clock)
        assert resultOf(stopped) == MAXIMUM and not clock.getDelayedCalls()

    def test_control(self, clock: TurningClock) -> None:
        """
        Control: a publisher that tells its observers by a mere loop lets one that raises keep
        the event from the others.
        """
        heard: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            for observer in (boom, heard.append):
                observer("event")
        assert not heard


class TestStopping:
    """
    The end.
    """

    def test_waits(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        All that was published before the end is told, and no delayed call is left.
        """
        held: Deferred[None] = Deferred()
        listener, slow = Listener(), Listener(lambda event: held)
        publisher.subscribe(listener)
        publisher.subscribe(slow)
        publisher.publish(1)
        stopped, again = publisher.stop(), publisher.stop()
        assert not stopped.called
        settle(clock)
        assert listener.heard == [1] and not stopped.called
        held.callback(None)
        settle(clock)
        assert resultOf(stopped) == resultOf(again) == resultOf(publisher.stop()) == 0
        assert not clock.getDelayedCalls()
        publisher.publish(2)
        assert not clock.getDelayedCalls()
        publisher.start()
        publisher.publish(3)
        settle(clock)
        assert listener.heard == [1, 3]

    def test_grace(self, clock: TurningClock, publisher: EventPublisher, log: list[Any]) -> None:
        """
        One that hangs is waited for as long as the grace is; then what it has not heard is
        counted and logged, and what it does is cancelled.
        """
        cancelled: list[Any] = []
        listener = Listener(lambda event: Deferred(cancelled.append))
        publisher.subscribe(listener)
        for event in (1, 2, 3):
            publisher.publish(event)
        settle(clock)
        stopped = publisher.stop(5.0)
        clock.advance(4.999)
        assert not stopped.called
        clock.advance(0.001)
        assert resultOf(stopped) == 2 == publisher.dropped
        assert listener.heard == [1] and len(cancelled) == 1
        assert texts(log) == ["Stopping: observer listening.Listener was not told of 2 events"]
        assert not clock.getDelayedCalls()

    def test_withinAnUpdate(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        An update may stop the publisher, and the last one may unsubscribe.
        """
        stops: list[Any] = []
        listener = Listener(lambda event: stops.append(publisher.stop()))
        publisher.subscribe(listener)
        publisher.publish(1)
        settle(clock)
        assert resultOf(stops[0]) == 0
        publisher.start()
        listener.do = lambda event: Deferred()
        publisher.publish(2)
        publisher.publish(3)
        settle(clock)
        publisher.unsubscribe(listener)
        clock.advance(TIMEOUT)
        assert resultOf(publisher.stop()) == 0
        assert not clock.getDelayedCalls()
