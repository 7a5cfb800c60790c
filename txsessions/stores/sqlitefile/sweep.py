"""
What ends many sessions in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from ...lifetime import IDLE, deadline, endReason
from ...record import Record
from ..claim import Claim, Ending
from ..remembrance import MAXIMUM, RETENTION
from .owners import forgetMarks
from .row import COLUMNS, DEADLINE, ID, Row
from .rows import Rows

WINDOW: Final = 100
"""
How many rows a claim looks at even if it is to give fewer: those that were
touched are looked at and not given.
"""

STRIDE: Final = 500
"""
How many rows are looked at in one transaction by what looks at all, and how
many ends more than it adds a claim may forget.
"""

DUE: Final = f"SELECT {COLUMNS} FROM session WHERE deadline <= ? ORDER BY deadline, id LIMIT ?"
# SQLite sorts texts and blobs after all numbers.
STRAY: Final = f"SELECT {COLUMNS} FROM session WHERE deadline >= '' LIMIT ?"
NEXT: Final = "SELECT deadline FROM session WHERE deadline < '' ORDER BY deadline LIMIT 1"
MEND: Final = "UPDATE session SET deadline = ? WHERE id = ?"
FORGET: Final = """
    DELETE FROM ended
    WHERE id IN (SELECT id FROM ended ORDER BY id LIMIT ?)
        AND (endedAt <= ? OR id <= (SELECT max(id) FROM ended) - ?)
"""
LAST: Final = "SELECT max(id) FROM (SELECT id FROM session WHERE id > ? ORDER BY id LIMIT ?)"
OLD: Final = f"SELECT {COLUMNS} FROM session WHERE id > ? AND id <= ? AND lastModified <= ?"


def claimExpired(rows: Rows, now: float, limit: int) -> Claim:
    """
    End records whose deadline has passed, longest overdue first.
    """
    execute = rows.connection.execute
    execute(FORGET, (2 * limit + STRIDE, now - RETENTION, MAXIMUM))
    forgetMarks(rows, now)
    for _ in rows.sound(execute(STRAY, (limit,)).fetchall()):
        pass
    endings = []
    for row, record in _overdue(rows, now, max(limit, WINDOW))[:limit]:
        reason = endReason(record, now) or IDLE
        rows.end(row, record, reason, now)
        endings.append(Ending(record, reason))
    following = execute(NEXT).fetchone()
    return Claim(endings, None if following is None else following[0])


def endOld(rows: Rows, after: int, moment: float, now: float) -> tuple[int, int | None]:
    """
    Look at the next rows, and end those whose session was last touched at that
    moment or before.

    @return: How many were ended, and after which row to go on: C{None} after
        the last.
    """
    (last,) = rows.connection.execute(LAST, (after, STRIDE)).fetchone()
    if last is None:
        return 0, None
    old = list(rows.sound(rows.connection.execute(OLD, (after, last, moment)).fetchall()))
    for row, record in old:
        rows.end(row, record, IDLE, now)
    return len(old), last


def _overdue(rows: Rows, now: float, limit: int) -> Sequence[tuple[Row, Record]]:
    """
    Rows whose deadline has passed, longest overdue first.

    The deadline of a row that was touched is earlier than its session's own.
    So what is given is only what is due before all that was not looked at; the
    deadline of each other row is mended.
    """
    window = rows.connection.execute(DUE, (now, limit)).fetchall()
    horizon = min(now, window[-1][DEADLINE] if len(window) == limit else inf)
    overdue = []
    for row, record in rows.sound(window):
        end = deadline(record)
        if end <= horizon:
            overdue.append((end, row[ID], row, record))
        else:
            rows.connection.execute(MEND, (end, row[ID]))
    return [(row, record) for _, _, row, record in sorted(overdue)]
