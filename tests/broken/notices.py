"""
Stores that tell badly of what ends.
"""

from __future__ import annotations

from twisted.internet.task import LoopingCall

from txsessions.lifetime import EVICTED
from txsessions.stores.chronicle import Chronicle
from txsessions.stores.memory import MemoryStore


class MuteStore(MemoryStore):
    """
    Tells nobody.
    """

    def watchEndings(self, ended, missed):
        return lambda: None


class DeafStore(MemoryStore):
    """
    Tells the one who watched first, and no other.
    """

    def watchEndings(self, ended, missed):
        return (lambda: None) if self._watchers else super().watchEndings(ended, missed)


class ReservedStore(MemoryStore):
    """
    Does not tell who had to make room.
    """

    def watchEndings(self, ended, missed):
        def tell(sid, reason):
            return None if reason == EVICTED else ended(sid, reason)

        return super().watchEndings(tell, missed)


class SweepingInSilenceStore(MemoryStore):
    """
    Does not tell what a sweep has claimed.
    """

    def claimExpired(self, limit):
        watchers, self._watchers._watchers = self._watchers._watchers, {}
        answer = super().claimExpired(limit)
        self._watchers._watchers = watchers
        return answer


class AgeingInSilenceStore(MemoryStore):
    """
    Does not tell what people delete for its age.
    """

    def deleteOldSessions(self, minutes):
        watchers, self._watchers._watchers = self._watchers._watchers, {}
        answer = super().deleteOldSessions(minutes)
        self._watchers._watchers = watchers
        return answer


class VagueStore(MemoryStore):
    """
    Does not tell why.
    """

    def watchEndings(self, ended, missed):
        return super().watchEndings(lambda sid, reason: ended(sid, "revoked"), missed)


class TirelessStore(MemoryStore):
    """
    Tells also those who do not want to hear any more.
    """

    def watchEndings(self, ended, missed):
        super().watchEndings(ended, missed)
        return lambda: None


class DelicateStore(MemoryStore):
    """
    Lets one who raises keep the others, and who ends the session, from hearing.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._watchers._call = lambda function, *arguments: function(*arguments)


class LingeringStore(MemoryStore):
    """
    Looks for what has ended from time to time, also for nobody.
    """

    def watchEndings(self, ended, missed):
        loop = LoopingCall(lambda: None)
        loop.clock = self.clock
        loop.start(1.0)
        return super().watchEndings(ended, missed)


class HoarseStore(MemoryStore):
    """
    Tells of the first hundred endings.
    """

    _count = 0

    def watchEndings(self, ended, missed):
        def tell(sid, reason):
            self._count += 1
            if self._count < 100:
                ended(sid, reason)

        return Chronicle.watchEndings(self, tell, missed)
