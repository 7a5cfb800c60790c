"""
Tests for L{txsessions.subscription} and L{txsessions.update}: what one observer is told.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import Listener, TurningClock, boom, clockOf, created, logged, settle, texts
from twisted.internet.defer import Deferred, succeed

from txsessions.interfaces import (
    ISessionCreated,
    ISessionDestroyed,
)
from txsessions.publisher import LONGEST_WAIT, EventPublisher
from txsessions.subscription import Subscription
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


class TestOneAtATime:
    """
    An update that takes its time.
    """

    def test_waits(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        An observer is told of the next event when its Deferred has fired, and others meanwhile.
        """
        pending: list[Deferred[None]] = []

        def wait(event: Any) -> Deferred[None]:
            pending.append(Deferred())
            return pending[-1]

        slow, quick = Listener(wait), Listener()
        publisher.subscribe(slow)
        publisher.subscribe(quick)
        for event in (1, 2, 3):
            publisher.publish(event)
        settle(clock)
        assert (slow.heard, quick.heard) == ([1], [1, 2, 3])
        for count in (2, 3):
            pending[-1].callback(None)
            settle(clock)
            assert slow.heard == [1, 2, 3][:count]
        pending[-1].callback(None)
        settle(clock)
        assert not clock.getDelayedCalls()

    def test_coroutine(
        self, clock: TurningClock, publisher: EventPublisher, log: list[Any]
    ) -> None:
        """
        A coroutine is run, and waited for like a Deferred; one that fails is logged.
        """
        hold: Deferred[None] = Deferred()
        done: list[Any] = []

        class Observer(Listener):
            async def update(self, event: Any) -> None:
                await hold
                done.append(event)
                if event == 2:
                    raise ZeroDivisionError

        publisher.subscribe(Observer())
        for event in (1, 2, 3):
            publisher.publish(event)
        settle(clock)
        assert not done
        hold.callback(None)
        settle(clock)
        assert done == [1, 2, 3]
        assert len(texts(log)) == 1

    @pytest.mark.parametrize("answer", [None, 5, "text", object(), succeed(None), [1]])
    def test_anything(self, clock: TurningClock, publisher: EventPublisher, answer: Any) -> None:
        """
        Whatever else an update returns does not matter.
        """
        listener = Listener(lambda event: answer)
        publisher.subscribe(listener)
        publisher.publish(1)
        publisher.publish(2)
        settle(clock)
        assert listener.heard == [1, 2]
        assert not clock.getDelayedCalls()

    def test_timeout(self, clock: TurningClock, publisher: EventPublisher, log: list[Any]) -> None:
        """
        An update may take 30 seconds, one tick less being nothing; then it is cancelled and
        logged, and the next event is told.  One delayed call watches it.
        """
        cancelled: list[Any] = []
        listener = Listener(lambda event: Deferred(cancelled.append))
        publisher.subscribe(listener)
        publisher.publish(1)
        publisher.publish(2)
        settle(clock)
        assert TIMEOUT == 30.0 and len(clock.getDelayedCalls()) == 1
        clock.advance(TIMEOUT - 0.001)
        settle(clock)
        assert listener.heard == [1] and not cancelled and not texts(log)
        clock.advance(0.001)
        settle(clock)
        assert listener.heard == [1, 2] and len(cancelled) == 1
        (text,) = texts(log)
        assert text == "Observer listening.Listener failed"
        assert "longer than 30 seconds" in str(log[-1]["log_failure"].value)
        publisher.unsubscribe(listener)
        clock.advance(TIMEOUT)
        assert not clock.getDelayedCalls()

    @pytest.mark.parametrize("how", ["raises", "goes on", "fails later"])
    def test_stubborn(
        self, clock: TurningClock, publisher: EventPublisher, log: list[Any], how: str
    ) -> None:
        """
        An update that does not let itself be cancelled is given up all the same.
        """
        held: list[Deferred[None]] = []

        def update(event: Any) -> Deferred[None]:
            waiting: Deferred[None] = Deferred(boom if how == "raises" else None)
            if how == "goes on":
                waiting.addErrback(lambda _: Deferred())
            if how == "fails later":
                waiting.addErrback(lambda _: held.append(Deferred()) or held[-1])  # type: ignore[func-returns-value]  # short
            return waiting

        listener = Listener(update)
        publisher.subscribe(listener)
        publisher.publish(1)
        publisher.publish(2)
        settle(clock)
        clock.advance(TIMEOUT)
        settle(clock)
        assert listener.heard == [1, 2]
        clock.advance(TIMEOUT)
        settle(clock)
        for each in held:
            each.errback(ZeroDivisionError())
        assert not clock.getDelayedCalls()
        del held[:]
        gc.collect()

    def test_leavesWhileTold(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        Who unsubscribes during an update finishes it, and hears nothing more; who comes back
        meanwhile has still one update at a time.
        """
        pending: list[Deferred[None]] = []

        def wait(event: Any) -> Deferred[None]:
            pending.append(Deferred())
            return pending[-1]

        listener = Listener(wait)
        publisher.subscribe(listener)
        publisher.publish(1)
        publisher.publish(2)
        settle(clock)
        publisher.unsubscribe(listener)
        publisher.publish(3)
        publisher.subscribe(listener)
        publisher.publish(4)
        settle(clock)
        assert listener.heard == [1]
        pending[0].callback(None)
        settle(clock)
        assert listener.heard == [1, 4]
        publisher.unsubscribe(listener)
        pending[1].callback(None)
        assert not clock.getDelayedCalls() and not publisher._subscriptions


class TestBounds:
    """
    What is dropped.
    """

    def test_oldestFirst(self, clock: TurningClock, log: list[Any]) -> None:
        """
        When too many events wait for an observer, the oldest are dropped and counted; that is
        logged once, until it has caught up.
        """
        publisher = EventPublisher(clock, maximum=3)
        listener, other = Listener(), Listener()
        publisher.subscribe(listener, ISessionCreated)
        publisher.subscribe(other, ISessionDestroyed)
        for count in (1, 2):
            events = created(*range(10))
            for event in events:
                publisher.publish(event)
            settle(clock)
            assert listener.heard[-3:] == events[-3:] and len(listener.heard) == 3 * count
            assert publisher.dropped == 7 * count
            assert len(texts(log)) == count
        assert "Observer listening.Listener is too slow" in texts(log)[0]
        publisher.unsubscribe(listener)
        assert publisher.dropped == 14

    def test_one(self, clock: TurningClock) -> None:
        """
        Where one event may wait, it is the last one, and nothing piles up.
        """
        publisher = EventPublisher(clock, maximum=1)
        listener = Listener()
        publisher.subscribe(listener)
        for event in range(1000):
            publisher.publish(event)
            assert len(publisher._ready) == 1
        settle(clock)
        assert listener.heard == [999]

    def test_whenHeard(self, clock: TurningClock, publisher: EventPublisher) -> None:
        """
        Whoever publishes much may wait until all have heard, but for one that hangs, and for a
        second at the most.
        """
        assert resultOf(publisher.whenHeard()) is None
        listener, hanging = Listener(), Listener(lambda event: Deferred())
        publisher.subscribe(hanging)
        publisher.subscribe(listener)
        publisher.publish(1)
        heard = publisher.whenHeard()
        assert not heard.called
        settle(clock)
        assert heard.called and listener.heard == [1]
        listener.do = publisher.publish
        publisher.publish(2)
        heard = publisher.whenHeard()
        for _ in range(3):
            clock.turn(LONGEST_WAIT / 3.1)
            assert not heard.called
        clock.turn(LONGEST_WAIT / 3.1)
        assert heard.called
        listener.do = lambda event: None
        publisher.unsubscribe(hanging)
        clock.advance(TIMEOUT)
        settle(clock)


Step = st.sampled_from(["publish", "turn", "done", "wait"])


def play(steps: list[str], kind: Any = Subscription) -> tuple[list[int], Any]:
    """
    Publish numbers, and let an observer take its time, in some order.

    @return: What it has begun to hear of, and the most updates at a time.
    """
    clock = clockOf()
    publisher = EventPublisher(clock, maximum=5)
    pending: list[Deferred[None]] = []
    most = [0]

    def update(event: Any) -> Any:
        pending.append(Deferred())
        most[0] = max(most[0], len([each for each in pending if not each.called]))
        return pending[-1]

    listener = Listener(update)
    publisher.subscribe(listener)
    if kind is not Subscription:
        publisher._subscriptions = [
            kind(listener, listener, clock, maximum=5, timeout=TIMEOUT, ready=publisher._isReady)
        ]
    number = 0
    for step in steps:
        if step == "publish":
            publisher.publish(number)
            number += 1
        elif step == "done" and pending and not pending[-1].called:
            pending[-1].callback(None)
        clock.advance({"turn": 0.0, "wait": TIMEOUT}.get(step, 0.0) if step != "publish" else 0.0)
    while not publisher._subscriptions[0].isIdle:
        clock.advance(TIMEOUT)
    return listener.heard, most[0]


class Hasty(Subscription):
    """
    Broken on purpose: it does not wait for an update.
    """

    def _wait(self, answer: Any) -> None:
        self._told(None)


class TestOrder:
    """
    In whichever order things happen.
    """

    @given(st.lists(Step, max_size=60))
    def test_order(self, steps: list[str]) -> None:
        """
        An observer hears of events in the order in which they were published, one at a time,
        each once, the last one in any case.
        """
        with logged():
            heard, most = play(steps)
        assert heard == sorted(set(heard)) and most <= 1
        count = steps.count("publish")
        assert not count or heard[-1] == count - 1

    def test_broken(self) -> None:
        """
        The test before finds out what is broken on purpose.
        """
        assert play(["publish", "publish", "turn", "turn"], Hasty)[1] > 1
