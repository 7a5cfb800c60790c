"""
Stores that end sessions badly.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import succeed

from txsessions.errors import SessionEnded
from txsessions.lifetime import REVOKED
from txsessions.stores.memory import MemoryStore

from .turns import aTurn


class RevivingStore(MemoryStore):
    """
    Saves what was loaded, whatever has become of the session since.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._last = {}

    def saveSession(self, change):
        record = self._records.get(change.sid) or self._last.get(change.sid)
        if record is not None:
            self._put(record)
        return super().saveSession(change)

    def _end(self, record, reason):
        self._last[record.sid] = record
        return super()._end(record, reason)


class CreatingStore(MemoryStore):
    """
    Creates a session under a handle whose end is remembered.
    """

    def createSession(self, record):
        if record.sid in self._records:
            return succeed(False)
        self._ends._reasons.pop(record.sid, None)
        return super().createSession(record)


class DoublyEndingStore(MemoryStore):
    """
    Gives the record to whoever asked while it was there.
    """

    def deleteSession(self, sid, reason=REVOKED):
        record = self._records.get(sid)
        ended = aTurn().addCallback(lambda _: MemoryStore.deleteSession(self, sid, reason))
        return ended.addCallback(lambda _: record)


class ForgetfulStore(MemoryStore):
    """
    Remembers no end.
    """

    def _end(self, record, reason):
        ending = super()._end(record, reason)
        self._ends.forget(self._now() + 10**6)
        return ending


class ReasonlessStore(MemoryStore):
    """
    Remembers that a session has ended, and not why.
    """

    def deleteSession(self, sid, reason=REVOKED):
        return super().deleteSession(sid)


class AbsentStore(MemoryStore):
    """
    Says that an ended session never was.
    """

    def loadSession(self, sid, default=None):
        return super().loadSession(sid, default).addErrback(lambda f: default)


class UntidyStore(MemoryStore):
    """
    Leaves an end behind for a session that never was.
    """

    def deleteSession(self, sid, reason=REVOKED):
        if sid not in self._records:
            self._ends.remember(sid, reason, self._now())
        return super().deleteSession(sid, reason)


class StaleStore(MemoryStore):
    """
    Gives at the end the record of the beginning.
    """

    def deleteSession(self, sid, reason=REVOKED):
        def forget(record):
            return record and attrs.evolve(record, attributes={}, version=1)

        return super().deleteSession(sid, reason).addCallback(forget)


class SweepingStore(MemoryStore):
    """
    Ends all sessions of an owner with one of them.
    """

    def deleteSession(self, sid, reason=REVOKED):
        record = self._records.get(sid)
        answer = super().deleteSession(sid, reason)
        for other in list(self._owned.get(record.sessionKey, ()) if record else ()):
            super().deleteSession(other, reason)
        return answer


class ConfusedStore(MemoryStore):
    """
    Takes an end for a conflict.
    """

    def _gone(self, sid):
        return SessionEnded(sid, REVOKED)
