"""
Stores that let owners in, and put them out, badly.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import fail, succeed

from txsessions.errors import SessionError, TooManySessions
from txsessions.lifetime import REVOKED
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED
from txsessions.stores.claim import Ending, LogIn
from txsessions.stores.memory import MemoryStore

from .turns import aTurn


class HurriedStore(MemoryStore):
    """
    Counts the sessions of an owner, and lets another one in a moment later.
    """

    def logInSession(self, change, limit=None):
        try:
            others = [] if limit is None else limit.evicted(self._ownedBy(change.sessionKey), "")
        except SessionError as e:
            return fail(e)

        def enter(_):
            endings = [self._ending(r.sid, "evicted") for r in others if r.sid in self._records]
            entered = MemoryStore.logInSession(self, change)
            return entered.addCallback(lambda answer: LogIn(answer.version, endings))

        return aTurn().addCallback(enter)


class OutrunStore(MemoryStore):
    """
    Ends the sessions that are there, and lets in whoever comes late.
    """

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        ended = super().endSessions(sessionKey, reason, exceptFor)
        self._fence._moments.clear()
        return ended


class ShortFenceStore(MemoryStore):
    """
    Forgets after ten minutes that all sessions were ended.
    """

    def logInSession(self, change, limit=None):
        moments = self._fence._moments
        for owner in [o for o, moment in moments.items() if moment + 600 < self._now()]:
            del moments[owner]
        return super().logInSession(change, limit)


class WideFenceStore(MemoryStore):
    """
    Takes the end of all sessions of one owner for that of all owners.
    """

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        self._fence._floor = self._now()
        return super().endSessions(sessionKey, reason, exceptFor)


class StrictFenceStore(MemoryStore):
    """
    Takes a log-in for too late that says nothing of its moment.
    """

    def logInSession(self, change, limit=None):
        moment = {AUTHENTICATED: b"0.0", **change.set}
        return super().logInSession(attrs.evolve(change, set=moment), limit)


class LeavingOpenStore(MemoryStore):
    """
    Refuses a log-in that comes too late, and leaves the session alive.
    """

    def _endNow(self, sids, reason):
        if reason == REVOKED and len(sids) == 1 and self._isLoggingIn:
            return []
        return super()._endNow(sids, reason)

    _isLoggingIn = False

    def logInSession(self, change, limit=None):
        self._isLoggingIn = True
        answer = super().logInSession(change, limit)
        self._isLoggingIn = False
        return answer


class SeniorityStore(MemoryStore):
    """
    Lets those leave that began first.
    """

    def _ownedBy(self, sessionKey):
        def withoutMoment(record):
            attributes = {k: v for k, v in record.attributes.items() if k != AUTHENTICATED}
            return attrs.evolve(record, attributes=attributes)

        return [withoutMoment(record) for record in super()._ownedBy(sessionKey)]

    def findSessions(self, sessionKey):
        found = [self._records[sid] for sid in self._owned.get(sessionKey, ())]
        return succeed(sorted(found, key=lambda record: record.created))


class ImpatientStore(MemoryStore):
    """
    Lets others leave before it knows whether the log-in succeeds.
    """

    def logInSession(self, change, limit=None):
        endings = []
        if limit is not None and limit.onExceed != "refuse":
            others = limit.evicted(self._ownedBy(change.sessionKey), change.sid)
            endings = self._endNow([record.sid for record in others], "evicted")
        entered = super().logInSession(change, limit)
        return entered.addCallback(lambda answer: attrs.evolve(answer, evicted=endings))


class SelfCountingStore(MemoryStore):
    """
    Counts the session that logs in again among the others.
    """

    def logInSession(self, change, limit=None):
        if limit is not None and limit.maximum > 1:
            for record in self._ownedBy(change.sessionKey):
                if record.sid == change.sid:
                    limit = SessionLimit(limit.maximum - 1, limit.onExceed)
        return super().logInSession(change, limit)


class ReckoningStore(MemoryStore):
    """
    Counts how often an owner has logged in, and not how many sessions he has.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._counts = {}

    def logInSession(self, change, limit=None):
        count = self._counts.get(change.sessionKey, 0)
        if limit is not None and limit.onExceed == "refuse" and count >= limit.maximum:
            return fail(TooManySessions(limit.maximum))
        self._counts[change.sessionKey] = count + 1
        return super().logInSession(change, limit)


class LettingInStore(MemoryStore):
    """
    Says that there are too many, having let the session in.
    """

    def logInSession(self, change, limit=None):
        answer = super().logInSession(change, limit)

        def save(failure):
            failure.trap(TooManySessions)
            return self.saveSession(change).addCallback(lambda _: failure)

        return answer.addErrback(save)


class CredulousStore(MemoryStore):
    """
    Lets in whatever version and verifier a log-in expects.
    """

    def logInSession(self, change, limit=None):
        change = attrs.evolve(change, expectedVersion=None, expectedVerifier=None)
        return super().logInSession(change, limit)


class SilentEvictionStore(MemoryStore):
    """
    Does not say who had to leave.
    """

    def logInSession(self, change, limit=None):
        answer = super().logInSession(change, limit)
        return answer.addCallback(lambda a: attrs.evolve(a, evicted=()))


class ThoroughStore(MemoryStore):
    """
    Excepts nobody.
    """

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        return super().endSessions(sessionKey, reason)


class LoudStore(MemoryStore):
    """
    Ends the sessions of all owners with similar names.
    """

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        owners = [o for o in self._owned if o.strip().lower() == sessionKey.strip().lower()]
        endings = []
        for owner in [*owners, sessionKey]:
            super().endSessions(owner, reason, exceptFor).addCallback(endings.extend)
        return succeed(endings)


class DoublyClearingStore(MemoryStore):
    """
    Gives the sessions that were there when it was asked, whoever else ends them.
    """

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        found = list(self._owned.get(sessionKey, ()))
        records = [self._records[sid] for sid in found if sid != exceptFor]

        def end(_):
            ended = MemoryStore.endSessions(self, sessionKey, reason, exceptFor)
            return ended.addCallback(lambda _: [Ending(record, reason) for record in records])

        return aTurn().addCallback(end)
