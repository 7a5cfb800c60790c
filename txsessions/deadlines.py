"""
Deadlines of many things in one heap.

A deadline that moves later (a touch) is not moved in the heap: it is looked up
when its old place comes up and put back then.  So a touch costs nothing, and
there is one timer for all and not one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from .sharded import ShardedDict

MAXIMUM_STALE: Final = 32
"""
How many entries that are no longer valid are taken off the top of the heap at
a time.
"""

MOVED: Final = 4
"""
How many entries move into a new heap at each operation, while the old one is
being cleared of what is no longer valid.  All of a large heap at once would
hold the reactor: a million take 0.15 seconds.
"""


SLACK: Final = 64
"""
How many more entries than two for each name there may be.
"""


class Deadlines:
    """
    Names in the order of their deadlines.

    The heap has entries that are no longer valid: their name is gone, or has an
    earlier entry.  When they become too many, the valid ones move into a new
    heap, a few at each operation.

    @ivar _deadlineOf: Called with a name; gives its deadline now in seconds,
        or C{None} when the name is gone.
    @ivar _heap: Pairs of a deadline and a name; never later than the name's
        deadline is now.
    @ivar _old: The heap whose entries are moving into C{_heap}.
    @ivar _known: For each name the deadline of its valid entry in a heap.
    """

    def __init__(self, deadlineOf: Callable[[str], float | None]) -> None:
        self._deadlineOf = deadlineOf
        self._heap: list[tuple[float, str]] = []
        self._old: list[tuple[float, str]] = []
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
        heap = self._cleared()
        return heap[0][0] if heap and self._known else None

    def popDue(self, now: float, limit: int) -> list[str]:
        """
        Take out at most so many names whose deadline is C{now} or earlier, the
        earliest first.  At most C{limit} entries are looked at, so that the
        time it takes is bounded: an empty list does not say that nothing is
        due; L{next} does.
        """
        due: list[str] = []
        for _ in range(limit):
            heap = self._cleared()
            if not heap or heap[0][0] > now:
                break
            earliest, name = heappop(heap)
            if self._known.get(name) != earliest:
                continue
            try:
                deadline = self._deadlineOf(name)
            except BaseException:
                del self._known[name]
                raise
            if deadline is not None and deadline > earliest:
                # Its place is taken over: to take it out and put it in again makes a
                # full dict of a million anew.
                self._place(name, deadline)
                continue
            del self._known[name]
            if deadline is not None:
                due.append(name)
        return due

    def _place(self, name: str, deadline: float) -> None:
        """
        Let this be the valid entry of a name.
        """
        self._known[name] = deadline
        heappush(self._heap, (deadline, name))
        self._tidy()

    def _cleared(self) -> list[tuple[float, str]]:
        """
        The heap with the earliest entry of all, when some that are no longer valid
        have been taken off.
        """
        heap = self._first()
        for _ in range(MAXIMUM_STALE):
            if not heap or self._known.get(heap[0][1]) == heap[0][0]:
                break
            heappop(heap)
            heap = self._first()
        return heap

    def _first(self) -> list[tuple[float, str]]:
        """
        The heap with the earliest entry of all.
        """
        heap, old = self._heap, self._old
        if not old:
            return heap
        return old if not heap or old[0] < heap[0] else heap

    def _tidy(self) -> None:
        """
        Move on with clearing the heap, or begin to, if that is needed.
        """
        old = self._old
        if not old:
            if len(self._heap) <= 2 * len(self._known) + SLACK:
                return
            # These are the two lists that were there in the beginning: a new one would grow
            # while Python's collector of garbage looks at it again and again.
            self._old, self._heap = self._heap, old
            old = self._old
        for _ in range(min(MOVED, len(old))):
            # The last entry of a heap is a leaf: what is left is still a heap.
            deadline, name = old.pop()
            if self._known.get(name) == deadline:
                heappush(self._heap, (deadline, name))
