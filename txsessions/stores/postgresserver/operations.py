"""
What each operation of the store does, step by step.

Times of records and changes are on the store's clock; the server has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from ...errors import CorruptRecord, SessionEnded, SessionNotFound, VersionConflict
from ...record import Change, Record, apply
from ..claim import Claim
from ..remembrance import RETENTION
from ..servertime import ServerTime
from .kind import Row, readFloat, readInteger, readText
from .line import Steps
from .queries import Queries
from .row import Damaged, endingIn, fromRow, toRow, toSave, toUpdate
from .statement import ANY, LAST, Lookup, Unit

FORGOTTEN: Final = 1000
ROUNDS: Final = 10
"""
How many ends are forgotten in one transaction at the most, which takes some
milliseconds, and in how many.  A sweeper that has nothing to do comes twice in a
minute: three hundred log-outs in a second do not pile up.
"""

PAUSE: Final = 1.0
"""
When to look again for what is due but locked by somebody else, in seconds.
"""

COUNT: Final = 10
NOW: Final = 11
"""
What a row of a claim has after the columns of the record, and the reason.
"""


class Operations:
    """
    The operations on the tables of one schema.

    @ivar _report: Called with the C{sid} of a damaged record that was put
        aside without anybody being told.
    """

    def __init__(self, queries: Queries, time: ServerTime, report: Callable[[str], object]) -> None:
        self._queries = queries
        self._time = time
        self._report = report

    def load(self, sid: str, default: Any) -> Steps[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        look = Lookup(sid, self._queries.load, self._queries.loadMany)
        (rows,) = yield Unit(sid, [look])
        if rows:
            return (yield from self._record(sid, rows[0]))
        (reasons,) = yield Unit(sid, [self._queries.reason(sid)])
        if reasons:
            raise SessionEnded(sid, _text(reasons[0]))
        return default

    def create(self, record: Record) -> Steps[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        create = self._queries.create(*toRow(record, self._time))
        inserted, withdrawn = yield Unit(record.sid, [create, self._queries.withdraw(record.sid)])
        return bool(inserted) and not withdrawn

    def save(self, change: Change) -> Steps[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        save, values = self._queries.save, toUpdate(change, self._time)
        asked = save(*toSave(change, self._time)) if values is None else save.ask(values)
        (rows,) = yield Unit(change.sid, [asked])
        if rows:
            return _integer(rows[0])
        return (yield from self.explain(change))

    def explain(self, change: Change) -> Steps[NoReturn]:
        """
        Fail with why a change was not made.
        """
        record = yield from self.load(change.sid, None)
        if record is None:
            raise SessionNotFound(change.sid)
        apply(record, change)
        # It would be possible now, but something else came between.
        raise VersionConflict(change.sid)

    def delete(self, sid: str, reason: str) -> Steps[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        (rows,) = yield Unit(sid, [self._queries.delete(sid, reason)])
        if not rows:
            return None
        try:
            return fromRow(rows[0], self._time)
        except Damaged:
            raise _corrupt(sid) from None

    def has(self, sid: str) -> Steps[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        (rows,) = yield Unit(sid, [self._queries.has(sid)])
        return bool(rows)

    def claim(self, limit: int) -> Steps[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        claimed, earliest = yield Unit(LAST, [self._queries.claim(limit), self._queries.earliest()])
        endings = [e for row in claimed if row[0] for e in endingIn(row, self._time, self._report)]
        if earliest[0][0] is None:
            return Claim(endings, None)
        return Claim(endings, self._next(claimed[0], limit, _float(earliest[0])))

    def forget(self) -> Steps[None]:
        """
        Forget ends that have been remembered long enough.
        """
        for _ in range(ROUNDS):
            (rows,) = yield Unit(LAST, [self._queries.forget(RETENTION, FORGOTTEN)])
            if _integer(rows[0]) < FORGOTTEN:
                return

    def find(self, sessionKey: str) -> Steps[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        (rows,) = yield Unit(ANY, [self._queries.find(sessionKey)])
        return (yield from self._sound(rows))

    def page(self, after: str, limit: int) -> Steps[tuple[list[Record], str | None]]:
        """
        The live records whose C{sid} comes after this one, so many at the
        most; and the C{sid} after which there are more, or C{None}.
        """
        (rows,) = yield Unit(ANY, [self._queries.page(after, limit)])
        last = _text(rows[-1]) if len(rows) == limit else None
        return (yield from self._sound(rows)), last

    def ago(self, seconds: float) -> Steps[float]:
        """
        The moment that is so many seconds ago, on the server's clock.
        """
        (rows,) = yield Unit(ANY, [self._queries.present()])
        return _float(rows[0]) - seconds

    def deleteOld(self, moment: float, after: str, limit: int) -> Steps[tuple[int, str | None]]:
        """
        Of so many sessions whose C{sid} comes after this one, end those that
        nobody has touched since then, on the server's clock; how many that
        were, and the C{sid} after which there are more, or C{None}.
        """
        (rows,) = yield Unit(LAST, [self._queries.deleteOld(after, limit, moment)])
        ended, last, _ = rows[0]
        return _integer((ended,)), None if last is None else readText(last)

    def compareTimes(self) -> Steps[None]:
        """
        Find out how far the server's time is from the clock's.
        """
        before = self._time.now()
        (rows,) = yield Unit(ANY, [self._queries.present()])
        self._time.compare(before, _float(rows[0]), self._time.now())

    def _record(self, sid: str, row: Row) -> Steps[Record]:
        """
        The record in a row.

        It fails with L{CorruptRecord} when there is none, which has been put
        aside then.
        """
        try:
            return fromRow(row, self._time)
        except Damaged:
            yield Unit(sid, [self._queries.putAside(sid)])
            raise _corrupt(sid) from None

    def _sound(self, rows: Iterable[Row]) -> Steps[list[Record]]:
        """
        The records in rows, without those that are damaged and are put aside.
        """
        records = []
        for row in rows:
            try:
                records.append((yield from self._record(_text(row), row)))
            except CorruptRecord as e:
                self._report(e.sid)
        return records

    def _next(self, row: Row, limit: int, earliest: float) -> float:
        """
        The next deadline after a claim.  What is due and has not been claimed,
        although there was room for it, is locked by somebody else.
        """
        now = _float(row[NOW:])
        if _integer(row[COUNT:]) < limit and earliest <= now:
            earliest = now + PAUSE
        return self._time.fromServer(earliest)


def _text(row: Row) -> str:
    """
    The text in the first column.
    """
    assert row[0] is not None
    return readText(row[0])


def _integer(row: Row) -> int:
    """
    The integer in the first column.
    """
    assert row[0] is not None
    return readInteger(row[0])


def _float(row: Row) -> float:
    """
    The floating point number in the first column.
    """
    assert row[0] is not None
    return readFloat(row[0])


def _corrupt(sid: str) -> CorruptRecord:
    """
    The error for a damaged record that was put aside.
    """
    return CorruptRecord(sid, "it is in the table quarantine now")
