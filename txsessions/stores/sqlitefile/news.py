"""
What there is to tell of a transaction.
"""

from __future__ import annotations

import attrs

from ...errors import CorruptRecord


@attrs.define(eq=False)
class News:
    """
    What a transaction has done that somebody wants to hear of when it is on
    the disk.

    @ivar putAside: An error for each damaged row that was put aside.
    @ivar dropped: How many entries of the journal were dropped, by observer.
    @ivar ended: The sessions it has ended: where in the table ended they are,
        the C{sid} and the reason.
    """

    putAside: list[CorruptRecord] = attrs.field(factory=list)
    dropped: dict[str, int] = attrs.field(factory=dict)
    ended: list[tuple[int, str, str]] = attrs.field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.ended or self.putAside or self.dropped)
