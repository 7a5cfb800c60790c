"""
Tests for L{txsessions.delivery} and L{txsessions.courier}: observers that fail, stores that are
down, and processes that are killed.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from couriers import end, heard, started, stop
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Listener, TurningClock, clockOf, letPass, logged, settle, texts
from twisted.internet.defer import Deferred

from txsessions.courier import BATCH, LEASE, REST, SOON, Courier
from txsessions.errors import CorruptRecord
from txsessions.stores.memory import MemoryStore
from txsessions.testing import (
    FailingStore,
    HangingStore,
    RecordingStore,
    resultOf,
)


@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


@pytest.fixture
def store(clock: TurningClock) -> MemoryStore:
    """
    A store in memory, with a journal.
    """
    return MemoryStore(clock)


class TestFailing:
    """
    An observer that fails.
    """

    def test_again(self, store: Any, clock: TurningClock) -> None:
        """
        What it fails is told again when the lease has run out, with the same id, and the others
        meanwhile.
        """
        broken = {2}

        def update(event: Any) -> None:
            if int(event.sid, 16) in broken:
                raise ZeroDivisionError("the observer is broken")

        listener = Listener(update)
        with logged() as events:
            courier = started(store, listener, clock)
            end(store, 1, 2, 3)
            letPass(clock, REST)
            assert heard(listener) == [1, 2, 3] and courier.told == 2
            letPass(clock, LEASE - 0.5)
            assert heard(listener) == [1, 2, 3]
            letPass(clock, REST)
            assert heard(listener) == [1, 2, 3, 2]
            broken.clear()
            letPass(clock, LEASE + 60)
        assert heard(listener) == [1, 2, 3, 2, 2] and courier.told == 3
        assert len({event.eventID for event in listener.heard}) == 3
        assert [("at attempt 1" in text, "at attempt 2" in text) for text in texts(events)] == [
            (True, False),
            (False, True),
        ]
        stop(courier, clock)

    def test_givenUp(self, store: Any, clock: TurningClock) -> None:
        """
        After ten attempts it is given up, which is counted and logged; the others were told.
        """

        def update(event: Any) -> None:
            if int(event.sid, 16) == 2:
                raise ZeroDivisionError("the observer is broken")

        listener = Listener(update)
        with logged() as events:
            courier = started(store, listener, clock)
            end(store, 1, 2, 3)
            letPass(clock, 3600, 1.0)
        assert Counter(heard(listener)) == {1: 1, 2: 10, 3: 1}
        assert (courier.told, courier.dropped) == (2, 1)
        lines = texts(events)
        assert len(lines) == 10 and "giving up" in lines[-1] and "attempt 10" in lines[-1]
        assert resultOf(store.takeEndings("mailer", 9, 1.0)) == []
        stop(courier, clock)

    def test_outage(self, store: Any, clock: TurningClock) -> None:
        """
        While it fails at everything it is tried seldom, so that ten minutes lose nothing; then
        all are told.
        """
        isDown = [True]

        def update(event: Any) -> None:
            if isDown[0]:
                raise ZeroDivisionError("the observer is broken")

        listener = Listener(update)
        with logged() as events:
            courier = started(store, listener, clock)
            for number in range(60):
                end(store, number)
                courier.wake()
                letPass(clock, 10, 1.0)
            assert len(events) < 30
            isDown[0] = False
            letPass(clock, 120, 1.0)
        assert courier.told == 60 and courier.dropped == 0
        stop(courier, clock)

    def test_never(self, store: Any, clock: TurningClock) -> None:
        """
        An update that takes too long is cancelled, and told again; it never outlasts the lease.
        """
        cancelled: list[float] = []

        def update(event: Any) -> Any:
            return Deferred(lambda _: cancelled.append(clock.seconds()))

        listener = Listener(update)
        with logged() as events:
            courier = started(store, listener, clock)
            end(store, 1)
            courier.wake()
            clock.advance(SOON)
            took = clock.seconds()
            letPass(clock, LEASE + REST + 1)
        assert cancelled[0] - took <= LEASE * 2 / 3 and len(listener.heard) == 2
        assert "longer than 10 seconds" in str(events[0]["log_failure"].value)
        assert courier.told == 0
        stopped = courier.stop()
        letPass(clock, 11)
        assert stopped.called and not clock.getDelayedCalls()

    def test_slow(self, store: Any, clock: TurningClock) -> None:
        """
        A slow observer is told of each ending once all the same: the batches become so small
        that none outlasts its lease.
        """

        def update(event: Any) -> Any:
            done: Deferred[None] = Deferred()
            clock.callLater(4.0, done.callback, None)
            return done

        listener = Listener(update)
        courier = started(store, listener, clock)
        end(store, *range(30))
        letPass(clock, 30 * 4 + 200)
        assert sorted(heard(listener)) == list(range(30)) and courier.told == 30
        assert courier._size <= 3
        stop(courier, clock)

    def test_coroutine(self, store: Any, clock: TurningClock) -> None:
        """
        A coroutine has confirmed an ending when it has returned.
        """
        hold: Deferred[None] = Deferred()

        class Observer(Listener):
            async def update(self, event: Any) -> None:
                await hold

        courier = started(store, Observer(), clock)
        end(store, 1)
        clock.advance(REST)
        assert courier.told == 0
        hold.callback(None)
        settle(clock)
        assert courier.told == 1
        stop(courier, clock)


class TestStoreDown:
    """
    A store that cannot answer.
    """

    def test_backoff(self, store: Any, clock: TurningClock) -> None:
        """
        It is asked more and more seldom, once a minute at the least, whatever wakes the courier;
        one line says why; and all is told afterwards.
        """
        failing = FailingStore(store)
        failing.fail()
        listener = Listener()
        with logged() as events:
            recording = RecordingStore(failing)
            courier = started(recording, listener, clock)
            for _ in range(600):
                courier.wake()
                letPass(clock, 1)
            count = recording.count()
            assert 600 / 60 <= count <= 600 / 60 + 8
        (line,) = texts(events)
        assert line.startswith("Could not get the endings for durable observer mailer; trying")
        failing.mend()
        letPass(clock, 60)
        end(store, 1)
        letPass(clock, 60)
        assert heard(listener) == [1]
        stop(courier, clock)

    def test_strange(self, store: Any, clock: TurningClock) -> None:
        """
        Any other failure is logged with what it was, once, and does not end the courier.
        """
        failing = FailingStore(store)
        failing.fail("takeEndings", error=lambda: CorruptRecord("0" * 32, "torn"))
        listener = Listener()
        with logged() as events:
            courier = started(failing, listener, clock)
            letPass(clock, 100)
        assert len(events) == 1 and events[0]["log_failure"].check(CorruptRecord)
        failing.mend()
        end(store, 1)
        letPass(clock, 60)
        assert heard(listener) == [1]
        stop(courier, clock)

    def test_unacknowledged(self, store: Any, clock: TurningClock) -> None:
        """
        What the observer has confirmed is not told again, though it could not be acknowledged
        for a while.
        """
        failing = FailingStore(store)
        listener = Listener()
        with logged():
            courier = started(failing, listener, clock)
            failing.fail("acknowledge")
            end(store, 1)
            letPass(clock, 5 * LEASE)
            assert heard(listener) == [1]
            failing.mend()
            letPass(clock, 60)
        end(store, 2)
        letPass(clock, 60)
        assert heard(listener) == [1, 2]
        stop(courier, clock)

    def test_hangs(self, store: Any, clock: TurningClock) -> None:
        """
        A store that hangs is waited for some seconds at a time, and what it gives too late is
        told when its lease has run out.
        """
        hanging = HangingStore(store)
        listener = Listener()
        with logged() as events:
            courier = started(hanging, listener, clock)
            end(store, 1)
            hanging.hang("takeEndings", answersOnly=True)
            letPass(clock, 20)
            assert len(texts(events)) == 1 and not listener.heard
            hanging.release()
            letPass(clock, LEASE + 60)
        assert heard(listener) == [1]
        stop(courier, clock)


class TestSharing:
    """
    Several couriers of one name.
    """

    @settings(max_examples=15)
    @given(st.randoms(use_true_random=False))
    def test_killed(self, chance: random.Random) -> None:
        """
        Of processes that share the work, some of which are killed, each ending is told at least
        once; twice only what a killed one held.
        """
        told, held = play(chance, Courier)
        assert set(told) == set(range(200))
        assert sum(told.values()) - 200 <= held

    def test_broken(self) -> None:
        """
        Control: a courier that acknowledges before it tells loses what a killed one held.
        """

        class Hasty(Courier):
            async def _look(self) -> int:
                taken = self._journal.takeEndings

                def take(name: str, limit: int, lease: float) -> Any:
                    entries = resultOf(taken(name, limit, lease))
                    self._journal.acknowledge(name, [entry.eventID for entry in entries])
                    return entries

                await self._ask(self._journal.enrol, self.name)
                entries = take(self.name, self._size, self._lease)
                done = await self._delivery.deliver(entries, self._clock.seconds() + 10)
                return len(done)

        assert any(set(play(random.Random(seed), Hasty)[0]) != set(range(200)) for seed in range(5))


def play(chance: random.Random, kind: Any) -> tuple[Counter[int], int]:
    """
    Let couriers share the endings of 200 sessions, and kill some of them.

    @return: How often each ending was told; and how many the killed ones held at the most.
    """
    clock = clockOf()
    store = MemoryStore(clock)
    told: Counter[int] = Counter()
    held = 0

    def observer() -> Any:
        def update(event: Any) -> Any:
            told[int(event.sid, 16)] += 1
            done: Deferred[None] = Deferred()
            clock.callLater(chance.choice([0.01, 0.2]), done.callback, None)
            return done

        return update

    couriers: list[Any] = []
    for number in range(200):
        while len(couriers) < 3:
            # Each has a wire of its own to the store, which is cut when it is killed.
            wire = HangingStore(store)
            couriers.append((begun(kind, wire, observer(), clock), wire))
        end(store, number)
        letPass(clock, 0.2, 0.1)
        if chance.random() < 0.05:
            victim, wire = couriers.pop(chance.randrange(3))
            wire.hang()
            victim._delivery.cut()
            victim._isStopping = True
            held += BATCH
    with logged():
        letPass(clock, 3 * LEASE + 60, 1.0)
        for courier, _ in couriers:
            courier.stop()
        letPass(clock, 30, 1.0)
    return told, held


def begun(kind: Any, store: Any, observer: Any, clock: TurningClock) -> Any:
    """
    A courier of some kind at work.
    """
    courier = kind(store, "mailer", observer, clock)
    courier.start()
    return courier
