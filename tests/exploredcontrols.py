"""
Stores that do not come through a scenario.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from txsessions.lifetime import REVOKED, deadline
from txsessions.record import AUTHENTICATED, Change, Record
from txsessions.stores.claim import Claim, Ending
from txsessions.stores.memory import MemoryStore


class RevivingStore(MemoryStore):
    """
    Saves what has ended: broken on purpose.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        last = vars(self).setdefault("last", {}).get(change.sid)
        if last is not None and change.sid not in self._records:
            self._put(last)
        return super().saveSession(change)

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        vars(self).setdefault("last", {})[sid] = self._records.get(sid)
        return super().deleteSession(sid, reason)


class LosingStore(MemoryStore):
    """
    Writes what it has read when the session was last loaded: broken on purpose.
    """

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        self.read = self._records.get(sid)
        return super().loadSession(sid, default)

    def saveSession(self, change: Change) -> Deferred[int]:
        record = self._records.get(change.sid)
        read = vars(self).get("read")
        if record is not None and read is not None and change.set:
            self._records[change.sid] = attrs.evolve(record, attributes=read.attributes)
        return super().saveSession(change)


class IndifferentStore(MemoryStore):
    """
    Does not care which token a change is for: broken on purpose.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        return super().saveSession(attrs.evolve(change, expectedVerifier=None))


class TouchlessStore(MemoryStore):
    """
    Sweeps by what was due when the sweeper last looked, some while ago, and not by
    what was touched since: broken on purpose.
    """

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        soon = self._now() + 10
        due = [each for each in self._records.values() if each.created + 1800 < soon]
        return succeed(
            Claim(
                [Ending(self._end(each.sid, "expired-idle"), "expired-idle") for each in due], None
            )
        )


class LateTouchingStore(MemoryStore):
    """
    Takes a touch for a life: broken on purpose.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        record = self._records.get(change.sid)
        if record is not None and change.lastModified is not None:
            touched = attrs.evolve(record, lastModified=change.lastModified)
            self._records[change.sid] = touched
            self._deadlines.add(change.sid, deadline(touched))
        return super().saveSession(change)


class DoublyClaimingStore(MemoryStore):
    """
    Gives an ending to each who sweeps: broken on purpose.
    """

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        def note(claim: Claim) -> Claim:
            self.endings = [*vars(self).get("endings", ()), *claim.endings]
            return attrs.evolve(claim, endings=list(self.endings))

        return super().claimExpired(limit).addCallback(note)


class ReissuingStore(MemoryStore):
    """
    Writes the token back that it has read when the session was last loaded: broken
    on purpose.
    """

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        record = self._records.get(sid)
        vars(self).setdefault("verifiers", {})[sid] = record and record.verifier
        return super().loadSession(sid, default)

    def saveSession(self, change: Change) -> Deferred[int]:
        record = self._records.get(change.sid)
        read = vars(self).get("verifiers", {}).get(change.sid)
        done = super().saveSession(change)
        if record is not None and read is not None and change.set:
            self._records[change.sid] = attrs.evolve(self._records[change.sid], verifier=read)
        return done


class FencelessStore(MemoryStore):
    """
    Lets in whoever comes after a clear: broken on purpose.
    """

    def logInSession(self, change: Change, limit: Any = None) -> Deferred[Any]:
        unset = change.unset | {AUTHENTICATED}
        facts = {name: text for name, text in change.set.items() if name not in unset}
        return super().logInSession(attrs.evolve(change, set=facts), limit)


class RoomyStore(MemoryStore):
    """
    Lets in whoever found room when he was asked the last time: broken on purpose.
    """

    def logInSession(self, change: Change, limit: Any = None) -> Deferred[Any]:
        isFirst, self.isAsked = not vars(self).get("isAsked"), True
        return super().logInSession(change, limit if isFirst else None)


class GenerousStore(MemoryStore):
    """
    Gives what somebody has taken to others too: broken on purpose.
    """

    def takeEndings(self, observer: str, limit: int, lease: float) -> Deferred[Any]:
        return super().takeEndings(observer, limit, 0.0)


CONTROLS: dict[str, tuple[str, type[MemoryStore]]] = {
    "lost key": ("three writers", LosingStore),
    "revival after the end": ("overlap", RevivingStore),
    "two tokens": ("two tabs", IndifferentStore),
    "touched session swept": ("touch at T-1", TouchlessStore),
    "late touch": ("touch at T+1", LateTouchingStore),
    "ending given twice": ("touch at T", DoublyClaimingStore),
    "cookie of a dead token": ("rework and save", ReissuingStore),
    "log-in after a clear": ("clear and log-in", FencelessStore),
    "more sessions than allowed": ("limited log-ins", RoomyStore),
    "ending told twice": ("two tellers", GenerousStore),
}
"""
What goes wrong: in which scenario, with which store.
"""
