"""
Stores that break one promise each, on purpose, for the tests of the contract.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import deferLater
from zope.interface import alsoProvides, implementer

from txsessions.errors import CorruptRecord, SessionEnded, SessionNotFound, UnknownKey
from txsessions.interfaces import IConnectedStore
from txsessions.lifetime import IDLE, REVOKED, deadline
from txsessions.record import apply
from txsessions.stores.claim import Claim, Ending
from txsessions.stores.memory import MemoryStore
from txsessions.testing import WrappingStore
from txsessions.testing.stores import proceedAfter


def aTurn() -> Deferred:
    """
    The next turn of the reactor, in which others had theirs.
    """
    from twisted.internet import reactor

    return deferLater(reactor, 0)


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

    def _end(self, sid, reason):
        self._last[sid] = super()._end(sid, reason)
        return self._last[sid]


class CreatingStore(MemoryStore):
    """
    Creates a session under a handle whose end is remembered.
    """

    def createSession(self, record):
        if record.sid in self._records:
            return succeed(False)
        self._ends._reasons.pop(record.sid, None)
        return super().createSession(record)


class ReplacingStore(MemoryStore):
    """
    Replaces a session by another of the same handle.
    """

    def createSession(self, record):
        self._records.pop(record.sid, None)
        return super().createSession(record)


class OverwritingStore(MemoryStore):
    """
    Writes whole records, as they were read a moment ago.
    """

    async def _overwrite(self, record, change):
        await aTurn()
        if change.sid not in self._records:
            raise self._gone(change.sid)
        self._records[change.sid] = apply(record, change)
        return self._records[change.sid].version

    def saveSession(self, change):
        record = self._records.get(change.sid)
        if record is None:
            return super().saveSession(change)
        return Deferred.fromCoroutine(self._overwrite(record, change))


class DoublyEndingStore(MemoryStore):
    """
    Gives the record to whoever asked while it was there.
    """

    def deleteSession(self, sid, reason=REVOKED):
        record = self._records.get(sid)
        ended = aTurn().addCallback(lambda _: MemoryStore.deleteSession(self, sid, reason))
        return ended.addCallback(lambda _: record)


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


class GoingBackStore(MemoryStore):
    """
    Takes the time of a touch as it comes.
    """

    def saveSession(self, change):
        def goBack(version):
            if change.lastModified is not None:
                record = self._records[change.sid]
                moved = attrs.evolve(record, lastModified=change.lastModified)
                self._records[change.sid] = moved
            return version

        return super().saveSession(change).addCallback(goBack)


class TouchCountingStore(MemoryStore):
    """
    Counts touches as changes of content.
    """

    def saveSession(self, change):
        def count(version):
            record = self._records[change.sid]
            self._records[change.sid] = attrs.evolve(record, version=version + change.isTouch)
            return self._records[change.sid].version

        return super().saveSession(change).addCallback(count)


class LateTouchingStore(MemoryStore):
    """
    Takes a touch that comes after the deadline.
    """

    def saveSession(self, change):
        answer = super().saveSession(change)
        if change.sid in self._records and change.lastModified is not None:
            answer.addErrback(
                lambda _: self._put(
                    attrs.evolve(self._records[change.sid], lastModified=change.lastModified)
                )
            )
        return answer


class VersionlessStore(MemoryStore):
    """
    Does not look at the version that a change expects.
    """

    def saveSession(self, change):
        return super().saveSession(attrs.evolve(change, expectedVersion=None))


class VerifierlessStore(MemoryStore):
    """
    Does not look at the verifier that a change expects.
    """

    def saveSession(self, change):
        return super().saveSession(attrs.evolve(change, expectedVerifier=None))


class KeepingStore(MemoryStore):
    """
    Never removes an attribute.
    """

    def saveSession(self, change):
        return super().saveSession(attrs.evolve(change, unset=frozenset()))


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

    def _end(self, sid, reason):
        self._deadlines.add(sid, deadline(self._records[sid]))
        return self._records[sid]


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


class ForgetfulStore(MemoryStore):
    """
    Remembers no end.
    """

    def _end(self, sid, reason):
        record = super()._end(sid, reason)
        self._ends.forget(self._now() + 10**6)
        return record


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


class TruthyStore(MemoryStore):
    """
    Answers with something that is true, where True is due.
    """

    def hasSession(self, sid):
        return succeed(self._records.get(sid))


class ReformattingStore(MemoryStore):
    """
    Understands what it keeps.
    """

    def loadSession(self, sid, default=None):
        def reformat(record):
            if not hasattr(record, "attributes"):
                return record
            texts = {name: text.strip(b"\0 ") for name, text in record.attributes.items()}
            texts = {name: text.replace(b"  ", b" ") for name, text in texts.items()}
            return attrs.evolve(record, attributes=texts)

        return super().loadSession(sid, default).addCallback(reformat)


class OvertakingStore(MemoryStore):
    """
    Treats the saves of one session in any order.
    """

    turn = False

    def saveSession(self, change):
        self.turn = not self.turn
        before = aTurn() if self.turn else succeed(None)
        return proceedAfter(before, lambda: MemoryStore.saveSession(self, change))


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

    def _olderThan(self, moment):
        return (sid for sid, record in self._records.items() if record.created <= moment)


class StaleStore(MemoryStore):
    """
    Gives at the end the record of the beginning.
    """

    def deleteSession(self, sid, reason=REVOKED):
        def forget(record):
            return record and attrs.evolve(record, attributes={}, version=1)

        return super().deleteSession(sid, reason).addCallback(forget)


class StrictStore(MemoryStore):
    """
    Says of an overdue session that it is absent.
    """

    def loadSession(self, sid, default=None):
        record = self._records.get(sid)
        isOverdue = record is not None and deadline(record) <= self._now()
        return succeed(default) if isOverdue else super().loadSession(sid, default)


class StubbornStore(MemoryStore):
    """
    Has a default of its own.
    """

    def loadSession(self, sid, default=None):
        return super().loadSession(sid, None)


class CarelessStore(MemoryStore):
    """
    Keeps times in whole seconds, texts up to the first NUL, few attributes, and
    verifiers without blanks at their ends.
    """

    def createSession(self, record):
        kept = attrs.evolve(
            record,
            created=float(int(record.created)),
            sessionTimeout=min(float(int(record.sessionTimeout)), 10.0**6),
            verifier=record.verifier.strip(),
            attributes={
                name.partition("\0")[0]: text
                for name, text in list(record.attributes.items())[:100]
            },
        )
        return super().createSession(kept)


class ShiftingStore(MemoryStore):
    """
    Gives the answer of one who gave up to the next one.
    """

    def __init__(self, clock=None):
        super().__init__(clock)
        self._waiting = []

    def loadSession(self, sid, default=None):
        answer = Deferred()
        self._waiting.append(answer)
        loaded = aTurn().addCallback(lambda _: MemoryStore.loadSession(self, sid, default))
        loaded.addBoth(self._answer)
        return answer

    def _answer(self, result):
        while self._waiting:
            answer = self._waiting.pop(0)
            if not answer.called:
                answer.callback(result)
                return


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
        answer = Deferred()

        def begin(_):
            aTurn().addCallback(lambda _: proceed()).addBoth(self._answer, answer)

        before, self._last = self._last, Deferred()
        answered = self._last
        before.addCallback(begin)
        answer.addBoth(lambda result: (answered.callback(None), result)[1])
        return answer

    def _answer(self, result, answer):
        answer.callback(result)

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

    def findSessions(self, sessionKey):
        found = super().findSessions(sessionKey)
        return found.addCallback(lambda rs: [r for r in rs if r.sid not in self.damaged])

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


class ConfusedStore(MemoryStore):
    """
    Takes an end for a conflict.
    """

    def _gone(self, sid):
        return SessionEnded(sid, REVOKED)
