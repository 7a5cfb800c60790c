"""
Stores that sweep badly.
"""

from __future__ import annotations

import attrs

from txsessions.lifetime import IDLE, deadline
from txsessions.stores.claim import Claim, Ending
from txsessions.stores.memory import MemoryStore

from .turns import aTurn


class DoublyClaimingStore(MemoryStore):
    """
    Claims what was due a moment ago, whoever else does.
    """

    def claimExpired(self, limit):
        now = self._now()
        due = sorted((r for r in self._records.values() if deadline(r) <= now), key=deadline)

        def end(_):
            for record in due[:limit]:
                MemoryStore.deleteSession(self, record.sid, IDLE)
            return Claim([Ending(record, IDLE) for record in due[:limit]], self._deadlines.next())

        return aTurn().addCallback(end)


class EarlyStore(MemoryStore):
    """
    Claims a second too early.
    """

    def _now(self):
        return super()._now() + 1


class LateStore(MemoryStore):
    """
    Takes the very moment of the deadline for a moment before it.
    """

    def _now(self):
        return super()._now() - 0.001


class ForgettingToDeleteStore(MemoryStore):
    """
    Gives what it claims, and leaves it where it is.
    """

    def _end(self, record, reason):
        self._records[record.sid] = record
        self._deadlines.add(record.sid, deadline(record))
        return Ending(record, reason)


class UnlimitedStore(MemoryStore):
    """
    Claims as many as there are.
    """

    def claimExpired(self, limit):
        return super().claimExpired(limit + 100)


class LazyStore(MemoryStore):
    """
    Says that nothing is due when it has done its share.
    """

    def claimExpired(self, limit):
        claim = super().claimExpired(limit)
        return claim.addCallback(lambda c: attrs.evolve(c, nextDeadline=None))


class DisorderlyStore(MemoryStore):
    """
    Gives the one that is overdue for the shortest time first.
    """

    def claimExpired(self, limit):
        claim = super().claimExpired(limit)
        return claim.addCallback(lambda c: attrs.evolve(c, endings=c.endings[::-1]))


class TouchlessStore(MemoryStore):
    """
    Sweeps by the deadline that a session had when it was created.
    """

    def _deadlineOf(self, sid):
        return None if sid not in self._records else 0.0
