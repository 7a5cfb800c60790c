"""
Tests for L{txsessions.sweeper}.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.duties import BATCH, CHUNK
from txsessions.errors import StoreUnavailable
from txsessions.lifetime import IDLE
from txsessions.record import Change, Record
from txsessions.stores.claim import Claim
from txsessions.stores.memory import MemoryStore
from txsessions.sweeper import CLAIM_TIMEOUT, LONGEST_BACKOFF, LONGEST_REST, Sweeper
from txsessions.testing import FailingStore, HangingStore, RecordingStore, resultOf


class Sweep:
    """
    A store, its sweeper, and what that has told.
    """

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.inside = MemoryStore(self.clock)
        self.hanging = HangingStore(self.inside)
        self.failing = FailingStore(self.hanging)
        self.store = RecordingStore(self.failing)
        self.told: list[tuple[float, str, str]] = []
        self.sweeper = Sweeper(self.store, self.clock, self.tell, **options)
        self.events: list[Any] = []

    def tell(self, ending: Any) -> None:
        """
        Be told.
        """
        self.told.append((self.clock.seconds(), ending.record.sid, ending.reason))

    def create(self, sid: str, timeout: float) -> None:
        """
        Store a session that begins now.
        """
        now = self.clock.seconds()
        self.inside.createSession(
            Record(sid, b"", created=now, lastModified=now, sessionTimeout=timeout)
        )

    def turns(self) -> int:
        """
        Let the reactor take its turns at this moment; how many.
        """
        number = 0
        while self.clock.calls and self.clock.calls[0].getTime() <= self.clock.seconds():
            call = self.clock.calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)
            number += 1
        return number


@pytest.fixture
def sweep() -> Any:
    """
    A sweep of its own for each test, whose log is noted.
    """
    sweep = Sweep()
    globalLogPublisher.addObserver(sweep.events.append)
    yield sweep
    globalLogPublisher.removeObserver(sweep.events.append)


def test_moment(sweep: Sweep) -> None:
    """
    What expires is ended at that moment, and not before.
    """
    sweep.create("a", 10.0)
    sweep.create("b", 12.5)
    sweep.sweeper.start()
    sweep.clock.pump([9.0, 0.999])
    assert sweep.told == []
    sweep.clock.advance(0.001)
    assert sweep.told == [(10.0, "a", IDLE)]
    sweep.clock.advance(2.5)
    assert sweep.told[1:] == [(12.5, "b", IDLE)]


def test_touched(sweep: Sweep) -> None:
    """
    What was touched in time is ended when its new time is up.
    """
    sweep.create("a", 10.0)
    sweep.sweeper.start()
    sweep.clock.advance(9)
    sweep.inside.saveSession(Change("a", lastModified=9.0))
    sweep.clock.advance(9.875)
    assert sweep.told == []
    sweep.clock.advance(0.125)
    assert sweep.told == [(19.0, "a", IDLE)]


def test_rests(sweep: Sweep) -> None:
    """
    Where nothing expires it asks the store twice a minute, in case others have stored something.
    """
    sweep.sweeper.start()
    sweep.clock.pump([1.0] * 600)
    assert sweep.store.count("claimExpired") == 1 + 600 / LONGEST_REST
    sweep.create("of another process", 5.0)
    sweep.clock.pump([1.0] * int(LONGEST_REST))
    assert len(sweep.told) == 1


def test_wakeBy(sweep: Sweep) -> None:
    """
    It looks earlier when it is told that something expires earlier.
    """
    sweep.sweeper.start()
    sweep.create("a", 2.0)
    sweep.sweeper.wakeBy(2.0)
    sweep.sweeper.wakeBy(20.0)
    sweep.clock.advance(2)
    assert sweep.told == [(2.0, "a", IDLE)]
    assert len(sweep.clock.getDelayedCalls()) == 1


def test_wakeByDuringARun(sweep: Sweep) -> None:
    """
    So it does when it was told while it was looking.
    """
    answer: Deferred[Claim] = Deferred()
    sweep.inside.claimExpired = lambda limit: answer  # type: ignore[assignment]  # on purpose
    sweep.sweeper.start()
    sweep.create("a", 2.0)
    sweep.sweeper.wakeBy(2.0)
    sweep.clock.advance(1)
    del sweep.inside.claimExpired
    answer.callback(Claim([], None))
    sweep.clock.advance(1)
    assert sweep.told == [(2.0, "a", IDLE)]


def test_notStarted(sweep: Sweep) -> None:
    """
    One that was not started looks when it is asked to, and leaves nothing behind.
    """
    sweep.create("a", 10.0)
    sweep.sweeper.wakeBy(10.0)
    assert not sweep.clock.getDelayedCalls()
    sweep.clock.advance(10)
    assert sweep.told == []
    assert sweep.sweeper.run().called
    assert len(sweep.told) == 1 and not sweep.clock.getDelayedCalls()


def test_stop(sweep: Sweep) -> None:
    """
    Stopping leaves no delayed call behind.
    """
    sweep.create("a", 10.0)
    sweep.sweeper.start()
    assert sweep.sweeper.stop().called
    assert sweep.sweeper.stop().called
    assert not sweep.clock.getDelayedCalls()
    sweep.clock.advance(20)
    assert sweep.told == []
    sweep.sweeper.start()
    assert len(sweep.told) == 1
    sweep.sweeper.stop()


def test_stopDuringABatch(sweep: Sweep) -> None:
    """
    Stopping waits for the batch that is under way, whose endings are told, and for no other.
    """
    for number in range(3 * BATCH):
        sweep.create(f"{number}", 10.0)
    sweep.clock.advance(10)
    sweep.hanging.hang("claimExpired")
    sweep.sweeper.start()
    stopped = sweep.sweeper.stop()
    assert not stopped.called
    sweep.hanging.release()
    assert stopped.called and len(sweep.told) == BATCH
    assert not sweep.clock.getDelayedCalls()


def test_stopBetweenBatches(sweep: Sweep) -> None:
    """
    Between two batches it stops at once, and who waited for the run is told.
    """
    for number in range(3 * BATCH):
        sweep.create(f"{number}", 10.0)
    sweep.clock.rightNow = 10.0
    sweep.sweeper.start()
    running = sweep.sweeper.run()
    assert len(sweep.told) == BATCH and not running.called
    assert sweep.sweeper.stop().called and running.called
    assert not sweep.clock.getDelayedCalls()


def test_stoppedByAnEnding(sweep: Sweep) -> None:
    """
    Whoever is told of an ending may stop it.
    """
    sweep.create("a", 10.0)
    sweep.sweeper._tell = lambda ending: sweep.sweeper.stop()
    sweep.sweeper.start()
    sweep.clock.advance(10)
    assert not sweep.clock.getDelayedCalls()


def test_runTwice(sweep: Sweep) -> None:
    """
    Who asks for a run while one is under way waits for that one.
    """
    sweep.hanging.hang()
    runs = [sweep.sweeper.run() for _ in range(3)]
    assert sweep.store.count("claimExpired") == 1
    sweep.hanging.release()
    assert all(run.called for run in runs)
    assert sweep.store.count("claimExpired") == 1


def test_manyAtOnce(sweep: Sweep) -> None:
    """
    A hundred thousand that expire at once are ended in batches, one in each turn of the reactor,
    and each is told once.
    """
    number = 100_000
    for each in range(number):
        sweep.create(f"{each}", 10.0)
    sweep.sweeper.start()
    sweep.clock.rightNow = 10.0
    before, longest = 0, 0
    while len(sweep.told) < number:
        call = sweep.clock.calls.pop(0)
        assert call.getTime() <= 10.0
        call.called = 1
        call.func(*call.args, **call.kw)
        before, longest = len(sweep.told), max(longest, len(sweep.told) - before)
    assert longest <= BATCH
    assert len({sid for _, sid, _ in sweep.told}) == number
    sweep.turns()
    sweep.sweeper.stop()
    assert not sweep.clock.getDelayedCalls()


def test_prepares() -> None:
    """
    Before each batch the store is told what it has to know, and that is waited for.
    """
    told: Deferred[None] = Deferred()
    sweep = Sweep(prepare=lambda: told)
    sweep.create("a", 10.0)
    sweep.clock.advance(10)
    sweep.sweeper.start()
    assert sweep.told == []
    sweep.inside.saveSession(Change("a", lastModified=9.0))
    told.callback(None)
    assert sweep.told == []
    sweep.sweeper.stop()


class TestErrors:
    """
    Stores that cannot answer.
    """

    @pytest.mark.parametrize("down", ["claimExpired", "prepare"])
    def test_backsOff(self, sweep: Sweep, down: str) -> None:
        """
        It asks a store that is down less and less often, once a minute at the least; reports
        that once; and goes on when the store is well again.
        """
        asked: list[float] = []

        def prepare() -> Deferred[None]:
            asked.append(sweep.clock.seconds())
            if down == "prepare" and sweep.failing._isDown:
                return fail(StoreUnavailable("down"))
            return succeed(None)

        sweep.sweeper._prepare = prepare
        sweep.failing.fail()
        sweep.sweeper.start()
        sweep.clock.pump([1.0] * 3600)
        rests = [later - earlier for earlier, later in pairwise(asked)]
        assert rests[:6] == [2, 4, 8, 16, 32, 60] and set(rests[5:]) == {LONGEST_BACKOFF}
        assert [type(event["error"]) for event in sweep.events] == [StoreUnavailable]
        assert "log_failure" not in sweep.events[0]
        sweep.create("a", 1.0)
        sweep.failing.mend()
        sweep.clock.pump([1.0] * 61)
        assert len(sweep.told) == 1
        sweep.create("b", 10.0)
        sweep.sweeper.wakeBy(sweep.clock.seconds() + 10)
        sweep.clock.advance(10)
        assert len(sweep.told) == 2
        sweep.sweeper.stop()

    def test_everyThird(self, sweep: Sweep) -> None:
        """
        A store that fails one time in three ends all there is to end.
        """
        sweep.failing.fail("claimExpired", every=3)
        sweep.sweeper.start()
        for number in range(600):
            sweep.create(f"{number}", 7.0)
            sweep.sweeper.wakeBy(sweep.clock.seconds() + 7)
            sweep.clock.advance(1)
        sweep.clock.pump([1.0] * 60)
        assert len({sid for _, sid, _ in sweep.told}) == len(sweep.told) == 600
        sweep.sweeper.stop()

    def test_impatience(self, sweep: Sweep) -> None:
        """
        While the store is down, whatever expires makes it ask no more often.
        """
        sweep.failing.fail()
        sweep.sweeper.start()
        for _ in range(600):
            sweep.sweeper.wakeBy(sweep.clock.seconds() + 0.1)
            sweep.clock.advance(1)
        assert sweep.store.count("claimExpired") < 20

    def test_hangs(self, sweep: Sweep) -> None:
        """
        A store that does not answer is given up after a while, and asked again later; what it
        brings in then is told nevertheless.
        """
        sweep.create("a", 10.0)
        sweep.clock.advance(10)
        sweep.hanging.hang("claimExpired", answersOnly=True)
        sweep.sweeper.start()
        run = sweep.sweeper.run()
        sweep.clock.advance(CLAIM_TIMEOUT)
        assert run.called and sweep.told == []
        sweep.hanging.release()
        assert [sid for _, sid, _ in sweep.told] == ["a"]
        sweep.create("b", 10.0)
        sweep.clock.pump([1.0] * 30)
        assert [sid for _, sid, _ in sweep.told] == ["a", "b"]
        sweep.sweeper.stop()
        assert not sweep.clock.getDelayedCalls()

    def test_raises(self, sweep: Sweep) -> None:
        """
        A store that raises is one that is down.
        """

        def broken(limit: int) -> Any:
            raise ZeroDivisionError

        sweep.sweeper._store = type("Store", (), {"claimExpired": staticmethod(broken)})()
        sweep.sweeper.start()
        assert sweep.events[0]["log_failure"].check(ZeroDivisionError)
        assert len(sweep.clock.getDelayedCalls()) == 1


class SlowTelling:
    """
    Takes its time, on the clock of a test, for each ending.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds

    def __call__(self, ending: object) -> None:
        self._clock.rightNow += self.seconds


def test_learns() -> None:
    """
    Where telling takes long the batches become smaller, so that the reactor is not held;
    and larger again, when it no longer does.
    """
    clock = Clock()
    store = RecordingStore(MemoryStore(clock))
    tell = SlowTelling(clock, 0.001)
    sweeper = Sweeper(store, clock, tell)
    sweeper.start()
    for tell.seconds, last in ((0.001, CHUNK), (0.0, BATCH)):
        now = clock.seconds()
        for number in range(3000):
            resultOf(store.createSession(Record(f"{number:032x}", bytes(32), now, now, 10.0)))
        store.calls.clear()
        clock.advance(LONGEST_REST)
        limits = [call.arguments[0] for call in store.calls if call.name == "claimExpired"]
        assert limits[-1] == last
        clock.advance(3600)
    resultOf(sweeper.stop())


def test_learnsWithoutEndings() -> None:
    """
    Where few of those that come up have ended, since the others were touched, the batches do
    not stay small because it takes long to tell those few.
    """
    clock = Clock()
    memory = MemoryStore(clock)
    store = RecordingStore(memory)
    sweeper = Sweeper(store, clock, SlowTelling(clock, 0.001))
    sweeper.start()
    for number in range(10_000):
        sid = f"{number:032x}"
        resultOf(memory.createSession(Record(sid, bytes(32), 0.0, 0.0, 10.0)))
        if number % 1000:
            resultOf(memory.saveSession(Change(sid, lastModified=9.0)))
    clock.advance(11)
    sweeper.run()
    for _ in range(10_000):
        clock.advance(0)
    limits = [call.arguments[0] for call in store.calls if call.name == "claimExpired"]
    assert CHUNK < min(limits) < BATCH / 2
    assert all(after <= 2 * before for before, after in pairwise(limits))
    assert len(limits) < 3 * 10_000 / BATCH
    resultOf(sweeper.stop())
