"""
What a connection knows of the rows of sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import msgspec

from ...record import Record
from .row import ATTRIBUTES, Row

BUDGET: Final = 32 * 1024 * 1024
"""
About how many bytes this may take: as many as the pages that SQLite keeps itself.
"""

COST: Final = 1500
COPIES: Final = 3
"""
About how many bytes an entry takes beside the text of its attributes, and how often
that is there: in the row, decoded, and in the record.
"""


@attrs.define(eq=False)
class Entry:
    """
    What is known of one session.

    @ivar row: Its row.
    @ivar record: Its record.
    @ivar texts: The attributes as they stand in the row.
    """

    row: Row = attrs.field(repr=False)
    record: Record
    texts: Mapping[str, msgspec.Raw] = attrs.field(repr=False)


class Known:
    """
    The rows that one connection has read or written, as long as no other connection has
    written anything.  For one thread, and within transactions.

    A request loads a session and soon saves it: what it loaded need be neither read nor
    decoded again.

    @ivar _entries: By the handles of their sessions, the oldest first.
    @ivar _size: About how many bytes they take.
    @ivar _epoch: The epoch in which that is known.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._size = 0
        self._epoch: int | None = None

    def begin(self, epoch: int | None) -> None:
        """
        A transaction has begun: forget everything if another connection has written.

        @param epoch: See L{Epochs.last}.
        """
        if epoch is None or epoch != self._epoch:
            self.clear()
            self._epoch = epoch

    def get(self, sid: str) -> Entry | None:
        """
        What is known of a session; C{None} if nothing is.
        """
        return self._entries.get(sid)

    def put(self, entry: Entry) -> None:
        """
        Know a session.
        """
        self.drop(entry.record.sid)
        self._entries[entry.record.sid] = entry
        self._size += _sizeOf(entry)
        while self._size > BUDGET:
            self.drop(next(iter(self._entries)))

    def drop(self, sid: str) -> None:
        """
        Know nothing of a session any more.
        """
        entry = self._entries.pop(sid, None)
        if entry is not None:
            self._size -= _sizeOf(entry)

    def clear(self) -> None:
        """
        Know nothing any more.
        """
        self._entries.clear()
        self._size = 0


def _sizeOf(entry: Entry) -> int:
    """
    About how many bytes an entry takes.
    """
    return COST + COPIES * len(entry.row[ATTRIBUTES])
