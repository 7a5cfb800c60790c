"""
Deadlines of many things in one heap.

A deadline that moves later (a touch) is not moved in the heap: it is looked up
when its old place comes up and put back then.  So a touch costs nothing, and
there is one timer for all and not one for each.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Deadlines:
    """
    Names in the order of their deadlines.

    @ivar _deadlineOf: Called with a name; gives its deadline now in seconds,
        or C{None} when the name is gone.
    @ivar _heap: Pairs of a deadline and a name; never later than the name's
        deadline is now.
    @ivar _known: For each name the deadline of its valid entry in the heap.
    """

    def __init__(self, deadlineOf: Callable[[str], float | None]) -> None:
        self._deadlineOf = deadlineOf
        self._heap: list[tuple[float, str]] = []
        self._known: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, name: str, deadline: float) -> None:
        """
        Watch a name, or note that its deadline has moved.  One that has moved
        later may as well not be told.
        """
        known = self._known.get(name)
        if known is None or deadline < known:
            self._known[name] = deadline
            heappush(self._heap, (deadline, name))

    def discard(self, name: str) -> None:
        """
        Watch the name no longer.
        """
        if self._known.pop(name, None) is not None and len(self._heap) > 2 * len(self._known) + 64:
            self._heap = [(deadline, name) for name, deadline in self._known.items()]
            heapify(self._heap)

    def next(self) -> float | None:
        """
        A moment before which nothing is due: the earliest deadline, or an
        earlier one that has been moved since.  C{None} when nothing is
        watched.
        """
        heap = self._heap
        while heap and self._known.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def popDue(self, now: float, limit: int) -> list[str]:
        """
        Take out at most so many names whose deadline is C{now} or earlier, the
        earliest first.  At most C{limit} entries are looked at, so that the
        time it takes is bounded: an empty list does not say that nothing is
        due; L{next} does.
        """
        due: list[str] = []
        for _ in range(limit):
            earliest = self.next()
            if earliest is None or earliest > now:
                break
            name = heappop(self._heap)[1]
            del self._known[name]
            deadline = self._deadlineOf(name)
            if deadline is None:
                continue
            if deadline > earliest:
                self.add(name, deadline)
            else:
                due.append(name)
        return due
