"""
Stores that are down, closed, damaged or locked, rightly and badly.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import alsoProvides, implementer

from txsessions.errors import CorruptRecord, SessionNotFound, UnknownKey
from txsessions.interfaces import IConnectedStore
from txsessions.lifetime import REVOKED
from txsessions.stores.claim import Claim
from txsessions.stores.memory import MemoryStore
from txsessions.testing import WrappingStore

from .turns import aTurn


class DownStore(WrappingStore):
    """
    Answers "absent" while it is down.
    """

    isDown = False

    def around(self, call, proceed):
        return succeed(None) if self.isDown else proceed()


class SlowStore(WrappingStore):
    """
    Right, with a connection: every operation takes a turn of the reactor, and the
    store can be closed.
    """

    def __init__(self, store):
        super().__init__(store)
        alsoProvides(self, IConnectedStore)
        self._last = succeed(None)

    def around(self, call, proceed):
        answer, done = Deferred(), Deferred()

        def begin(_):
            aTurn().addCallback(lambda _: proceed()).addBoth(self._answer, answer, done)

        before, self._last = self._last, done
        before.addCallback(begin)
        return answer

    def _answer(self, result, answer, done):
        answer.callback(result)
        done.callback(None)

    def close(self):
        closed = Deferred()
        before, self._last = self._last, Deferred()
        last = self._last
        before.addCallback(lambda _: (closed.callback(None), last.callback(None)))
        return closed


class HastyStore(SlowStore):
    """
    Closes at once, whatever is under way.
    """

    def close(self):
        return succeed(None)


class StuckStore(SlowStore):
    """
    Cannot be used again after it was closed.
    """

    isClosed = False

    def close(self):
        self.isClosed = True
        return super().close()

    def around(self, call, proceed):
        if self.isClosed:
            return fail(SessionNotFound("0" * 32))
        return super().around(call, proceed)


class DamagedStore(MemoryStore):
    """
    Right, and can be damaged: what is damaged is put aside when it is met.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self.damaged = set()

    def _putAside(self, sid):
        self.damaged.discard(sid)
        self._deadlines.discard(sid)
        self._disown(self._records.pop(sid))

    def _check(self, sid):
        if sid in self.damaged:
            self._putAside(sid)
            raise CorruptRecord(sid, "spoilt by the test")

    def loadSession(self, sid, default=None):
        def load():
            self._check(sid)
            return MemoryStore.loadSession(self, sid, default)

        return maybeDeferred(load)

    def saveSession(self, change):
        def save():
            self._check(change.sid)
            return MemoryStore.saveSession(self, change)

        return maybeDeferred(save)

    def claimExpired(self, limit):
        for sid in list(self.damaged):
            self._putAside(sid)
        return super().claimExpired(limit)

    def _ownedBy(self, sessionKey):
        for sid in self.damaged.intersection(self._owned.get(sessionKey, ())):
            self._putAside(sid)
        return super()._ownedBy(sessionKey)

    def endSessions(self, sessionKey, reason=REVOKED, exceptFor=None):
        self._ownedBy(sessionKey)
        return super().endSessions(sessionKey, reason, exceptFor)

    async def iterSessions(self):
        async for sid, record in super().iterSessions():
            if sid not in self.damaged:
                yield sid, record


class SilentlyDamagedStore(DamagedStore):
    """
    Says "absent" of a damaged record.
    """

    def _check(self, sid):
        if sid in self.damaged:
            self._putAside(sid)


class BlockedStore(DamagedStore):
    """
    Never gets past a damaged record.
    """

    def _ownedBy(self, sessionKey):
        for sid in self.damaged.intersection(self._owned.get(sessionKey, ())):
            raise CorruptRecord(sid, "spoilt by the test")
        return super()._ownedBy(sessionKey)

    def claimExpired(self, limit):
        return succeed(Claim([], 0.0)) if self.damaged else super().claimExpired(limit)


@implementer(IConnectedStore)
class AmnesicStore(MemoryStore):
    """
    Knows no ends after it was closed.
    """

    def close(self):
        self._ends.forget(self._now() + 10**6)
        return succeed(None)


class LockedStore(WrappingStore):
    """
    Right, without the key: knows that it cannot read.
    """

    def around(self, call, proceed):
        if call.name == "loadSession":
            return fail(UnknownKey("the key of this record is not among the keys"))
        return proceed()


class WipingStore(WrappingStore):
    """
    Ends what it cannot read.
    """

    def around(self, call, proceed):
        if call.name == "loadSession":
            self.store.deleteSession(call.sid)
            return fail(UnknownKey("the key of this record is not among the keys"))
        return proceed()
