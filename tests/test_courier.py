"""
Tests for L{txsessions.courier}, L{txsessions.couriers} and L{txsessions.delivery}.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from couriers import end, heard, sidOf, started, stop
from listening import Listener, TurningClock, clockOf, letPass, logged, settle, texts
from twisted.internet.defer import Deferred

from txsessions.courier import BATCH, FIRST, INTERVAL, LEASE, REST, SOON
from txsessions.couriers import Couriers
from txsessions.interfaces import (
    ISessionCreated,
    ISessionDestroyed,
    ISessionExpired,
    ISessionStore,
)
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.stores.memory import MemoryStore
from txsessions.testing import (
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
