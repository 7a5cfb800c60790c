"""
An entry of the journal: a file that says of one ending what one observer has to
be told.

Its name says when the session ended, which one it was, how often the entry has
been given out, and until when nobody else gets it::

    000651c2f0a3b4c0-8c6976e5b5410415bde908bd4dee15df-1-651c2f0b3c4d0.json

Times are in microseconds, in hexadecimal digits.  To give it out is to rename
it: of all who try at the same time one succeeds, without a lock.  The names are
in the order in which the sessions ended.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import msgspec

from ...record import Record
from ..journal import JournalEntry, eventIDOf
from .text import End, SessionBody, decodeBody, encode, enveloped, recordOf, sessionBody

ENDING: Final = "ending"
"""
The kind of a document that says how a session ended, and what was in it.
"""

MICROSECONDS: Final = 1_000_000

_NAME: Final = re.compile(r"(-?[0-9a-f]{15,16})-([0-9a-f]{32})-([0-9]+)-([0-9a-f]+)\.json")
_EVENT_ID: Final = re.compile(r"([0-9a-f]{32})-(-?[0-9a-f]{1,16})")


@attrs.frozen
class EntryName:
    """
    What the name of an entry says.

    @ivar moment: When the session ended, in microseconds on the store's clock.
    @ivar sid: Which session it was.
    @ivar attempt: How often the entry has been given out.
    @ivar until: Until when nobody else gets it, in microseconds.
    """

    moment: int
    sid: str
    attempt: int = 0
    until: int = 0

    @property
    def file(self) -> str:
        """
        The name itself.
        """
        return f"{self.prefix}{self.attempt}-{self.until:x}.json"

    @property
    def prefix(self) -> str:
        """
        What does not change when it is given out.
        """
        return f"{self.moment:016x}-{self.sid}-"

    @property
    def eventID(self) -> str:
        """
        See L{JournalEntry}.
        """
        return f"{self.sid}-{self.moment:x}"

    def taken(self, until: float) -> EntryName:
        """
        The name of an entry that is given out once more.

        @param until: Until when nobody else gets it, in seconds.
        """
        return attrs.evolve(self, attempt=self.attempt + 1, until=_microseconds(until))

    def isFree(self, now: float) -> bool:
        """
        Whether it may be given out.
        """
        return self.until <= _microseconds(now)

    def isOlder(self, moment: float) -> bool:
        """
        Whether the session ended before that moment, in seconds.
        """
        return self.moment < _microseconds(moment)


class EndingBody(msgspec.Struct):
    """
    The body of an entry.
    """

    reason: str
    time: float
    record: SessionBody

    def __repr__(self) -> str:
        return f"<EndingBody {self.reason}>"


_decodeEnding = msgspec.json.Decoder(EndingBody).decode


def nameOf(sid: str, endedAt: float) -> EntryName:
    """
    The name of an entry that nobody was given yet.

    @param endedAt: When the session ended, in seconds on the store's clock.
    """
    return EntryName(_microseconds(endedAt), sid)


def parseName(name: str) -> EntryName | None:
    """
    What a name says; C{None} if it is no entry's.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    moment, sid, attempt, until = found.groups()
    return EntryName(int(moment, 16), sid, int(attempt), int(until, 16))


def parseEventID(eventID: object) -> EntryName | None:
    """
    The name that the entry of an ending had at first; C{None} if there can be
    no such ending.
    """
    found = _EVENT_ID.fullmatch(eventID) if isinstance(eventID, str) else None
    return None if found is None else EntryName(int(found[2], 16), found[1])


def encodeEntry(record: Record, reason: str, endedAt: float) -> bytes:
    """
    The text of an entry.
    """
    return enveloped(ENDING, encode(EndingBody(reason, endedAt, sessionBody(record))))


def decodeEntry(name: EntryName, text: bytes) -> JournalEntry:
    """
    What the text of an entry says.

    @raise Damaged: It is no text of ours.
    @raise StoreUnusable: A newer version wrote it.
    """
    body = decodeBody(name.sid, text, {ENDING: _decodeEnding})
    return JournalEntry(
        eventIDOf(name.sid, body.time), recordOf(body.record), body.reason, body.time, name.attempt
    )


def isLeftover(entry: JournalEntry, found: Record | End | None) -> bool:
    """
    Whether an entry is left over from a crash that came before the session was
    ended.

    @param found: What the session's file says: of that life of the session, or
        of a later one.
    """
    if found is None or found.created != entry.record.created:
        return False
    return isinstance(found, Record) or found.time != entry.endedAt


def isFree(name: str, now: float) -> bool:
    """
    Whether the entry with this name may be given out.
    """
    parsed = parseName(name)
    return parsed is not None and parsed.isFree(now)


def _microseconds(seconds: float) -> int:
    """
    As L{eventIDOf} counts.
    """
    return round(seconds * MICROSECONDS)
