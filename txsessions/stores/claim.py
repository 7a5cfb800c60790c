"""
What it brings in to end sessions: by a sweep, at a log-in.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..record import Record


@attrs.frozen
class Ending:
    """
    One session that has been ended, given to exactly one caller.

    @ivar record: Its last record.
    @ivar reason: One of the constants of L{txsessions.lifetime}.
    """

    record: Record
    reason: str


@attrs.frozen
class Claim:
    """
    What one call of C{claimExpired} has ended.

    @ivar endings: The sessions it ended, longest overdue first.
    @ivar nextDeadline: The earliest deadline among the records that are left,
        in seconds on the store's clock, as far as the store knows; C{None}
        when there is none.  When it has passed already there is more to claim.
    """

    endings: Sequence[Ending]
    nextDeadline: float | None


@attrs.frozen
class LogIn:
    """
    What one call of C{logInSession} has done.

    @ivar version: The version of the record after the change.
    @ivar evicted: The sessions that had to make room.
    """

    version: int
    evicted: Sequence[Ending] = ()
