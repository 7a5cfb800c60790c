"""
The journal of endings in the memory of one process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from math import inf
from typing import Final

import msgspec
from twisted.logger import Logger

from ..deadlines import Deadlines
from ..record import Record
from ..sharded import ShardedDict
from .journal import MAXIMUM, RETENTION, JournalEntry, checkObserver, eventIDOf

AT_ONCE: Final = 5_000
"""
How many endings that are too old are dropped when somebody asks for some, or
of an observer that was dismissed in one turn of the reactor; all of a million
would hold it.
"""

QUIET: Final = 60.0
"""
How long nothing is logged of what is dropped after something was, in seconds.
"""


class Written(msgspec.Struct, frozen=True, gc=False):
    """
    An ending as it is written down, the same for all observers.

    Nothing in it leads back to it, so Python's collector of garbage need not
    know of it: one that looks at a million holds the reactor for most of a
    second.

    @ivar record: The last record.
    @ivar reason: Why it ended.
    @ivar endedAt: When, in seconds on the store's clock.
    """

    record: Record
    reason: str
    endedAt: float


class Backlog:
    """
    What one observer has still to be told.

    @ivar _entries: All of it, by C{eventID}.
    @ivar _attempts: How often each was given that somebody has or had.
    @ivar _waiting: What nobody has taken, the oldest first; what was
        acknowledged nevertheless may be among it.
    @ivar _until: When the lease of what somebody has runs out, in seconds.
    @ivar _leases: The same in that order.
    @ivar _dropped: How many endings were dropped that nobody was told of.
    @ivar _logged: When that was logged.
    """

    _log = Logger()

    def __init__(self, observer: str, maximum: int) -> None:
        self._observer = observer
        self._maximum = maximum
        self._entries: ShardedDict[Written] = ShardedDict()
        self._attempts: dict[str, int] = {}
        self._waiting: deque[str] = deque()
        self._until: dict[str, float] = {}
        self._leases = Deadlines(self._until.get)
        self._dropped = 0
        self._logged = -inf

    def write(self, eventID: str, entry: Written) -> None:
        """
        Add an ending that comes now.
        """
        self._entries[eventID] = entry
        self._waiting.append(eventID)
        # Two, so that there are fewer and fewer of those that are too old.
        self._dropOld(entry.endedAt, 2)
        while len(self._waiting) + len(self._until) > self._maximum:
            self._drop(self._waiting.popleft())
        if self._dropped and self._logged + QUIET <= entry.endedAt:
            self._tell(entry.endedAt)

    def take(self, now: float, limit: int, lease: float) -> list[JournalEntry]:
        """
        Give some: those whose lease has run out, and then those that nobody
        has taken.
        """
        self._dropOld(now, AT_ONCE)
        names = self._leases.popDue(now, limit)
        taken = [self._lease(eventID, now + lease) for eventID in names]
        while self._waiting and len(taken) < limit:
            eventID = self._waiting.popleft()
            if eventID in self._entries:
                taken.append(self._lease(eventID, now + lease))
        if self._dropped:
            self._tell(now)
        return taken

    def forget(self, eventIDs: Iterable[str]) -> None:
        """
        Forget what the observer has been told.
        """
        for eventID in eventIDs:
            self._forget(eventID)

    def forgetSome(self, limit: int) -> bool:
        """
        Forget some of what there is.

        @return: Whether there is more.
        """
        waiting = self._waiting
        for _ in range(min(limit, len(waiting))):
            self._forget(waiting.popleft())
        for eventID in [*islice(self._until, limit)]:
            self._forget(eventID)
        return bool(waiting or self._until)

    def _lease(self, eventID: str, until: float) -> JournalEntry:
        """
        Give an ending to somebody until then.
        """
        entry = self._entries[eventID]
        self._attempts[eventID] = attempt = self._attempts.get(eventID, 0) + 1
        self._until[eventID] = until
        self._leases.add(eventID, until)
        return JournalEntry(eventID, entry.record, entry.reason, entry.endedAt, attempt)

    def _forget(self, eventID: str) -> None:
        """
        Forget one ending.
        """
        self._entries.pop(eventID, None)
        self._attempts.pop(eventID, None)
        if self._until.pop(eventID, None) is not None:
            self._leases.discard(eventID)

    def _dropOld(self, now: float, limit: int) -> None:
        """
        Drop some of what nobody has taken for too long.
        """
        waiting = self._waiting
        for _ in range(limit):
            if not waiting:
                return
            entry = self._entries.get(waiting[0])
            if entry is not None and entry.endedAt + RETENTION > now:
                return
            self._drop(waiting.popleft())

    def _drop(self, eventID: str) -> None:
        """
        Drop an ending that nobody was told of.
        """
        if eventID in self._entries:
            self._dropped += 1
            self._forget(eventID)

    def _tell(self, now: float) -> None:
        """
        Log what was dropped.
        """
        self._log.warn(
            "{dropped} endings were dropped before the observer {observer} was told of them: "
            "it has not acknowledged any for long, or too many came",
            dropped=self._dropped,
            observer=self._observer,
        )
        self._dropped, self._logged = 0, now


class MemoryJournal:
    """
    The endings that observers have still to be told.  Nothing is done for an
    ending while none is enrolled.

    @ivar _backlogs: What each observer that is enrolled has still to be told.
    """

    def __init__(self, maximum: int = MAXIMUM) -> None:
        """
        @param maximum: How many endings are held for one observer at the most.
        """
        self._maximum = maximum
        self._backlogs: dict[str, Backlog] = {}

    def enrol(self, observer: str) -> None:
        """
        Begin to write endings down for an observer.

        @raise ValueError: That is no name of one.
        """
        name = checkObserver(observer)
        if name not in self._backlogs:
            self._backlogs[name] = Backlog(name, self._maximum)

    def dismiss(self, observer: str) -> Backlog | None:
        """
        Write nothing down for an observer any more.

        @return: What is there, which may be too much to be forgotten at once.
        @raise ValueError: That is no name of one.
        """
        return self._backlogs.pop(checkObserver(observer), None)

    def write(self, record: Record, reason: str, now: float) -> None:
        """
        Write down that a session ends now, in seconds, for each observer.
        """
        if self._backlogs:
            eventID, entry = eventIDOf(record.sid, now), Written(record, reason, now)
            for backlog in self._backlogs.values():
                backlog.write(eventID, entry)

    def take(self, observer: str, now: float, limit: int, lease: float) -> list[JournalEntry]:
        """
        Give some endings to an observer, for so many seconds from now on.

        @raise ValueError: That is no name of one.
        """
        backlog = self._backlogs.get(checkObserver(observer))
        return [] if backlog is None else backlog.take(now, limit, lease)

    def acknowledge(self, observer: str, eventIDs: Iterable[str]) -> None:
        """
        Forget what an observer has been told.

        @raise ValueError: That is no name of one.
        """
        backlog = self._backlogs.get(checkObserver(observer))
        if backlog is not None:
            backlog.forget(eventIDs)
