"""
What a store does with the rows of sessions, within one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ...errors import CorruptRecord, InvalidSessionData, SessionEnded, SessionNotFound
from ...lifetime import deadline
from ...record import Change, Record, apply
from .journal import Journal
from .known import Entry, Known
from .news import News
from .pending import Pending
from .row import (
    ATTRIBUTES,
    COLUMNS,
    DEADLINE,
    ID,
    KEPT,
    Damaged,
    MustWrite,
    Row,
    attributesText,
    damageOf,
    recordOf,
    textsOf,
    whole,
)

BY_SID: Final = f"SELECT {COLUMNS} FROM session WHERE sid = ?"
BY_KEY: Final = f"SELECT {COLUMNS} FROM session WHERE sessionKey = ? ORDER BY created, id"
PAGE: Final = f"SELECT {COLUMNS} FROM session WHERE id > ? ORDER BY id LIMIT ?"
REASON: Final = "SELECT reason FROM ended WHERE sid = ?"

INSERT: Final = f"""
    INSERT INTO session ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)
    ON CONFLICT (sid) DO NOTHING
"""
FACTS: Final = """
    UPDATE session SET verifier = ?, sessionTimeout = ?, absoluteTimeout = ?, sessionKey = ?,
        deadline = ?
    WHERE id = ?
"""
DELETE: Final = "DELETE FROM session WHERE id = ?"
REMEMBER: Final = "INSERT OR REPLACE INTO ended (sid, reason, endedAt) VALUES (?, ?, ?)"
PUT_ASIDE: Final = f"""
    INSERT INTO quarantine (detail, {KEPT}) SELECT ?, {KEPT} FROM session WHERE id = ?
"""


class Rows:
    """
    The rows of sessions, in one transaction.

    What fails with a L{SessionError<txsessions.errors.SessionError>} has
    changed nothing else than to put a damaged row aside, or to end a session
    that logs in too late; after any other error the transaction has to be
    undone.

    @ivar mayWrite: Whether the transaction may write.
    @ivar _known: What is known of them, as they are in this transaction.
    @ivar _connection: The connection that is in the transaction.
    @ivar _cursor: One cursor of it: a new one for each statement would cost as much as
        a small statement.
    @ivar _pending: What is to be written before anything else is executed.
    @ivar news: What there is to tell when the transaction is on the disk.
    @ivar _journal: The journal, in the same transaction.
    """

    def __init__(self, connection: sqlite3.Connection, mayWrite: bool, known: Known) -> None:
        self._connection: Final = connection
        self.mayWrite: Final = mayWrite
        self._known: Final = known
        self._cursor: Final = connection.cursor()
        self._pending: Final = Pending(connection)
        self.news: Final = News()
        self._journal: Final = Journal(connection, self.news, mayWrite)

    @property
    def connection(self) -> sqlite3.Connection:
        """
        The connection that is in the transaction, with all that was changed so far.
        """
        self._pending.write()
        return self._connection

    @property
    def journal(self) -> Journal:
        """
        The journal, in the same transaction, with all that was changed so far.
        """
        self._pending.write()
        return self._journal

    def ready(self) -> None:
        """
        Nothing; that there is a transaction is all.
        """

    def load(self, sid: str, default: Any) -> Any:
        """
        The record, or the default.

        @raise SessionEnded: It has ended.
        """
        entry = self._entry(sid)
        if entry is not None:
            return entry.record
        reason = self._reason(sid)
        if reason is None:
            return default
        raise SessionEnded(sid, reason)

    def has(self, sid: str) -> bool:
        """
        Whether there is a record.
        """
        return self._entry(sid) is not None

    def find(self, sessionKey: str) -> list[Record]:
        """
        The records of an owner, oldest first.
        """
        try:
            found = self.connection.execute(BY_KEY, (sessionKey,)).fetchall()
        except UnicodeEncodeError:
            return []
        return [record for _, record in self.sound(found)]

    def page(self, after: int, limit: int) -> tuple[list[Record], int | None]:
        """
        The next records, and after which row to go on: C{None} after the last.
        """
        found = self.connection.execute(PAGE, (after, limit)).fetchall()
        records = [record for _, record in self.sound(found)]
        return records, found[-1][ID] if found else None

    def create(self, record: Record) -> bool:
        """
        Insert a record if its handle is free.
        """
        sid = record.sid
        if self._reason(sid) is not None:
            return False
        text, _ = attributesText(record.attributes)
        try:
            inserted = self._execute(
                INSERT,
                (
                    sid,
                    record.verifier,
                    record.created,
                    record.lastModified,
                    record.sessionTimeout,
                    record.absoluteTimeout,
                    record.sessionKey,
                    record.version,
                    text,
                    deadline(record),
                ),
            )
        except UnicodeEncodeError:
            raise noText(sid) from None
        return inserted.rowcount == 1

    def save(self, change: Change) -> int:
        """
        Apply a change, and give the version after it.
        """
        entry = self.live(change.sid)
        record = entry.record
        after = apply(record, change)
        if after.version != record.version:
            self.rewrite(entry, after)
        elif after.lastModified != record.lastModified:
            self._pending.touch(entry.row[ID], after.lastModified)
            self._known.put(Entry(entry.row, after, entry.texts))
        return after.version

    def delete(self, sid: str, reason: str, now: float) -> Record | None:
        """
        End a session, and give its last record.
        """
        entry = self._entry(sid)
        if entry is None:
            return None
        self.end(entry.row, entry.record, reason, now)
        return entry.record

    def end(self, row: Row, record: Record, reason: str, now: float) -> None:
        """
        Take a row out, remember the end of its session, and write it down for
        whoever has to be told.
        """
        self.journal.write(row[ID], record.sid, reason, now)
        remembered = self.connection.execute(REMEMBER, (record.sid, reason, now))
        self.connection.execute(DELETE, (row[ID],))
        self._known.drop(record.sid)
        self.news.ended.append((remembered.lastrowid or 0, record.sid, reason))

    def live(self, sid: str) -> Entry:
        """
        What there is of a session that has not ended.

        @raise SessionNotFound: There is none.
        @raise CorruptRecord: It is damaged; it has been put aside.
        """
        entry = self._entry(sid)
        if entry is None:
            raise self._gone(sid)
        return entry

    def rewrite(self, entry: Entry, after: Record) -> None:
        """
        Write what has changed of a record.  What the indexes hold is left
        alone where it can be.

        @raise InvalidSessionData: It cannot be kept; nothing was changed.
        """
        row, record, texts = entry.row, entry.record, entry.texts
        text = row[ATTRIBUTES]
        if after.attributes is not record.attributes:
            text, texts = attributesText(after.attributes, record.attributes, texts)
        try:
            facts = _facts(after)
            if facts != _facts(record):
                self._execute(FACTS, (*facts, deadline(after), row[ID]))
        except UnicodeEncodeError:
            raise noText(after.sid) from None
        self._pending.content(row[ID], after.lastModified, after.version, text)
        self._known.put(Entry((*row[:ATTRIBUTES], text, row[DEADLINE]), after, texts))

    def write(self) -> None:
        """
        Write what was changed so far.
        """
        self._pending.write()

    def sound(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Record]]:
        """
        Rows with their records; those without are put aside.
        """
        for row in rows:
            try:
                yield row, whole(row)
            except Damaged as e:
                self._quarantined(row, e)

    def _entry(self, sid: str) -> Entry | None:
        """
        What there is of a session.

        @raise CorruptRecord: It is damaged; it has been put aside.
        """
        entry = self._known.get(sid)
        if entry is not None:
            return entry
        row: Row | None = self._execute(BY_SID, (sid,)).fetchone()
        if row is None:
            return None
        try:
            texts = textsOf(row)
            entry = Entry(row, recordOf(row, texts), texts)
        except Damaged as e:
            raise self._quarantined(row, e) from None
        self._known.put(entry)
        return entry

    def _execute(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """
        Execute a statement, after what was changed so far.
        """
        self._pending.write()
        return self._cursor.execute(statement, values)

    def _reason(self, sid: str) -> str | None:
        """
        Why a session ended, if that is remembered.
        """
        found = self._execute(REASON, (sid,)).fetchone()
        return None if found is None else str(found[0], "utf-8", "replace")

    def _gone(self, sid: str) -> SessionNotFound:
        """
        The error for a session that is not among the live ones.
        """
        reason = self._reason(sid)
        return SessionNotFound(sid) if reason is None else SessionEnded(sid, reason)

    def _quarantined(self, row: Row, damage: Damaged) -> CorruptRecord:
        """
        Put a row aside, as it is.

        @raise MustWrite: The transaction only reads.
        """
        if not self.mayWrite:
            raise MustWrite()
        self.connection.execute(PUT_ASIDE, (str(damage), row[ID]))
        self.connection.execute(DELETE, (row[ID],))
        error = damageOf(row, damage)
        self.news.putAside.append(error)
        return error


def _facts(record: Record) -> Sequence[Any]:
    """
    The facts that a change of content leaves alone, as in L{FACTS}.
    """
    return (
        record.verifier,
        record.sessionTimeout,
        record.absoluteTimeout,
        record.sessionKey,
    )


def noText(sid: str) -> InvalidSessionData:
    """
    The error for a text that is none.
    """
    return InvalidSessionData(f"session {sid} cannot be kept: its owner is no valid Unicode text")
