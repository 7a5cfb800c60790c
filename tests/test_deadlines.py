"""
Tests for L{txsessions.deadlines}.
"""

from __future__ import annotations

import gc
from math import nan
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interpreter import needsPlainDicts

from txsessions import deadlines as module
from txsessions.deadlines import MAXIMUM_STALE, MINIMUM, MOVED, MOVES, RUN, Deadlines

names = st.sampled_from("abcdefgh")
times = st.integers(0, 50).map(float)


class DeadlinesMachine(RuleBasedStateMachine):
    """
    Deadlines beside a plain dictionary.  Their runs are short, and cleared all the time, one
    entry after the other.
    """

    narrow = pytest.MonkeyPatch()

    @initialize()
    def begin(self) -> None:
        """
        Nothing is watched.
        """
        for name in ("SLACK", "RUN", "MINIMUM", "MOVED", "MAXIMUM_STALE"):
            self.narrow.setattr(module, name, {"SLACK": -3, "RUN": 3}.get(name, 1))
        self.model: dict[str, float] = {}
        self.deadlines = Deadlines(self.model.get)

    @rule(name=names, time=times)
    def add(self, name: str, time: float) -> None:
        """
        A name comes, or its deadline moves either way.
        """
        self.model[name] = time
        self.deadlines.add(name, time)

    @rule(name=names, by=times)
    def moveLater(self, name: str, by: float) -> None:
        """
        A deadline moves later, and nobody is told.
        """
        if name in self.model:
            self.model[name] += by

    @rule(name=names)
    def discard(self, name: str) -> None:
        """
        A name goes.
        """
        self.model.pop(name, None)
        self.deadlines.discard(name)

    @rule(name=names)
    def vanish(self, name: str) -> None:
        """
        A name goes, and nobody is told.
        """
        self.model.pop(name, None)

    @rule(now=times, limit=st.integers(1, 3))
    def popSome(self, now: float, limit: int) -> None:
        """
        Some of those that are due are taken out, and those only.
        """
        due = self.deadlines.popDue(now, limit)
        assert len(due) <= limit
        self.check(due, now)

    @rule(now=times)
    def popAll(self, now: float) -> None:
        """
        All that are due are taken out, the earliest first.
        """
        order: list[float] = []
        while True:
            earliest = self.deadlines.next()
            if earliest is None or earliest > now:
                break
            due = self.deadlines.popDue(now, 3)
            order += [self.model[name] for name in due]
            self.check(due, now)
        assert order == sorted(order)
        assert not any(time <= now for time in self.model.values())

    def check(self, due: list[str], now: float) -> None:
        """
        What was taken out was due, and is watched no longer.
        """
        assert len(set(due)) == len(due)
        for name in due:
            assert self.model[name] <= now
            del self.model[name]

    @invariant()
    def nothingIsDueBefore(self) -> None:
        """
        Nothing is due before the moment that C{next} names, and where nothing is watched there
        is none.
        """
        earliest = self.deadlines.next()
        if self.model:
            assert earliest is not None
            assert all(earliest <= time for time in self.model.values())
        if not len(self.deadlines):
            assert earliest is None
        entriesOf(self.deadlines)

    def teardown(self) -> None:
        """
        Other tests have the usual limits.
        """
        self.narrow.undo()


TestDeadlinesMachine = DeadlinesMachine.TestCase
TestDeadlinesMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


class Lookups:
    """
    Counts how often deadlines look for a name.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._count = 0
        isValid = deadlines._isValid

        def counted(entry: Any) -> bool:
            self._count += 1
            return isValid(entry)

        deadlines._isValid = counted

    def count(self) -> int:
        """
        How many since the last time.
        """
        count, self._count = self._count, 0
        return count


def entriesOf(deadlines: Deadlines) -> list[tuple[float, str]]:
    """
    All that there is in their heaps; they know how many it is.
    """
    entries = [*deadlines._young]
    for deadline, name, _, run in deadlines._runs:
        entries += [(deadline, name), *((each[1], each[0]) for each in run.items())]
    assert len(entries) == deadlines._count
    return entries


def watch(model: dict[str, float]) -> Deadlines:
    """
    The deadlines of a model.
    """
    deadlines = Deadlines(model.get)
    for name, deadline in model.items():
        deadlines.add(name, deadline)
    return deadlines


def test_moment() -> None:
    """
    At its deadline a name is due; a moment before, it is not.
    """
    deadlines = watch({"a": 10.0})
    assert deadlines.popDue(9.999, 10) == []
    assert deadlines.popDue(10.0, 10) == ["a"]
    assert deadlines.popDue(10.0, 10) == []


def test_touched() -> None:
    """
    A name that was touched in time is not due at its old deadline, and is due at its new one.
    """
    model = {"a": 10.0}
    deadlines = watch(model)
    model["a"] = 15.0
    assert deadlines.popDue(14.999, 10) == []
    assert deadlines.next() == 15.0
    assert deadlines.popDue(15.0, 10) == ["a"]


@pytest.mark.parametrize("rounds", [10, 100])
def test_boundedMemory(rounds: int) -> None:
    """
    The entries of names that are gone, or whose deadline moves earlier and earlier, do not pile
    up.
    """
    deadlines = Deadlines(lambda name: None)
    for number in range(rounds * 100):
        deadlines.add(f"gone {number}", float(number))
        deadlines.add("earlier", -float(number))
        deadlines.discard(f"gone {number}")
    assert len(deadlines) == 1
    assert len(entriesOf(deadlines)) < 300


def test_sameAgain() -> None:
    """
    A name that goes and comes again with the same deadline, over and over, is not there more
    often all the time; nor does it come up twice.
    """
    deadlines = Deadlines(lambda name: 10.0)
    for number in range(20_000):
        deadlines.add("same", 10.0)
        deadlines.add(f"{number}", 20.0 + number)
        deadlines.discard("same")
        deadlines.discard(f"{number}")
    assert len(entriesOf(deadlines)) < 300
    deadlines.add("same", 10.0)
    assert deadlines.popDue(10.0, 300) == ["same"]


def test_sameAmongMany() -> None:
    """
    Nor is one that does so among many others.
    """
    deadlines = Deadlines(lambda name: 10.0)
    for number in range(2000):
        deadlines.add(f"{number}", 20.0 + number)
    for _ in range(5000):
        deadlines.add("same", 10.0)
        deadlines.discard("same")
    deadlines.add("same", 10.0)
    for number in range(2000):
        deadlines.discard(f"{number}")
    assert len(entriesOf(deadlines)) < 300


def test_anyOrder(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever goes, and in whichever order they came, what is left comes up in its order.
    """
    monkeypatch.setattr(module, "RUN", 5)
    random = Random(20261122)
    for _ in range(20):
        model = {f"{each}": random.random() for each in range(500)}
        deadlines = watch(model)
        for name in random.sample([*model], 450):
            del model[name]
            deadlines.discard(name)
        assert deadlines.popDue(1.0, 1000) == sorted(model, key=model.__getitem__)


def test_boundedTime() -> None:
    """
    No single step over many thousand names that are gone takes long: not their going, and not
    looking for the next one.
    """
    number = 60_000
    model = {f"{each:08}": float(each) for each in range(number)}
    deadlines = watch(model)
    lookups, steps = Lookups(deadlines), []
    for name in list(model)[: number - 10]:
        deadlines.discard(name)
        steps.append(lookups.count())
    # Now and then one makes a run, or begins to clear those that have come last, besides.
    assert sum(step > MOVED for step in steps) <= 2 * number / RUN
    assert max(steps) <= 2 * RUN + MOVED
    deadlines.next()
    assert lookups.count() <= MAXIMUM_STALE + 1
    assert len(entriesOf(deadlines)) < 300


def test_mostlyTouched() -> None:
    """
    However many names were touched, one look takes no more than its limit of them in hand.
    """
    model = {f"{each:08}": 10.0 for each in range(5_000)}
    deadlines = watch(model)
    looked = 0

    def deadlineOf(name: str) -> float:
        nonlocal looked
        looked += 1
        return 20.0

    deadlines._deadlineOf = deadlineOf
    assert deadlines.popDue(10.0, 250) == []
    assert looked == 250
    assert deadlines.next() == 10.0


def test_manyAtOnce() -> None:
    """
    A hundred thousand that are due at once come in batches, each of them once.
    """
    model = {f"{each:08}": 10.0 for each in range(100_000)}
    deadlines = watch(model)
    began, due = process_time(), []
    while batch := deadlines.popDue(10.0, 250):
        assert len(batch) <= 250
        due += batch
    assert sorted(due) == sorted(model)
    assert not deadlines and deadlines.next() is None
    assert process_time() - began < 10


def test_runsInStep() -> None:
    """
    Where all runs come to their ends at the same moment, and much of that is gone, one look
    moves no more than a few entries for each name that it may take out.
    """
    model = {f"{each:08}": float(each % RUN) for each in range(200_000)}
    deadlines = watch(model)
    for name in [name for name, deadline in model.items() if 940 <= deadline <= 960]:
        del model[name]
        deadlines.discard(name)
    due, moves = [], []
    while deadlines.next() is not None:
        before = deadlines._moved
        due += deadlines.popDue(1e9, 100)
        moves.append(deadlines._moved - before)
    assert sorted(due) == sorted(model)
    assert max(moves) <= MOVES * 100 + (MAXIMUM_STALE + 2) * MINIMUM < sum(moves)


def test_noNumber() -> None:
    """
    What is due at no moment that can be told is due at once, and keeps none of the others.
    """
    model = {"late": 1e6, "never": nan, "later": 2e6, "soon": 5.0}
    deadlines = watch(model)
    assert sorted(deadlines.popDue(5.0, 10)) == ["never", "soon"]
    assert deadlines.popDue(2e6, 10) == ["late", "later"]


def test_shortLists() -> None:
    """
    There is no long list that Python's collector of garbage would look at again and again.
    """
    deadlines = watch({f"{each:08}": float(each) for each in range(20_000)})
    for name in range(15_000):
        deadlines.discard(f"{name:08}")
    runs = [run for _, _, _, run in deadlines._runs]
    assert max(map(len, [deadlines._young, deadlines._runs, *runs])) <= RUN
    assert len(runs) > 3


@needsPlainDicts
def test_notCollected() -> None:
    """
    The collector does not look at runs at all.
    """
    deadlines = watch({f"{each:08}": float(each) for each in range(5_000)})
    runs = [run for _, _, _, run in deadlines._runs]
    assert len(runs) > 3 and not any(map(gc.is_tracked, runs))


def test_longLived() -> None:
    """
    Of those that come together most are gone soon, and some live for long: these do not stay
    behind in as many runs as there were.
    """
    number = 200_000
    model = {f"{each:08}": each + (1e9 if each % 100 == 0 else 0.0) for each in range(number)}
    deadlines = watch(model)
    while due := deadlines.popDue(1e6, 250):
        for name in due:
            del model[name]
    assert len(deadlines) == number / 100
    assert len(deadlines._runs) <= number / 100 / MINIMUM
    assert deadlines.popDue(1e10, number) == sorted(model)


def test_nobodyIsLeft() -> None:
    """
    When all are gone there is no next one, however many entries are left of them.
    """
    deadlines = watch({f"{each}": float(each) for each in range(MAXIMUM_STALE + 5)})
    for each in range(MAXIMUM_STALE + 5):
        deadlines.discard(f"{each}")
    assert len(entriesOf(deadlines)) > MAXIMUM_STALE
    assert deadlines.next() is None


def test_goneAreNotCounted() -> None:
    """
    Those that are gone do not count among those that are asked for.
    """
    deadlines = watch({f"{each}": float(each) for each in range(MAXIMUM_STALE)})
    for each in range(MAXIMUM_STALE - 1):
        deadlines.discard(f"{each}")
    assert deadlines.popDue(1e6, 1) == [f"{MAXIMUM_STALE - 1}"]


def test_later() -> None:
    """
    A deadline that has moved later makes no further entry.
    """
    model = {"a": 1.0}
    deadlines = watch(model)
    for each in range(50):
        model["a"] = float(each)
        deadlines.add("a", float(each))
    assert len(entriesOf(deadlines)) <= 2


def test_discardsItself() -> None:
    """
    A name may be discarded while it is asked for its deadline.
    """

    def deadlineOf(name: str) -> None:
        deadlines.discard(name)

    deadlines = Deadlines(deadlineOf)
    deadlines.add("a", 1.0)
    assert deadlines.popDue(1.0, 5) == [] and not len(deadlines)
