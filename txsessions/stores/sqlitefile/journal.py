"""
The journal of endings in the file, within one transaction.

There is one row for each ending and observer, with all that the row of the
session had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..journal import MAXIMUM, RETENTION, JournalEntry, eventIDOf
from .news import News
from .row import COLUMNS, ID, KEPT, Damaged, MustWrite, Row, damageOf, whole

if TYPE_CHECKING:
    from .rows import Rows

AT_ONCE: Final = 1000
"""
How many entries are dropped or released in one transaction at the most, for
one observer: more than are added in one, so that it never has too many for
long; and they hold up nobody else for more than some milliseconds.
"""

OBSERVERS: Final = "SELECT id, name, held FROM observer"
OBSERVER: Final = "SELECT id FROM observer WHERE name = ?"
ENROL: Final = "INSERT INTO observer (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
DISMISS: Final = "DELETE FROM observer WHERE id = ?"

WRITE: Final = f"""
    INSERT INTO journal (observer, eventID, reason, endedAt, {KEPT})
    SELECT observer.id, ?, ?, ?, {", ".join(f"session.{name}" for name in KEPT.split(", "))}
    FROM session CROSS JOIN observer WHERE session.id = ?
"""
COUNT: Final = "UPDATE observer SET held = held + 1"
DISCOUNT: Final = "UPDATE observer SET held = held - ? WHERE id = ?"

# SQLite sorts NULL before all numbers.
NEXT: Final = "SELECT leasedUntil FROM journal WHERE observer = ? ORDER BY leasedUntil LIMIT 1"
RELEASE: Final = """
    UPDATE journal SET leasedUntil = NULL WHERE id IN (
        SELECT id FROM journal WHERE observer = ? AND leasedUntil <= ? ORDER BY leasedUntil LIMIT ?
    )
"""
TAKE: Final = f"""
    SELECT {COLUMNS}, eventID, reason, endedAt, attempt
    FROM journal WHERE observer = ? AND leasedUntil IS NULL ORDER BY id LIMIT ?
"""
LEASE: Final = "UPDATE journal SET leasedUntil = ?, attempt = attempt + 1 WHERE id = ?"
ACKNOWLEDGE: Final = "DELETE FROM journal WHERE observer = ? AND eventID = ?"
FORGET: Final = """
    DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE observer = ? LIMIT ?)
"""
# What nobody has been given, before what somebody is being told of right now.
EXCESS: Final = """
    SELECT id, observer FROM journal WHERE observer = ? ORDER BY leasedUntil, id LIMIT ?
"""
OLD: Final = """
    SELECT id, observer FROM (SELECT id, observer, endedAt FROM journal ORDER BY id LIMIT ?)
    WHERE endedAt <= ?
"""
DROP: Final = "DELETE FROM journal WHERE id = ?"
PUT_ASIDE: Final = f"""
    INSERT INTO quarantine (detail, {KEPT}) SELECT ?, {KEPT} FROM journal WHERE id = ?
"""


class Journal:
    """
    The journal, in one transaction.

    @ivar _news: What there is to tell of the transaction.
    @ivar _mayWrite: Whether the transaction may write.
    @ivar _observers: The names of those that are enrolled, by number; C{None}
        until that matters.  Nobody else changes them while this transaction
        writes.
    """

    def __init__(self, connection: sqlite3.Connection, news: News, mayWrite: bool) -> None:
        self._connection: Final = connection
        self._news: Final = news
        self._mayWrite: Final = mayWrite
        self._observers: dict[int, str] | None = None

    def write(self, session: int, sid: str, reason: str, now: float) -> None:
        """
        Write the end of a session down, which is still in its row.
        """
        if self._enrolled(now):
            self._connection.execute(WRITE, (eventIDOf(sid, now), reason, now, session))
            self._connection.execute(COUNT)

    def enrol(self, name: str) -> None:
        """
        See L{ISessionJournal.enrol<txsessions.interfaces.ISessionJournal.enrol>}.
        """
        self._connection.execute(ENROL, (name,))
        self._observers = None

    def dismiss(self, name: str) -> int | None:
        """
        Write nothing down for an observer any more.

        @return: Whose entries are still to be forgotten, if there may be any.
        """
        observer = self._numberOf(name)
        if observer is not None:
            self._connection.execute(DISMISS, (observer,))
            self._observers = None
        return observer

    def take(self, name: str, limit: int, lease: float, now: float) -> list[JournalEntry]:
        """
        See L{ISessionJournal.takeEndings<txsessions.interfaces.ISessionJournal.takeEndings>}.

        @raise MustWrite: There are some, and the transaction only reads.
        """
        observer = self._numberOf(name)
        if observer is None or not self._isAvailable(observer, now):
            return []
        if not self._mayWrite:
            raise MustWrite()
        self._enrolled(now)
        self._connection.execute(RELEASE, (observer, now, max(limit, AT_ONCE)))
        while found := self._connection.execute(TAKE, (observer, limit)).fetchall():
            entries = [entry for row in found for entry in self._sound(row, observer)]
            if entries:
                leases = [(now + lease, row[ID]) for row in found]
                self._connection.executemany(LEASE, leases)
                return entries
        return []

    def acknowledge(self, name: str, eventIDs: Sequence[str]) -> None:
        """
        See L{ISessionJournal.acknowledge<txsessions.interfaces.ISessionJournal.acknowledge>}.
        """
        observer = self._numberOf(name)
        if observer is not None:
            pairs = [(observer, eventID) for eventID in eventIDs]
            done = self._connection.executemany(ACKNOWLEDGE, pairs).rowcount
            self._connection.execute(DISCOUNT, (max(done, 0), observer))

    def _numberOf(self, name: str) -> int | None:
        """
        The number of an observer that is enrolled.
        """
        found = self._connection.execute(OBSERVER, (name,)).fetchone()
        return None if found is None else found[0]

    def _isAvailable(self, observer: int, now: float) -> bool:
        """
        Whether there is anything that nobody holds for this observer.
        """
        found = self._connection.execute(NEXT, (observer,)).fetchone()
        return found is not None and (found[0] is None or found[0] <= now)

    def _enrolled(self, now: float) -> dict[int, str]:
        """
        The observers.  When they are first asked for in a transaction, some of
        what is too old or too much is dropped.
        """
        if self._observers is None:
            found = self._connection.execute(OBSERVERS).fetchall()
            self._observers = {number: str(name, "utf-8", "replace") for number, name, _ in found}
            # What is too old is the first of all; to see that there is none
            # costs the more the more are looked at.
            if found and self._drop(OLD, 1, now - RETENTION):
                self._drop(OLD, AT_ONCE, now - RETENTION)
            for number, _, held in found:
                if held > MAXIMUM:
                    self._drop(EXCESS, number, min(held - MAXIMUM, AT_ONCE))
        return self._observers

    def _drop(self, statement: str, *arguments: Any) -> bool:
        """
        Drop what a statement selects.

        @return: Whether it was anything.
        """
        found = self._connection.execute(statement, arguments).fetchall()
        self._connection.executemany(DROP, [(entry,) for entry, _ in found])
        for _, observer in found:
            self._connection.execute(DISCOUNT, (1, observer))
            name = (self._observers or {}).get(observer)
            if name is not None:
                self._news.dropped[name] = self._news.dropped.get(name, 0) + 1
        return bool(found)

    def _sound(self, row: Row, observer: int) -> list[JournalEntry]:
        """
        The entry in a row; none if it is damaged, and put aside now.
        """
        *columns, eventID, reason, endedAt, attempt = row
        try:
            record = whole(tuple(columns))
        except Damaged as e:
            self._connection.execute(PUT_ASIDE, (str(e), row[ID]))
            self._connection.execute(DROP, (row[ID],))
            self._connection.execute(DISCOUNT, (1, observer))
            self._news.putAside.append(damageOf(row, e))
            return []
        texts = (str(eventID, "utf-8", "replace"), str(reason, "utf-8", "replace"))
        return [JournalEntry(texts[0], record, texts[1], endedAt, attempt + 1)]


def forget(rows: Rows, observer: int) -> bool:
    """
    Forget some of what is there for an observer that was dismissed.

    @return: Whether there may be more.
    """
    return rows.connection.execute(FORGET, (observer, AT_ONCE)).rowcount == AT_ONCE
