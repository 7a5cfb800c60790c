"""
What a sweep of a store brings in.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..record import Record


@attrs.frozen
class Ending:
    """
    One session that a sweep has ended, given to exactly one caller.

    @ivar record: Its last record.
    @ivar reason: L{txsessions.lifetime.IDLE} or
        L{txsessions.lifetime.ABSOLUTE}.
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
