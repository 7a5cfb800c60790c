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
from .row import ATTRIBUTES, COLUMNS, ID, SID, Damaged, Row, attributesText, undecoded, whole

BY_SID: Final = f"SELECT {COLUMNS} FROM session WHERE sid = ?"
BY_KEY: Final = f"SELECT {COLUMNS} FROM session WHERE sessionKey = ? ORDER BY created, id"
PAGE: Final = f"SELECT {COLUMNS} FROM session WHERE id > ? ORDER BY id LIMIT ?"
REASON: Final = "SELECT reason FROM ended WHERE sid = ?"

INSERT: Final = f"""
    INSERT INTO session ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)
    ON CONFLICT (sid) DO NOTHING
"""
TOUCH: Final = "UPDATE session SET lastModified = ? WHERE id = ?"
CONTENT: Final = """
    UPDATE session SET lastModified = ?, version = ?, attributes = CAST(? AS TEXT) WHERE id = ?
"""
FACTS: Final = """
    UPDATE session SET verifier = ?, sessionTimeout = ?, absoluteTimeout = ?, sessionKey = ?,
        deadline = ?
    WHERE id = ?
"""
DELETE: Final = "DELETE FROM session WHERE id = ?"
REMEMBER: Final = "INSERT OR REPLACE INTO ended (sid, reason, endedAt) VALUES (?, ?, ?)"
PUT_ASIDE: Final = """
    INSERT INTO quarantine (detail, sid, verifier, created, lastModified, sessionTimeout,
        absoluteTimeout, sessionKey, version, attributes, deadline)
    SELECT ?, sid, verifier, created, lastModified, sessionTimeout,
        absoluteTimeout, sessionKey, version, attributes, deadline
    FROM session WHERE id = ?
"""


class MustWrite(Exception):
    """
    Something is to be written, in a transaction that only reads.
    """


class Rows:
    """
    The rows of sessions, in one transaction.

    What fails with a L{SessionError<txsessions.errors.SessionError>} has
    changed nothing else than to put a damaged row aside; after any other error
    the transaction has to be undone.

    @ivar connection: The connection that is in the transaction.
    @ivar putAside: What was put aside: an error for each row.
    @ivar _mayWrite: Whether the transaction may write.
    """

    def __init__(self, connection: sqlite3.Connection, mayWrite: bool) -> None:
        self.connection: Final = connection
        self.putAside: list[CorruptRecord] = []
        self._mayWrite = mayWrite

    def ready(self) -> None:
        """
        Nothing; that there is a transaction is all.
        """

    def load(self, sid: str, default: Any) -> Any:
        """
        The record, or the default.

        @raise SessionEnded: It has ended.
        """
        row = self._row(sid)
        if row is not None:
            return self._sound(row)
        reason = self._reason(sid)
        if reason is None:
            return default
        raise SessionEnded(sid, reason)

    def has(self, sid: str) -> bool:
        """
        Whether there is a record.
        """
        row = self._row(sid)
        return row is not None and self._sound(row) is not None

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
        try:
            inserted = self.connection.execute(
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
                    attributesText(record.attributes),
                    deadline(record),
                ),
            )
        except UnicodeEncodeError:
            raise _noText(sid) from None
        return inserted.rowcount == 1

    def save(self, change: Change) -> int:
        """
        Apply a change, and give the version after it.
        """
        row = self._row(change.sid)
        if row is None:
            raise self._gone(change.sid)
        try:
            record = undecoded(row)
        except Damaged as e:
            raise self._quarantined(row, e) from None
        after = apply(record, change)
        if after.version != record.version:
            self._rewrite(row, record, after)
        elif after.lastModified != record.lastModified:
            self.connection.execute(TOUCH, (after.lastModified, row[ID]))
        return after.version

    def delete(self, sid: str, reason: str, now: float) -> Record | None:
        """
        End a session, and give its last record.
        """
        row = self._row(sid)
        if row is None:
            return None
        record = self._sound(row)
        self.end(row, record, reason, now)
        return record

    def end(self, row: Row, record: Record, reason: str, now: float) -> None:
        """
        Take a row out, and remember the end of its session.
        """
        self.connection.execute(REMEMBER, (record.sid, reason, now))
        self.connection.execute(DELETE, (row[ID],))

    def sound(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Record]]:
        """
        Rows with their records; those without are put aside.
        """
        for row in rows:
            try:
                yield row, whole(row)
            except Damaged as e:
                self._quarantined(row, e)

    def _row(self, sid: str) -> Row | None:
        """
        The row of a session.
        """
        row: Row | None = self.connection.execute(BY_SID, (sid,)).fetchone()
        return row

    def _sound(self, row: Row) -> Record:
        """
        The record in a row.

        @raise CorruptRecord: There is none; it has been put aside.
        """
        try:
            return whole(row)
        except Damaged as e:
            raise self._quarantined(row, e) from None

    def _rewrite(self, row: Row, record: Record, after: Record) -> None:
        """
        Write what has changed of a record.  What the indexes hold is left
        alone where it can be.
        """
        isSame = after.attributes is record.attributes
        text = row[ATTRIBUTES] if isSame else attributesText(after.attributes)
        try:
            if _facts(after) != _facts(record):
                self.connection.execute(FACTS, (*_facts(after), deadline(after), row[ID]))
        except UnicodeEncodeError:
            raise _noText(after.sid) from None
        self.connection.execute(CONTENT, (after.lastModified, after.version, text, row[ID]))

    def _reason(self, sid: str) -> str | None:
        """
        Why a session ended, if that is remembered.
        """
        found = self.connection.execute(REASON, (sid,)).fetchone()
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
        if not self._mayWrite:
            raise MustWrite()
        self.connection.execute(PUT_ASIDE, (str(damage), row[ID]))
        self.connection.execute(DELETE, (row[ID],))
        error = CorruptRecord(
            _shownSid(row), f"{damage}; it is kept in the table quarantine of the same file"
        )
        self.putAside.append(error)
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


def _shownSid(row: Row) -> str:
    """
    The handle in a damaged row, for the text of an error.
    """
    sid = row[SID]
    if not isinstance(sid, bytes):
        return repr(sid)
    return str(sid[:32], "latin-1").encode("unicode_escape").decode("ascii")


def _noText(sid: str) -> InvalidSessionData:
    """
    The error for a text that is none.
    """
    return InvalidSessionData(f"session {sid} cannot be kept: its owner is no valid Unicode text")
