"""
A state machine that is told of endings by the journal of a store.  It needs
C{hypothesis}.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from ..interfaces import ISessionJournal
from .asking import ComparingMachine

LEASE: Final = 1000.0
"""
For how long endings are taken, in seconds.
"""

OBSERVER: Final = "the machine"
"""
Who is told of endings.
"""


class TellingMachine(ComparingMachine):
    """
    Has an observer, who is told of each ending until he has acknowledged it.

    @ivar _owed: What he has still to be told of, each with the time until which
        somebody is at it; C{None} while he is not enrolled.
    @ivar _eventIDs: By which ids he was told of what.
    @ivar _noted: How many endings of the model have been seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._owed: dict[str, float] | None = None
        self._eventIDs: dict[str, str] = {}
        self._noted = 0

    @rule()
    def enrol(self) -> None:
        """
        Have endings written down, from now on.
        """
        if self.has(ISessionJournal):
            self.same(None, self.ask("enrol", OBSERVER))
            self._note()
            self._owed = {} if self._owed is None else self._owed

    @rule()
    def dismiss(self) -> None:
        """
        Have nothing written down any more.
        """
        if self.has(ISessionJournal):
            self._note()
            self.same(None, self.ask("dismiss", OBSERVER))
            self._owed = None

    @rule(limit=st.integers(1, 5), isAcknowledged=st.booleans())
    def tell(self, limit: int, isAcknowledged: bool) -> None:
        """
        Take what has been written down; perhaps die before anybody is told.
        """
        self._note()
        owed = self._owed
        if owed is None or not self.has(ISessionJournal):
            return
        now = self.now()
        free = {sid for sid, until in owed.items() if until <= now}
        entries = self.ask("takeEndings", OBSERVER, limit, LEASE)
        self.given([entry.record.sid for entry in entries], entries)
        taken = {entry.record.sid: entry.eventID for entry in entries}
        assert taken.keys() <= free, "what was told, or is being told, was given again"
        assert bool(taken) == bool(free) and len(taken) == len(entries) <= limit
        for sid, eventID in taken.items():
            assert self._eventIDs.setdefault(sid, eventID) == eventID
            owed[sid] = now + LEASE
        if isAcknowledged:
            self.same(None, self.ask("acknowledge", OBSERVER, list(taken.values())))
            for sid in taken:
                del owed[sid]

    def _note(self) -> None:
        """
        Note what has ended since the last time.
        """
        sids = list(self.model.endings)[self._noted :]
        self._noted = len(self.model.endings)
        if self._owed is not None:
            self._owed.update(dict.fromkeys(sids, 0.0))
