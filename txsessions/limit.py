"""
How many sessions one owner may have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from .errors import TooManySessions
from .record import Record

EVICT_OLDEST: Final = "evict-oldest"
"""
End those sessions of the owner that logged in longest ago.
"""

REFUSE: Final = "refuse"
"""
Let nobody in until one of them has ended.
"""


def _isPositive(limit: object, attribute: object, maximum: int) -> None:
    """
    Refuse a limit that would let nobody in.
    """
    if type(maximum) is not int or maximum < 1:
        raise ValueError("maxSessionsPerKey is an int of 1 or more")


def _isKnown(limit: object, attribute: object, onExceed: str) -> None:
    """
    Refuse what nobody has defined.
    """
    if onExceed not in (EVICT_OLDEST, REFUSE):
        raise ValueError(f"onExceed is {EVICT_OLDEST!r} or {REFUSE!r}, not {onExceed!r}")


@attrs.frozen
class SessionLimit:
    """
    How many live sessions one owner may have, and what happens to one more.

    @ivar maximum: How many, an L{int} of 1 or more.
    @ivar onExceed: L{EVICT_OLDEST} or L{REFUSE}.
    """

    maximum: int = attrs.field(validator=_isPositive)
    onExceed: str = attrs.field(default=EVICT_OLDEST, validator=_isKnown)

    def evicted(self, others: Iterable[Record], sid: str) -> list[Record]:
        """
        Which sessions have to end for one more to log in.

        @param others: The live sessions of the owner; the one that logs in may
            be among them, and does not count.
        @param sid: The one that logs in.
        @return: Those that logged in longest ago; none if there is room.
        @raise TooManySessions: There is no room, and nobody makes any.
        """
        sessions = sorted((each for each in others if each.sid != sid), key=loggedInAt)
        excess = len(sessions) - self.maximum + 1
        if excess <= 0:
            return []
        if self.onExceed == REFUSE:
            raise TooManySessions(self.maximum)
        return sessions[:excess]


def loggedInAt(record: Record) -> tuple[float, float, str]:
    """
    By what the sessions of an owner are in the order in which they logged in.
    """
    moment = record.authenticatedAt
    return (record.created if moment is None else moment, record.created, record.sid)
