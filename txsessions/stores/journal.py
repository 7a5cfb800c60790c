"""
The journal: endings that somebody still has to be told of.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..record import Record

MAXIMUM: Final = 1_000_000
"""
How many endings a journal holds for one observer at the most: a million that
expire at once are told of; and an observer that never comes back does not fill
the store for ever.  What is more than that is dropped, the oldest first, and
the store logs how many.
"""

RETENTION: Final = 7 * 86400.0
"""
How long an ending is held for an observer at the most, in seconds: as long as a
service may be down over a holiday.
"""

MAXIMUM_NAME: Final = 200
"""
How long the name of an observer is at the most, in characters.
"""


@attrs.frozen
class JournalEntry:
    """
    An ending that one observer has not acknowledged yet.

    @ivar eventID: Tells this ending from all others, to every observer in the
        same way: a L{str} that is safe to log.
    @ivar record: The last record of the session.
    @ivar reason: Why it ended, one of the constants of L{txsessions.lifetime}.
    @ivar endedAt: When it ended, in seconds on the store's clock.
    @ivar attempt: How often it has been given to this observer, from 1.
    """

    eventID: str
    record: Record
    reason: str
    endedAt: float
    attempt: int = 1


def eventIDOf(sid: str, endedAt: float) -> str:
    """
    The C{eventID} of an ending.  An id of a caller's own may have several lives
    with one C{sid}, so the time is part of it.

    @param endedAt: In seconds, on the clock by which the store keeps it.
    """
    return f"{sid}-{round(endedAt * 1_000_000):x}"


def checkObserver(name: object) -> str:
    """
    Refuse what is no name of an observer.

    @raise ValueError: It is none; the text says why.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAXIMUM_NAME or not name.isprintable():
        raise ValueError(
            f"the name of a durable observer is a printable str of 1 to {MAXIMUM_NAME} characters"
        )
    return name
