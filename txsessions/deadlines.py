"""
Deadlines of many things, in their order.

A deadline that moves later (a touch) is not moved here: it is looked up when its
old place comes up and put back then.  So a touch costs nothing, and there is one
timer for all and not one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from math import inf, isnan
from typing import Any, Final

from .sharded import ShardedDict

MAXIMUM_STALE: Final = 32
"""
How many entries that are no longer valid are taken off the front at a time.
"""

RUN: Final = 1000
"""
How many entries a run has at the most: so many are sorted in a fifth of a millisecond.
"""

MINIMUM: Final = 50
"""
With how few entries left a run is given up.  What lives long would be alone in a run
of its own, otherwise, with all of those gone that came when it did.
"""

MOVED: Final = 8
"""
How many entries of runs are looked at in each operation, while they are being cleared
of what is no longer valid.  All of a million at once would hold the reactor.
"""

MOVES: Final = 4
"""
How many entries may be moved in one operation for each name that it may take out,
besides those of one run that is given up.
"""

SLACK: Final = 64
"""
How many more entries than two for each name there may be.
"""


Run = dict[str, float]
"""
Names with their deadlines, the earliest at the end.
"""


class Deadlines:
    """
    Names in the order of their deadlines.

    What comes goes into a small heap.  When that is full, its entries become a run:
    they are sorted once, with the earliest at the end.  A second heap has the earliest
    of each run.  So no heap is large: in one of a million each entry moves twenty times
    before it comes up, and each time far in the memory.  The last of a run go back to
    where they came from.

    A run is a dict, since Python's collector of garbage does not look at one of names and
    numbers, whereas a look at a list of a million pairs takes 60 milliseconds.

    There are entries that are no longer valid: their name is gone, or has an earlier
    entry.  When they become too many, the valid ones of all runs go back to where they
    came from, a few at each operation, and the others are dropped.

    @ivar _deadlineOf: Called with a name; gives its deadline now in seconds,
        or C{None} when the name is gone; must not raise.
    @ivar _young: A heap of pairs of a deadline and a name; none is later than the
        name's deadline is now.
    @ivar _runs: A heap of the earliest such pair of each run, with what else is in
        the run.
    @ivar _clearing: What is in those runs that are being cleared.
    @ivar _count: How many entries there are.
    @ivar _moved: How many have been moved back from runs since there are any.
    @ivar _known: For each name the deadline of its valid entry.
    """

    def __init__(self, deadlineOf: Callable[[str], float | None]) -> None:
        self._deadlineOf = deadlineOf
        self._young: list[tuple[float, str]] = []
        self._runs: list[tuple[float, str, int, Run]] = []
        self._clearing: list[Run] = []
        self._count = self._moved = 0
        self._known: ShardedDict[float] = ShardedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, name: str, deadline: float) -> None:
        """
        Watch a name, or note that its deadline has moved.  One that has moved
        later may as well not be told.
        """
        known = self._known.get(name)
        if known is None or deadline < known:
            self._place(name, deadline)

    def discard(self, name: str) -> None:
        """
        Watch the name no longer.
        """
        if self._known.pop(name, None) is not None:
            self._tidy()

    def next(self) -> float | None:
        """
        A moment before which nothing is due: the earliest deadline, or an
        earlier one of a name that has been moved or is gone.  C{None} when
        nothing is watched.
        """
        first = self._cleared()
        return first[0] if first is not None and self._known else None

    def popDue(self, now: float, limit: int) -> list[str]:
        """
        Take out at most so many names whose deadline is C{now} or earlier, the
        earliest first.  For at most C{limit} names it is asked when they are due
        now, and no more entries are moved than a few for each, so that the time it
        takes is bounded: an empty list does not say that nothing is due; L{next} does.
        """
        due: list[str] = []
        enough = self._moved + MINIMUM + MOVES * limit
        for _ in range(limit):
            first = self._cleared()
            if first is None or first[0] > now or self._moved > enough:
                break
            self._drop(first)
            if not self._isValid(first):
                continue
            earliest, name = first[0], first[1]
            deadline = self._deadlineOf(name)
            if deadline is not None and deadline > earliest:
                self._place(name, deadline)
                continue
            self._known.pop(name, None)
            if deadline is not None:
                due.append(name)
        return due

    def _place(self, name: str, deadline: float) -> None:
        """
        Let this be the valid entry of a name.  One that is no number is over, as it is
        for L{lifetime.isInTime}; it has no place among others.
        """
        if isnan(deadline):
            deadline = -inf
        self._known[name] = deadline
        self._push((deadline, name))
        self._tidy()

    def _push(self, entry: tuple[float, str]) -> None:
        """
        Put in an entry.
        """
        young = self._young
        heappush(young, entry)
        self._count += 1
        if len(young) >= RUN:
            run = {each[1]: each[0] for each in sorted(young, reverse=True) if self._isValid(each)}
            self._count += len(run) - len(young)
            young.clear()
            if run:
                heappush(self._runs, _withoutFirst(run))

    def _cleared(self) -> Any:
        """
        The earliest entry of all, when some that are no longer valid have been
        taken off; C{None} if there is none.
        """
        first = self._first()
        for _ in range(MAXIMUM_STALE):
            if first is None or self._isValid(first):
                break
            self._drop(first)
            first = self._first()
        return first

    def _first(self) -> Any:
        """
        The earliest entry of all, as it is in its heap; C{None} if there is none.
        """
        young, runs = self._young, self._runs
        if not runs:
            return young[0] if young else None
        return young[0] if young and young[0] < runs[0] else runs[0]

    def _drop(self, first: Any) -> None:
        """
        Take off the earliest entry of all.
        """
        self._count -= 1
        if self._young and first is self._young[0]:
            heappop(self._young)
        elif len(run := first[3]) > MINIMUM:
            heapreplace(self._runs, _withoutFirst(run))
        else:
            heappop(self._runs)
            while run:
                self._move(*run.popitem())

    def _isValid(self, entry: Any) -> bool:
        """
        Whether the deadline of an entry is the one that is known of its name.
        """
        known: float | None = self._known.get(entry[1])
        return known == entry[0]

    def _tidy(self) -> None:
        """
        Go on with dropping what is no longer valid, or begin to, if there is too much
        of it.
        """
        if not self._clearing:
            if self._count <= 2 * len(self._known) + SLACK:
                return
            self._clearYoung()
            self._clearing = [run for _, _, _, run in self._runs]
        for _ in range(MOVED):
            while self._clearing and not self._clearing[-1]:
                self._clearing.pop()
            if not self._clearing:
                self._clearRuns()
                return
            self._move(*self._clearing[-1].popitem())

    def _move(self, name: str, deadline: float) -> None:
        """
        Put an entry of a run back to where it came from, if it is valid.
        """
        self._count -= 1
        self._moved += 1
        if self._isValid((deadline, name)):
            self._push((deadline, name))

    def _clearYoung(self) -> None:
        """
        Drop what is no longer valid in the small heap.
        """
        # One that went and came again may be there twice.
        valid = {entry for entry in self._young if self._isValid(entry)}
        self._count += len(valid) - len(self._young)
        self._young[:] = valid
        heapify(self._young)

    def _clearRuns(self) -> None:
        """
        Let there be no run any more in which nothing is left but its first entry.
        """
        firsts = [first for first in self._runs if not first[3]]
        self._runs[:] = [first for first in self._runs if first[3]]
        heapify(self._runs)
        for deadline, name, _, _ in firsts:
            self._move(name, deadline)


def _withoutFirst(run: Run) -> tuple[float, str, int, Run]:
    """
    A run as it is in the heap of them: its earliest entry, taken out of it, and the others.

    The number between the two differs for each run: a name may be in several with the
    same deadline, and dicts cannot be compared.
    """
    name, deadline = run.popitem()
    return deadline, name, id(run), run
