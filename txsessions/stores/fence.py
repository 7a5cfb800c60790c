"""
The fence behind which log-ins come too late: when the sessions of each owner
were ended.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import Final

DURATION: Final = 3600.0
"""
How long it is remembered that the sessions of an owner were ended, in seconds:
no log-in takes as long from the password to the store.
"""

MAXIMUM: Final = 100_000
"""
Of how many owners that is remembered.  When there are more, the oldest is
forgotten, and a log-in of anybody that is older than that comes too late: it is
better to ask for the password once more than to let somebody in.
"""


class Fence:
    """
    When the sessions of owners were last ended, in the memory of one process.

    @ivar _moments: The moment for each owner, in seconds; the oldest first.
    @ivar _floor: What is older than that comes too late, whosever it is.
    """

    def __init__(self, maximum: int = MAXIMUM) -> None:
        """
        @param maximum: Of how many owners it is remembered.
        """
        self._maximum = maximum
        self._moments: OrderedDict[str, float] = OrderedDict()
        self._floor = -inf

    def put(self, sessionKey: str, now: float) -> None:
        """
        The sessions of that owner end now, in seconds.
        """
        moments = self._moments
        moments[sessionKey] = max(now, moments.pop(sessionKey, -inf))
        if len(moments) > self._maximum:
            self._floor = max(self._floor, moments.popitem(last=False)[1])
        # Two, so that there are fewer and fewer of those that are too old.
        for _ in range(2):
            oldest, moment = next(iter(moments.items()))
            if moment + DURATION > now:
                break
            del moments[oldest]
            if not moments:
                break

    def isTooLate(self, sessionKey: str, authenticatedAt: float | None) -> bool:
        """
        Whether a log-in of that owner is older than the end of all his
        sessions.

        @param authenticatedAt: When he logged in, in seconds; C{None} if that
            is not known: then it is not.
        """
        if authenticatedAt is None:
            return False
        return authenticatedAt < max(self._floor, self._moments.get(sessionKey, -inf))
