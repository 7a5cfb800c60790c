"""
What has ended since somebody looked last, in whichever process.
"""

from __future__ import annotations

from typing import Final

import attrs

from .rows import Rows

WINDOW: Final = 500
"""
How many endings are looked at in one transaction, and told in one turn of the
reactor.
"""

BEFORE: Final = 10_000
"""
How many endings at the most whoever begins to look may have been late for.
"""

# There is none before the first ending.
LAST: Final = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'ended'), 0)"
SINCE: Final = """
    SELECT min(id) FROM (SELECT id, endedAt FROM ended ORDER BY id DESC LIMIT ?)
    WHERE endedAt >= ?
"""
NEW: Final = "SELECT id, sid, reason FROM ended WHERE id > ? ORDER BY id LIMIT ?"


@attrs.frozen
class Look:
    """
    What a look has found.

    @ivar position: Up to which number all is known now.
    @ivar ended: What is new: its number, C{sid} and reason.
    @ivar isMissing: Whether something that was new has been forgotten already.
    @ivar isMore: Whether there is more to be seen.
    """

    position: int
    ended: list[tuple[int, str, str]] = attrs.field(repr=False)
    isMissing: bool
    isMore: bool


def look(rows: Rows, position: int | None, since: float) -> Look:
    """
    Look at what is new.

    @param position: Up to which number all is known; C{None}: nothing is.
    @param since: Then, what ended from that moment on is new.
    """
    (last,) = rows.connection.execute(LAST).fetchone()
    if position is None:
        (first,) = rows.connection.execute(SINCE, (BEFORE, since)).fetchone()
        position = last if first is None else first - 1
    if position == last:
        return Look(last, [], isMissing=False, isMore=False)
    found = rows.connection.execute(NEW, (position, WINDOW)).fetchall()
    ended = [(number, _text(sid), _text(reason)) for number, sid, reason in found]
    isMore = len(found) == WINDOW
    end = found[-1][0] if isMore else last
    # Numbers are given one after the other.
    isMissing = end - position != len(found)
    return Look(end, ended, isMissing, isMore)


def _text(value: object) -> str:
    """
    A text of the file, for whoever is told of it.
    """
    return str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)
