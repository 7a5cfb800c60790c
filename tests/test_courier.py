"""
Tests for L{txsessions.courier}, L{txsessions.couriers} and L{txsessions.delivery}.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Listener, TurningClock, clockOf, letPass, logged, settle, texts
from twisted.internet.defer import Deferred

from txsessions.courier import BATCH, FIRST, INTERVAL, LEASE, REST, SOON, Courier
from txsessions.couriers import Couriers
from txsessions.errors import CorruptRecord
from txsessions.interfaces import (
    ISessionCreated,
    ISessionDestroyed,
    ISessionExpired,
    ISessionStore,
)
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.record import Record
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


def sidOf(number: int) -> str:
    """
    The handle of a session.
    """
    return f"{number:032x}"


def end(store: Any, *numbers: int, reason: str = LOGOUT) -> None:
    """
    Let sessions begin and end.
    """
    for number in numbers:
        now = store.clock.seconds()
        attributes = {"data:n": b"%d" % number}
        resultOf(
            store.createSession(
                Record(sidOf(number), bytes(32), now, now, 900.0, None, "anna", attributes)
            )
        )
        resultOf(store.deleteSession(sidOf(number), reason))


def heard(listener: Listener) -> list[int]:
    """
    The numbers of the endings that an observer was told of.
    """
    return [int(event.sessionID, 16) for event in listener.heard]


def started(store: Any, listener: Any, clock: TurningClock, **options: Any) -> Courier:
    """
    A courier at work.
    """
    courier = Courier(store, "mailer", listener, clock, **options)
    courier.start()
    settle(clock)
    return courier


def stop(courier: Any, clock: TurningClock) -> None:
    """
    Stop couriers, which leave nothing behind.
    """
    stopped = courier.stop()
    settle(clock)
    assert stopped.called
    assert not clock.getDelayedCalls()


class TestTelling:
    """
    What a durable observer is told.
    """

    def test_told(self, store: Any, clock: TurningClock) -> None:
        """
        Each ending after the enrolment, once, the oldest first, with the last data and the id
        that the journal has for it.
        """
        end(store, 1)
        listener = Listener()
        courier = started(store, listener, clock)
        resultOf(store.enrol("other"))
        end(store, 2, 3)
        (entry, _) = resultOf(store.takeEndings("other", 2, 30.0))
        courier.wake()
        clock.advance(SOON)
        first = listener.heard[0]
        assert heard(listener) == [2, 3] and courier.told == 2
        assert ISessionDestroyed.providedBy(first)
        assert (first.sid, first.reason, first.time) == (sidOf(2), LOGOUT, 1e9)
        assert (dict(first.data), first.sessionKey, first.eventID) == (
            {"n": 2},
            "anna",
            entry.eventID,
        )
        letPass(clock, 2 * LEASE)
        assert heard(listener) == [2, 3]
        stop(courier, clock)

    def test_remembered(self, store: Any, clock: TurningClock) -> None:
        """
        What ended while no courier was there is told when one comes.
        """
        stop(started(store, Listener(), clock), clock)
        end(store, 1, 2)
        letPass(clock, 3600, 60)
        listener = Listener()
        courier = started(store, listener, clock)
        assert heard(listener) == [1, 2]
        stop(courier, clock)

    def test_kinds(self, store: Any, clock: TurningClock) -> None:
        """
        An observer is told of the kinds of endings that it asks for; the others are done with.
        """
        listener = Listener()
        courier = started(store, listener, clock, kinds=(ISessionExpired,))
        end(store, 1)
        end(store, 2, reason=IDLE)
        clock.advance(REST)
        assert heard(listener) == [2]
        assert resultOf(store.takeEndings("mailer", 9, 1.0)) == []
        stop(courier, clock)

    def test_many(self, store: Any, clock: TurningClock) -> None:
        """
        Thousands are told as fast as they can be, in batches, which grow.
        """
        recording = RecordingStore(store)
        listener = Listener()
        courier = started(recording, listener, clock)
        end(store, *range(1000))
        clock.advance(REST)
        assert heard(listener) == list(range(1000))
        sizes = [call.arguments[1] for call in recording.calls if call.name == "takeEndings"]
        assert sizes[:5] == [FIRST, FIRST, 2 * FIRST, 4 * FIRST, BATCH] and max(sizes) == BATCH
        stop(courier, clock)

    def test_turns(self, store: Any, clock: TurningClock) -> None:
        """
        An observer that works for long at once leaves the reactor its turn within a batch.
        """
        turns: Counter[int] = Counter()
        turn = [0]
        advance = clock.turn

        def counted(seconds: float = 0.0) -> bool:
            turn[0] += 1
            return advance(seconds)

        def work(event: Any) -> None:
            turns[turn[0]] += 1
            clock.rightNow += 0.002

        clock.turn = counted  # type: ignore[method-assign]  # to count
        courier = started(store, Listener(work), clock)
        end(store, *range(100))
        clock.advance(REST)
        assert courier.told == 100 and max(turns.values()) <= 3
        stop(courier, clock)


class TestSchedule:
    """
    When the courier looks.
    """

    def test_wake(self, store: Any, clock: TurningClock) -> None:
        """
        When it is told that something has ended it looks almost at once, once for many.
        """
        recording = RecordingStore(store)
        courier = started(recording, Listener(), clock)
        recording.calls.clear()
        for number in range(5):
            end(store, number)
            courier.wake()
        clock.advance(SOON - 0.001)
        assert recording.count("takeEndings") == 0
        clock.advance(0.001)
        assert courier.told == 5
        stop(courier, clock)
        courier.wake()
        assert not clock.getDelayedCalls()

    def test_rest(self, store: Any, clock: TurningClock) -> None:
        """
        Untold, it looks every five seconds; and every second for a while after it has found
        something.
        """
        recording = RecordingStore(store)
        courier = started(recording, Listener(), clock)
        recording.calls.clear()
        letPass(clock, 60)
        assert recording.count() == 60 / REST
        end(store, 1)
        letPass(clock, REST)
        assert courier.told == 1
        recording.calls.clear()
        letPass(clock, 20)
        assert recording.count("takeEndings") == 20 / INTERVAL
        letPass(clock, 30)
        recording.calls.clear()
        letPass(clock, 60)
        assert recording.count() == 60 / REST
        stop(courier, clock)

    def test_wokenWhileAtWork(self, store: Any, clock: TurningClock) -> None:
        """
        What ends while it looks is found right afterwards.
        """
        hanging = HangingStore(store)
        courier = started(hanging, Listener(), clock)
        hanging.hang("takeEndings", answersOnly=True)
        letPass(clock, REST)
        end(store, 1)
        courier.wake()
        hanging.release()
        clock.advance(SOON)
        assert courier.told == 1
        stop(courier, clock)


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


class TestStopping:
    """
    The end.
    """

    def test_finishes(self, store: Any, clock: TurningClock) -> None:
        """
        The batch in hand is finished and acknowledged; nothing of it is told again.
        """
        held: list[Deferred[None]] = []

        def wait(event: Any) -> Deferred[None]:
            held.append(Deferred())
            return held[-1]

        listener = Listener(wait)
        courier = started(store, listener, clock)
        end(store, 1, 2, 3)
        clock.advance(REST)
        stopped = courier.stop()
        for number in range(3):
            assert not stopped.called
            held[number].callback(None)
        assert stopped.called and heard(listener) == [1, 2, 3]
        assert not clock.getDelayedCalls()
        clock.advance(LEASE)
        assert resultOf(store.takeEndings("mailer", 9, 1.0)) == []

    def test_grace(self, store: Any, clock: TurningClock) -> None:
        """
        After the grace the update under way is cancelled; what was confirmed is acknowledged,
        and the rest is told by the next courier, once the lease has run out.
        """

        def wait(event: Any) -> Any:
            return None if int(event.sid, 16) == 1 else Deferred()

        listener, next = Listener(wait), Listener()
        courier = started(store, listener, clock)
        end(store, 1, 2, 3)
        clock.advance(REST)
        with logged() as events:
            stopped = courier.stop(5.0)
            letPass(clock, 4.5)
            assert not stopped.called
            letPass(clock, 0.5)
            assert stopped.called and heard(listener) == [1, 2]
        assert not texts(events) and not clock.getDelayedCalls()
        other = started(store, next, clock)
        assert not next.heard
        letPass(clock, LEASE)
        assert heard(next) == [2, 3]
        stop(other, clock)
        courier.start()
        listener.do = lambda event: None
        end(store, 4)
        clock.advance(REST)
        assert heard(listener)[-1] == 4
        stop(courier, clock)

    def test_twice(self, store: Any, clock: TurningClock) -> None:
        """
        To start or stop twice is no error.
        """
        courier = started(store, Listener(), clock)
        courier.start()
        assert courier.stop().called and courier.stop().called
        assert not clock.getDelayedCalls()


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


class TestCouriers:
    """
    All durable observers of a process.
    """

    def test_all(self, store: Any, clock: TurningClock) -> None:
        """
        Each is told of everything, whether it came before the start or after, until it leaves;
        for one who has left the store goes on to write.
        """
        couriers = Couriers(store, clock)
        early, late = Listener(), Listener()
        couriers.subscribe(early, "early")
        assert not clock.getDelayedCalls()
        couriers.start()
        couriers.subscribe(late, "late", ISessionDestroyed)
        settle(clock)
        end(store, 1)
        couriers.wake()
        clock.advance(SOON)
        assert heard(early) == heard(late) == [1]
        couriers.unsubscribe(late)
        couriers.unsubscribe(print)
        end(store, 2)
        clock.advance(REST)
        assert (heard(early), heard(late)) == ([1, 2], [1])
        assert len(resultOf(store.takeEndings("late", 9, 1.0))) == 1
        stop(couriers, clock)

    def test_replaced(self, store: Any, clock: TurningClock) -> None:
        """
        Another observer by the same name takes the place of the first; the same one by another
        name as well.
        """
        couriers = Couriers(store, clock)
        one, other = Listener(), Listener()
        couriers.start()
        couriers.subscribe(one, "mailer")
        couriers.subscribe(other, "mailer")
        couriers.subscribe(other, "other", ISessionExpired)
        settle(clock)
        end(store, 1, reason=IDLE)
        couriers.wake()
        clock.advance(SOON)
        assert (heard(one), heard(other)) == ([], [1])
        stop(couriers, clock)

    def test_leavesAtWork(self, store: Any, clock: TurningClock) -> None:
        """
        One that leaves finishes what it holds, and the end waits for that.
        """
        hold: Deferred[None] = Deferred()
        couriers = Couriers(store, clock)
        listener = Listener(lambda event: hold)
        couriers.start()
        couriers.subscribe(listener, "mailer")
        settle(clock)
        end(store, 1)
        clock.advance(REST)
        couriers.unsubscribe(listener)
        stopped = couriers.stop()
        assert not stopped.called
        hold.callback(None)
        assert stopped.called
        clock.advance(LEASE)
        assert resultOf(store.takeEndings("mailer", 9, 1.0)) == []
        assert not clock.getDelayedCalls()

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", 5, None])
    def test_names(self, store: Any, clock: TurningClock, name: Any) -> None:
        """
        What is no name is refused at once.
        """
        with pytest.raises(ValueError, match="a printable str of 1 to 200 characters"):
            Couriers(store, clock).subscribe(print, name)

    def test_refused(self, store: Any, clock: TurningClock) -> None:
        """
        So is what is no observer, or no kind of endings; and a store without a journal.
        """
        couriers = Couriers(store, clock)
        with pytest.raises(TypeError, match="is no observer"):
            couriers.subscribe(5, "mailer")
        with pytest.raises(TypeError, match="give ISessionDestroyed"):
            couriers.subscribe(print, "mailer", ISessionCreated)
        with pytest.raises(TypeError, match="give ISessionDestroyed"):
            couriers.subscribe(print, "mailer", ISessionStore)
        with pytest.raises(TypeError, match="keeps no journal"):
            Couriers(object(), clock).subscribe(print, "mailer")
        assert not couriers._couriers
