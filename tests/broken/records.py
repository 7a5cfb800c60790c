"""
Stores that keep records badly.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed

from txsessions.lifetime import deadline
from txsessions.record import apply
from txsessions.stores.memory import MemoryStore
from txsessions.testing.stores import proceedAfter

from .turns import aTurn


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


class TruthyStore(MemoryStore):
    """
    Answers with something that is true, where True is due.
    """

    def hasSession(self, sid):
        return succeed(self._records.get(sid))


class OvertakingStore(MemoryStore):
    """
    Treats the saves of one session in any order.
    """

    turn = False

    def saveSession(self, change):
        self.turn = not self.turn
        before = aTurn() if self.turn else succeed(None)
        return proceedAfter(before, lambda: MemoryStore.saveSession(self, change))


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
