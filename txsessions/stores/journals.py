"""
Two journals: that of a new store, and what the old one has still to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from ..errors import CorruptRecord, SessionEnded
from ..interfaces import ISessionJournal
from ..lifetime import ABSOLUTE, IDLE
from .journal import JournalEntry
from .moving import MOVED

EXPIRED: Final = (IDLE, ABSOLUTE)
"""
The reasons of ends that are made in both stores.
"""

SETTLED: Final = 60.0
"""
After how many seconds a session that has expired in the old store is in the new
one, if anybody moves it there: far longer than that takes.
"""


class TwoJournals:
    """
    Writes to the new journal, and reads from both.

    Whatever ends while sessions migrate does so in the new store.  Observers
    whom the old store knows from former times find in its journal what they
    have not been told of yet, and besides that sessions have B{moved}, or have
    expired there although the new store knows more of them: these are left out.
    An observer that is away for longer than the new store remembers an end may
    be told twice of a session that has expired in the meantime.

    @ivar _new: The new store.
    @ivar _old: The old store; C{None} if it has no journal.
    @ivar _now: Gives the present, in seconds on the clock of the stores.
    """

    def __init__(self, new: Any, old: Any, now: Callable[[], float]) -> None:
        self._new = new
        self._old: Any = old if ISessionJournal.providedBy(old) else None
        self._now = now

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        enrolled: Deferred[None] = self._new.enrol(observer)
        return enrolled

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return self._ofBoth(lambda store: store.dismiss(observer))

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return self._ofBoth(lambda store: store.acknowledge(observer, eventIDs))

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.
        """
        return Deferred.fromCoroutine(self._take(observer, limit, lease))

    def _ofBoth(self, operation: Callable[[Any], Deferred[None]]) -> Deferred[None]:
        """
        Do something to the new journal, and then to the old one.
        """
        done = operation(self._new)
        return done if self._old is None else done.addCallback(lambda _: operation(self._old))

    async def _take(self, observer: str, limit: int, lease: float) -> Sequence[JournalEntry]:
        """
        What the old store has to tell, and then what the new one has.
        """
        taken: list[JournalEntry] = []
        if self._old is not None:
            taken = await self._takeOld(observer, limit, lease)
        if len(taken) < limit:
            taken += await self._new.takeEndings(observer, limit - len(taken), lease)
        return taken

    async def _takeOld(self, observer: str, limit: int, lease: float) -> list[JournalEntry]:
        """
        What the old store alone knows.  The rest of what it gives is forgotten.
        """
        taken, known = [], []
        for entry in await self._old.takeEndings(observer, limit, lease):
            if entry.reason == MOVED or await self._isKnown(entry.record.sid):
                known.append(entry.eventID)
            elif entry.reason not in EXPIRED or entry.endedAt + SETTLED <= self._now():
                taken.append(entry)
        if known:
            await self._old.acknowledge(observer, known)
        return taken

    async def _isKnown(self, sid: str) -> bool:
        """
        Whether the new store knows that session, alive or not.
        """
        try:
            return await self._new.loadSession(sid) is not None
        except (SessionEnded, CorruptRecord):
            return True
