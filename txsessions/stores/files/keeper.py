"""
What a store does with the file of one session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import CorruptRecord, SessionEnded, SessionNotFound
from ...record import Change, Record, apply
from ..claim import Ending
from ..index import Index
from ..remembrance import RETENTION
from .journal import Journal
from .shard import Shard
from .text import End, encodeEnd, encodeRecord

T = TypeVar("T")


class Keeper:
    """
    Does what a store promises, in a shard that is open.  For one thread.

    @ivar _index: What is told of each file that is written.
    @ivar _journal: Where each ending is written down before it is made.
    """

    def __init__(self, index: Index, journal: Journal) -> None:
        self._index = index
        self._journal = journal

    def load(self, shard: Shard, sid: str) -> Record | None:
        """
        The live record.

        @raise SessionEnded: It has ended.
        """
        found = shard.read(sid)
        if isinstance(found, End):
            raise SessionEnded(sid, found.reason)
        return found

    def has(self, shard: Shard, sid: str) -> bool:
        """
        Whether there is a live record.
        """
        return isinstance(shard.read(sid), Record)

    def create(self, shard: Shard, record: Record) -> bool:
        """
        Insert a record where nothing is.

        @return: Whether it was inserted.
        """
        text = encodeRecord(record)
        shard.lock()
        if shard.read(record.sid) is not None:
            return False
        shard.write(record.sid, text)
        self._index.put(record)
        return True

    def save(self, shard: Shard, change: Change) -> int:
        """
        Apply a change to a live record.

        @return: The version after it.
        @raise SessionNotFound: There is none.
        """
        shard.lock()
        after, text = self.changed(shard, change)
        shard.write(after.sid, text)
        self._index.put(after)
        return after.version

    def changed(self, shard: Shard, change: Change) -> tuple[Record, bytes]:
        """
        What a live record is after a change, and the text of it.  Nothing is
        changed yet.

        @raise SessionNotFound: There is none.
        """
        record = self.load(shard, change.sid)
        if record is None:
            raise SessionNotFound(change.sid)
        after = apply(record, change)
        return after, encodeRecord(after)

    def end(
        self, shard: Shard, sid: str, reasonOf: Callable[[Record], str | None], now: float
    ) -> Ending | None:
        """
        End a live session, if there is a reason to.

        Its file is replaced by one that says so: a session has one file, and
        that is a live record or an end, whenever a crash comes.  Before that
        the journal has it, durable: what is in there and did not happen is
        known from the session's file.

        @param reasonOf: Called with the record; gives the reason, or C{None}.
        @param now: When, in seconds on the store's clock.
        """
        shard.lock()
        record = shard.read(sid)
        if not isinstance(record, Record):
            self.note(sid, record)
            return None
        reason = reasonOf(record)
        if reason is None:
            self._index.put(record)
            return None
        end = End(sid, reason, now, record.created)
        with self._journal.written(shard, record, reason, now):
            shard.write(sid, encodeEnd(end))
        shard.endings.append((sid, reason))
        self.note(sid, end)
        return Ending(record, reason)

    def forget(self, shard: Shard, sid: str) -> None:
        """
        Remember the end of a session no longer.
        """
        shard.lock()
        found = shard.read(sid)
        if isinstance(found, End):
            self._journal.discardLeftovers(found)
            shard.remove(sid)
            found = None
        self.note(sid, found)

    def quietly(self, sid: str, function: Callable[..., T], *arguments: Any) -> T | None:
        """
        Call a function for a session that nobody has asked for by name.  If
        its file is damaged the result is C{None}.
        """
        try:
            return function(*arguments)
        except CorruptRecord:
            self._index.drop(sid)
            return None

    def note(self, sid: str, found: Record | End | None, signature: Any = None) -> None:
        """
        Tell the index what there is.

        @param signature: Which file says so; C{None}: not known.
        """
        if found is None:
            self._index.drop(sid)
        elif isinstance(found, End):
            self._index.putEnd(sid, found.time + RETENTION, signature)
        else:
            self._index.put(found, signature)
