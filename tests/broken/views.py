"""
Stores that find, show and delete badly.
"""

from __future__ import annotations

from twisted.internet.defer import fail, succeed

from txsessions.record import apply
from txsessions.stores.memory import MemoryStore


class UnindexedStore(MemoryStore):
    """
    Notes the owner of a session when it is created and never again.
    """

    def saveSession(self, change):
        record = self._records.get(change.sid)
        try:
            self._records[change.sid] = apply(record, change)
        except Exception as e:
            return fail(e)
        return succeed(self._records[change.sid].version)


class HauntedStore(MemoryStore):
    """
    Finds sessions after their end.
    """

    def _disown(self, record):
        self._ghost = record

    def findSessions(self, sessionKey):
        ghost = getattr(self, "_ghost", None)
        live = [r for r in self._records.values() if r.sessionKey == sessionKey]
        return succeed(live + ([ghost] if ghost and ghost.sessionKey == sessionKey else []))


class ColonStore(MemoryStore):
    """
    Keeps its index under keys in which a colon means something.
    """

    def findSessions(self, sessionKey):
        found = [
            record
            for record in self._records.values()
            if (record.sessionKey or "").split(":")[0] == sessionKey.split(":")[0]
        ]
        return succeed(found)


class FragileStore(MemoryStore):
    """
    Cannot be browsed while it changes.
    """

    async def iterSessions(self):
        for pair in self._records.items():
            yield pair


class MiscountingStore(MemoryStore):
    """
    Counts all sessions as deleted.
    """

    def deleteOldSessions(self, minutes):
        count = len(self._records)
        return super().deleteOldSessions(minutes).addCallback(lambda _: count)


class BirthdayStore(MemoryStore):
    """
    Takes the age of a session for the time since its last touch.
    """

    def _isOlder(self, record, moment):
        return record.created <= moment


class FreshStore(MemoryStore):
    """
    Is empty whenever it was made ready.
    """

    def setup(self):
        self._records.clear()
        return succeed(None)


class PagingStore(MemoryStore):
    """
    Shows the first page of what it has.
    """

    async def iterSessions(self):
        for pair in list(self._records.items())[:1000]:
            yield pair
