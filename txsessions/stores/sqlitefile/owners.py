"""
What lets owners in and puts them out, within one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...errors import SessionEnded
from ...lifetime import EVICTED, REVOKED
from ...record import Change, Record, apply
from ..claim import Ending, LogIn
from ..remembrance import RETENTION
from .row import COLUMNS, Row
from .rows import BY_KEY, Rows, noText

if TYPE_CHECKING:
    from ...limit import SessionLimit

STRIDE: Final = 500
"""
How many sessions of an owner are ended in one transaction, and how many marks
are forgotten in one.
"""

MARK: Final = """
    INSERT INTO mark (sessionKey, moment) VALUES (?, ?)
    ON CONFLICT (sessionKey) DO UPDATE SET moment = max(moment, excluded.moment)
"""
MOMENT: Final = "SELECT moment FROM mark WHERE sessionKey = ?"
FORGET: Final = """
    DELETE FROM mark WHERE id IN (SELECT id FROM mark WHERE moment <= ? ORDER BY moment LIMIT ?)
"""
# All of it is in an index.
OWNED: Final = "SELECT id, created FROM session WHERE sessionKey = ? ORDER BY created, id"
# An id is given again when the last row has gone.
ONE: Final = f"SELECT {COLUMNS} FROM session WHERE id = ? AND created = ?"


def logIn(rows: Rows, change: Change, limit: SessionLimit | None, now: float) -> LogIn:
    """
    Apply a change that gives a session an owner, and make room for it.

    @raise SessionEnded: It has, or it was ended now because the log-in is too
        late.
    """
    entry = rows.live(change.sid)
    after = apply(entry.record, change)
    try:
        moment = rows.connection.execute(MOMENT, (change.sessionKey,)).fetchone()
    except UnicodeEncodeError:
        raise noText(change.sid) from None
    authenticated = change.authenticatedAt
    if moment is not None and authenticated is not None and authenticated < moment[0]:
        rows.end(entry.row, entry.record, REVOKED, now)
        raise SessionEnded(change.sid, REVOKED)
    leaving = _leaving(rows, after, limit)
    # This comes first: it is what may refuse the change.
    rows.rewrite(entry, after)
    for each, other in leaving:
        rows.end(each, other, EVICTED, now)
    return LogIn(after.version, [Ending(other, EVICTED) for _, other in leaving])


def endOwned(
    rows: Rows, sessionKey: str, reason: str, exceptFor: str | None, now: float
) -> tuple[list[Ending], list[tuple[int, float]]]:
    """
    Mark the moment, after which nobody comes in who was let in before, and end
    some of the sessions of an owner.

    @return: What was ended, and where those are that have to follow.
    """
    try:
        rows.connection.execute(MARK, (sessionKey, now))
    except UnicodeEncodeError:
        return [], []
    owned = rows.connection.execute(OWNED, (sessionKey,)).fetchall()
    return endSome(rows, owned[:STRIDE], reason, exceptFor, now), owned[STRIDE:]


def endSome(
    rows: Rows,
    places: Iterable[tuple[int, float]],
    reason: str,
    exceptFor: str | None,
    now: float,
) -> list[Ending]:
    """
    End the sessions that are in these places, as far as they are still there.
    """
    endings = []
    found = (rows.connection.execute(ONE, place).fetchone() for place in places)
    for row, record in rows.sound([row for row in found if row is not None]):
        if record.sid != exceptFor:
            rows.end(row, record, reason, now)
            endings.append(Ending(record, reason))
    return endings


def forgetMarks(rows: Rows, now: float) -> None:
    """
    Forget the moments that are long past.
    """
    rows.connection.execute(FORGET, (now - RETENTION, STRIDE))


def _leaving(rows: Rows, after: Record, limit: SessionLimit | None) -> list[tuple[Row, Record]]:
    """
    The sessions that have to make room for one that logs in.

    @raise TooManySessions: Nobody makes any.
    """
    if limit is None:
        return []
    found = rows.connection.execute(BY_KEY, (after.sessionKey,)).fetchall()
    others = {record.sid: (row, record) for row, record in rows.sound(found)}
    evicted = limit.evicted([record for _, record in others.values()], after.sid)
    return [others[record.sid] for record in evicted]
