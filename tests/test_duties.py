"""
Tests for L{txsessions.duties}.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, globalLogPublisher

from txsessions.duties import BATCH, Duties


class Work:
    """
    Duties, what they have to do, and what they did.

    @ivar times: When each has to be done.
    @ivar done: What was done, with its time.
    """

    def __init__(self, **times: float) -> None:
        self.clock = Clock()
        self.times = dict(times)
        self.done: list[tuple[float, str]] = []
        self.duties = Duties(self.clock, self.times.get, self.do)
        for name, time in times.items():
            self.duties.add(name, time)

    def do(self, name: str) -> Any:
        """
        Do it.
        """
        self.done.append((self.clock.seconds(), name))

    def turn(self) -> None:
        """
        One turn of the reactor: the delayed call, if it is due, and no other that comes of it.
        """
        for call in list(self.clock.calls):
            if call.active() and call.getTime() <= self.clock.seconds():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


def test_moment() -> None:
    """
    It is done at its time: a moment before, it is not; and once.
    """
    work = Work(a=10.0)
    work.clock.advance(9.999)
    assert work.done == []
    work.clock.advance(0.001)
    assert work.done == [(10.0, "a")]
    work.clock.advance(100)
    assert len(work.done) == 1 and not work.clock.getDelayedCalls()


def test_oneDelayedCall() -> None:
    """
    However many there are, there is one delayed call, and none when there are none.
    """
    work = Work(**{f"n{number}": 10.0 + number for number in range(100)})
    assert len(work.clock.getDelayedCalls()) == 1
    for number in range(100):
        work.duties.discard(f"n{number}")
    assert not work.clock.getDelayedCalls()
    work.duties.discard("unknown")


def test_moved() -> None:
    """
    A time that moves later need not be told, one that moves earlier does.
    """
    work = Work(a=10.0, b=20.0)
    work.times["a"] = 15.0
    work.times["b"] = 5.0
    work.duties.add("b", 5.0)
    work.clock.pump([1.0] * 14)
    assert work.done == [(5.0, "b")]
    work.clock.advance(1)
    assert work.done[1:] == [(15.0, "a")]


def test_gone() -> None:
    """
    What is gone is not done.
    """
    work = Work(a=10.0, b=10.0)
    del work.times["a"]
    work.clock.advance(10)
    assert work.done == [(10.0, "b")]
    assert not work.clock.getDelayedCalls()


def test_never() -> None:
    """
    What is due at the end of time waits until then, and does no harm.
    """
    work = Work(never=float("inf"), a=10.0)
    work.clock.advance(10)
    work.clock.advance(1e9)
    assert work.done == [(10.0, "a")]
    work.duties.stop()
    assert not work.clock.getDelayedCalls()


def test_stop() -> None:
    """
    After it was stopped there is no delayed call, also when something is added; it goes on when
    it is started.
    """
    work = Work(a=10.0)
    work.duties.stop()
    work.times["b"] = 5.0
    work.duties.add("b", 5.0)
    assert not work.clock.getDelayedCalls()
    work.clock.advance(20)
    work.duties.start()
    work.clock.advance(0)
    assert work.done == [(20.0, "b"), (20.0, "a")]
    assert not work.clock.getDelayedCalls()


def test_stoppedByOne() -> None:
    """
    One duty may stop them all.
    """
    work = Work(a=10.0, b=20.0)
    work.duties._do = lambda name: work.duties.stop()
    work.clock.advance(10)
    assert not work.clock.getDelayedCalls()


def test_oneThatAddsAnother() -> None:
    """
    One duty may bring others, due at once or later, or take them away.
    """
    work = Work(a=10.0, gone=11.0)

    def do(name: str) -> None:
        work.do(name)
        if name == "a":
            work.duties.discard("gone")
            for other, time in (("now", 10.0), ("later", 12.0)):
                work.times[other] = time
                work.duties.add(other, time)

    work.duties._do = do
    work.clock.pump([1.0] * 20)
    assert work.done == [(10.0, "a"), (10.0, "now"), (12.0, "later")]
    assert not work.clock.getDelayedCalls()


def test_raising() -> None:
    """
    One that raises is reported, and hurts no other.
    """
    work = Work(a=10.0, b=10.0, c=11.0)
    events: list[Any] = []

    def do(name: str) -> None:
        work.do(name)
        if name == "a":
            raise ZeroDivisionError

    work.duties._do = do
    globalLogPublisher.addObserver(events.append)
    try:
        work.clock.pump([10.0, 1.0])
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [name for _, name in work.done] == ["a", "b", "c"]
    [event] = events
    assert event["sid"] == "a" and event["log_failure"].check(ZeroDivisionError)


def test_unknownTime() -> None:
    """
    One whose time cannot be told is reported, and hurts no other: neither those that are due
    with it, nor those that come later.
    """
    clock, done = Clock(), []

    def timeOf(name: str) -> float:
        return {"a": 1.0, "c": 1.0, "d": 2.0}[name]

    duties = Duties(clock, timeOf, done.append)
    for name, time in (("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 2.0)):
        duties.add(name, time)
    with capturedLogs() as events:
        clock.advance(1)
        assert done == ["a", "c"]
        clock.advance(1)
    assert done == ["a", "c", "d"]
    assert [event["log_failure"].type for event in events] == [KeyError]


def test_manyAtOnce() -> None:
    """
    A hundred thousand that are due at once are done in batches, one in each turn of the reactor,
    so that others have their turn in between.
    """
    number = 100_000
    work, turns = turnsFor(number)
    assert max(turns) <= BATCH
    assert len(turns) == number // BATCH
    assert len({name for _, name in work.done}) == number


def test_manyAtOnceControl(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same finds duties that are all done in one turn.
    """
    monkeypatch.setattr("txsessions.duties.BATCH", 1 << 20)
    _, turns = turnsFor(2 * BATCH)
    assert max(turns) > BATCH


def turnsFor(number: int) -> tuple[Work, list[int]]:
    """
    Have so many things done that are due at once, and count how many were in each turn of
    the reactor.
    """
    work = Work(**{f"n{each}": 10.0 for each in range(number)})
    work.clock.rightNow = 10.0
    turns = []
    while work.clock.calls:
        before = len(work.done)
        assert len(work.clock.calls) == 1
        work.turn()
        turns.append(len(work.done) - before)
    return work, turns


class TestCatchUp:
    """
    Doing now what is due already.
    """

    def test_nothing(self) -> None:
        """
        Where nothing is due nothing is done.
        """
        work = Work(a=10.0)
        assert work.duties.catchUp().called and work.done == []
        assert len(work.clock.getDelayedCalls()) == 1

    def test_waits(self) -> None:
        """
        It waits for what takes its time.
        """
        work = Work(a=10.0, b=10.0, c=11.0)
        answer: Deferred[None] = Deferred()
        work.duties._do = lambda name: work.do(name) or {"a": answer, "b": succeed(1)}.get(name)
        work.clock.rightNow = 10.0
        caughtUp = work.duties.catchUp()
        assert [name for _, name in work.done] == ["a", "b"] and not caughtUp.called
        answer.callback(None)
        assert caughtUp.called and len(work.clock.getDelayedCalls()) == 1

    def test_inBatches(self) -> None:
        """
        It too lets others have their turn.
        """
        work = Work(**{f"n{each}": 10.0 for each in range(3 * BATCH)})
        work.clock.rightNow = 10.0
        caughtUp = work.duties.catchUp()
        assert len(work.done) == BATCH
        while not caughtUp.called:
            work.turn()
        assert len(work.done) == 3 * BATCH and not work.clock.getDelayedCalls()


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 20), min_size=1),
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from("abcdef"), st.integers(0, 10))),
)
def test_anyTouches(times: dict[str, int], touches: list[tuple[int, str, int]]) -> None:
    """
    Whatever is touched when: each is done once, exactly at the time that it has in the end.
    """
    work = Work(**{name: float(time) for name, time in times.items()})

    def touch(name: str, by: int) -> None:
        if name in work.times and not any(name == other for _, other in work.done):
            work.times[name] += by

    for moment, name, by in touches:
        work.clock.callLater(moment - 0.5, touch, name, by)
    work.clock.pump([0.5] * 500)
    assert sorted(work.done) == sorted((time, name) for name, time in work.times.items())
    assert not work.clock.getDelayedCalls()


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1])
def test_everySize(size: int) -> None:
    """
    Nothing is forgotten at the border of a batch.
    """
    work = Work(**{f"n{each}": 10.0 for each in range(size)})
    work.clock.advance(10)
    assert len(work.done) == size
