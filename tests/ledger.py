"""
What a session must hold, as its visitors know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Ledger:
    """
    Notes what was begun and what was acknowledged in one session, and compares
    that with what the session has.

    A write that was begun and not acknowledged may or may not be there.

    @ivar name: What the session is called in its own data.
    @ivar cookie: What opens it.
    @ivar compared: How many acknowledged writes were looked for so far.
    @ivar _possible: For each key, the numbers that it may have.
    @ivar _low: How high the total is at the least.
    @ivar _high: How high the total is at the most.
    @ivar _totals: The totals that increments were answered with.
    @ivar _new: The writes that were acknowledged and not looked for yet: keys,
        and the totals of increments.
    """

    def __init__(self, name: str, cookie: str) -> None:
        self.name = name
        self.cookie = cookie
        self.compared = 0
        self._possible: dict[str, set[int | None]] = {}
        self._low = self._high = 0
        self._new: set[str | int] = set()

    def beginPut(self, key: str, number: int) -> None:
        """
        A key is being set.
        """
        self._possible.setdefault(key, {None}).add(number)

    def acknowledgePut(self, key: str, number: int) -> None:
        """
        A key has been set.
        """
        self._possible[key] = {number}
        self._new.add(key)

    def beginAdd(self) -> None:
        """
        The total is being incremented.
        """
        self._high += 1

    def acknowledgeAdd(self, total: int) -> Iterator[str]:
        """
        The total has been incremented.

        @return: What is wrong.
        """
        self._low += 1
        if total in self._new:
            yield f"{self.name}: two increments were both told that they made {total}"
        self._new.add(total)

    def compare(self, data: dict[str, Any]) -> Iterator[str]:
        """
        Look for what was acknowledged.  Nobody may be writing.

        @param data: What the session has.
        @return: What is wrong.
        """
        if data.get("name") != self.name:
            yield f"{self.name}: it is {data.get('name')!r} now"
        for key, possible in self._possible.items():
            found = data.get(key)
            if found not in possible:
                yield f"{self.name}: {key} is {found}, and should be {_either(possible)}"
            # What was seen once has to stay.
            possible.clear()
            possible.add(found)
        total = data.get("total", 0)
        if not self._low <= total <= self._high:
            yield f"{self.name}: the total is {total}, and should be {self._low} to {self._high}"
        self._low = self._high = total
        self.compared += len(self._new)
        self._new.clear()


def _either(possible: set[int | None]) -> str:
    """
    Some numbers in words.
    """
    return " or ".join(map(str, sorted(possible, key=lambda number: number or 0)))
