"""
Ends that are still remembered, so that whoever comes late can be told why.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RETENTION: Final = 3600.0
"""
How long an end is remembered, in seconds: long enough to tell a user who comes
back from lunch.
"""

MAXIMUM: Final = 100_000
"""
How many ends are remembered at the most.  Nothing depends on them but the
answer to "why": a save never brings a record back.
"""


AT_ONCE: Final = 5_000
"""
How many ends are forgotten at a time; all of them would hold the reactor for
0.03 seconds.
"""


class Remembrance:
    """
    The ends of one process's memory, each with its reason, in the order in
    which they came.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._order: deque[tuple[float, str]] = deque()

    def reason(self, sid: str) -> str | None:
        """
        Why that session ended; C{None} if no end of it is remembered.
        """
        return self._reasons.get(sid)

    def remember(self, sid: str, reason: str, now: float) -> None:
        """
        Remember an end that comes now, in seconds.
        """
        self._reasons[sid] = reason
        self._order.append((now, sid))
        if len(self._order) > MAXIMUM:
            del self._reasons[self._order.popleft()[1]]

    def forget(self, now: float) -> None:
        """
        Forget the ends that have been remembered long enough, or some of them
        if they are many.
        """
        order = self._order
        for _ in range(AT_ONCE):
            if not order or order[0][0] + RETENTION > now:
                return
            del self._reasons[order.popleft()[1]]
