"""
Stores whose journal is wrong.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import fail, succeed

from txsessions.errors import SessionNotFound
from txsessions.lifetime import EVICTED, REVOKED
from txsessions.record import NOTHING
from txsessions.stores.memory import MemoryStore
from txsessions.stores.memoryjournal import Backlog

from .turns import aTurn


class OmittingStore(MemoryStore):
    """
    The base of those that forget to write one kind of ending down.
    """

    def _isOmitted(self, reason):
        return False

    def _end(self, record, reason):
        if not self._isOmitted(reason):
            return super()._end(record, reason)
        backlogs, self._journal._backlogs = self._journal._backlogs, {}
        ending = super()._end(record, reason)
        self._journal._backlogs = backlogs
        return ending


class EvictionOmittingStore(OmittingStore):
    """
    Does not write down who had to make room.
    """

    def _isOmitted(self, reason):
        return reason == EVICTED


class SweepOmittingStore(OmittingStore):
    """
    Does not write down what a sweep has claimed.
    """

    _isSweeping = False

    def _isOmitted(self, reason):
        return self._isSweeping

    def claimExpired(self, limit):
        self._isSweeping = True
        answer = super().claimExpired(limit)
        self._isSweeping = False
        return answer


class AgeOmittingStore(OmittingStore):
    """
    Does not write down what people delete for its age.
    """

    _isDeleting = False

    def _isOmitted(self, reason):
        return self._isDeleting

    def deleteOldSessions(self, minutes):
        self._isDeleting = True
        answer = super().deleteOldSessions(minutes)
        self._isDeleting = False
        return answer


class ClearOmittingStore(OmittingStore):
    """
    Does not write down what ends with all sessions of its owner.
    """

    _isClearing = False

    def _isOmitted(self, reason):
        return self._isClearing

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        self._isClearing = True
        answer = super().endSessions(sessionKey, reason, exceptFor)
        self._isClearing = False
        return answer


class FenceOmittingStore(OmittingStore):
    """
    Does not write down the session of a log-in that came too late.
    """

    _isLoggingIn = False

    def _isOmitted(self, reason):
        return self._isLoggingIn and reason == REVOKED

    def logInSession(self, change, limit=None):
        self._isLoggingIn = True
        answer = super().logInSession(change, limit)
        self._isLoggingIn = False
        return answer


class StutteringStore(MemoryStore):
    """
    Writes each ending down twice.
    """

    def _end(self, record, reason):
        ending = super()._end(record, reason)
        self._journal.write(record, reason, self._now() + 0.001)
        return ending


class EagerJournalStore(MemoryStore):
    """
    Writes down that it was asked to end a session, whether there is one or not.
    """

    def deleteSession(self, sid, reason=REVOKED):
        record = self._records.get(sid) or (self._ends.reason(sid) and self._lastRecord)
        if record and sid not in self._records:
            self._journal.write(record, reason, self._now() + 0.001)
        return super().deleteSession(sid, reason)

    def _end(self, record, reason):
        self._lastRecord = record
        return super()._end(record, reason)


class EmptyJournalStore(MemoryStore):
    """
    Writes down that a session has ended, and not its data.
    """

    def takeEndings(self, observer, limit, lease):
        def strip(entries):
            return [
                attrs.evolve(entry, record=attrs.evolve(entry.record, attributes=NOTHING))
                for entry in entries
            ]

        return super().takeEndings(observer, limit, lease).addCallback(strip)


class UnleasedStore(MemoryStore):
    """
    Gives what somebody has taken to the next one as well.
    """

    def takeEndings(self, observer, limit, lease):
        return super().takeEndings(observer, limit, -1.0)


class UnorderedTakingStore(MemoryStore):
    """
    Looks what is there, and marks it as taken a moment later.
    """

    def takeEndings(self, observer, limit, lease):
        backlog = self._journal._backlogs.get(observer)
        if backlog is None:
            return super().takeEndings(observer, limit, lease)
        seen = list(backlog._waiting)[:limit]
        if not seen:
            return super().takeEndings(observer, limit, lease)

        def take(_):
            for eventID in seen:
                if eventID in backlog._waiting:
                    backlog._waiting.remove(eventID)
            return [backlog._lease(eventID, self._now() + lease) for eventID in seen]

        return aTurn().addCallback(take)


class GreedyStore(MemoryStore):
    """
    Gives what was taken to nobody else, ever.
    """

    def takeEndings(self, observer, limit, lease):
        return super().takeEndings(observer, limit, lease + 10.0**6)


class UncountingStore(MemoryStore):
    """
    Takes each attempt for the first.
    """

    def takeEndings(self, observer, limit, lease):
        taken = super().takeEndings(observer, limit, lease)
        return taken.addCallback(lambda es: [attrs.evolve(e, attempt=1) for e in es])


class RenamingStore(MemoryStore):
    """
    Gives one ending a different eventID for each observer.
    """

    def takeEndings(self, observer, limit, lease):
        taken = super().takeEndings(observer, limit, lease)

        def rename(entries):
            return [attrs.evolve(e, eventID=f"{observer}-{e.eventID}") for e in entries]

        return taken.addCallback(rename)

    def acknowledge(self, observer, eventIDs):
        return super().acknowledge(observer, [i.removeprefix(f"{observer}-") for i in eventIDs])


class SharedJournalStore(MemoryStore):
    """
    Takes it that one observer was told for that all were.
    """

    def acknowledge(self, observer, eventIDs):
        answer = super().acknowledge(observer, eventIDs)
        for backlog in self._journal._backlogs.values():
            backlog.forget(eventIDs)
        return answer


class PedanticStore(MemoryStore):
    """
    Finds fault with what is acknowledged twice.
    """

    def acknowledge(self, observer, eventIDs):
        backlog = self._journal._backlogs.get(observer)
        for eventID in eventIDs if backlog else ():
            if eventID not in backlog._entries:
                return fail(SessionNotFound(eventID))
        return super().acknowledge(observer, eventIDs)


class UnacknowledgedStore(MemoryStore):
    """
    Forgets after a lease that it was acknowledged.
    """

    def acknowledge(self, observer, eventIDs):
        return succeed(None)


class AnewStore(MemoryStore):
    """
    Forgets what is there when somebody enrols again.
    """

    def enrol(self, observer):
        return self.dismiss(observer).addCallback(lambda _: MemoryStore.enrol(self, observer))


class FaithfulStore(MemoryStore):
    """
    Keeps what is there for whom it has dismissed.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._former = {}

    def dismiss(self, observer):
        backlog = self._journal._backlogs.pop(observer, None)
        if backlog is not None:
            self._former[observer] = backlog
        return super().dismiss(observer)

    def enrol(self, observer):
        answer = super().enrol(observer)
        if observer in self._former:
            self._journal._backlogs[observer] = self._former.pop(observer)
        return answer


class HistorianStore(MemoryStore):
    """
    Writes down what ends for whoever may enrol one day.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._journal._backlogs["mail"] = Backlog("mail", 1000)


class NewsStore(MemoryStore):
    """
    Gives what has ended last first.
    """

    def takeEndings(self, observer, limit, lease):
        backlog = self._journal._backlogs.get(observer)
        if backlog is not None:
            backlog._waiting.reverse()
        answer = super().takeEndings(observer, limit, lease)
        if backlog is not None:
            backlog._waiting.reverse()
        return answer


class GenerousStore(MemoryStore):
    """
    Gives more than it was asked for.
    """

    def takeEndings(self, observer, limit, lease):
        return super().takeEndings(observer, limit + 1, lease)


class ShortJournalStore(MemoryStore):
    """
    Holds two hundred endings and no more.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._journal._maximum = 200


class NamelessStore(MemoryStore):
    """
    Takes anything for a name.
    """

    def enrol(self, observer):
        return super().enrol(observer or "somebody")

    def takeEndings(self, observer, limit, lease):
        return super().takeEndings(str(observer)[:200] or "somebody", limit, lease)


class CarefreeStore(MemoryStore):
    """
    Takes observers with similar names for one.
    """

    def enrol(self, observer):
        return super().enrol(observer.strip().lower() if observer else observer)

    def takeEndings(self, observer, limit, lease):
        return super().takeEndings(observer.strip().lower(), limit, lease)


class RecordingAllStore(MemoryStore):
    """
    Writes down sessions that were not let in as ended.
    """

    def logInSession(self, change, limit=None):
        def write(failure):
            record = self._records.get(change.sid)
            if record is not None:
                self._journal.write(record, REVOKED, self._now())
            return failure

        return super().logInSession(change, limit).addErrback(write)
