"""
A model of a store: what the contract says, in so few lines that one can see that
it is right.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from msgspec.structs import replace

from ..errors import SessionEnded, SessionNotFound, TooManySessions, VersionConflict
from ..record import AUTHENTICATED, UNCHANGED, Change, Record


@attrs.frozen
class ModelEnding:
    """
    An ending.

    @ivar moment: When it was, in seconds.
    """

    record: Record
    reason: str
    moment: float


class StoreModel:
    """
    What a store holds, as the contract has it.  It knows no Deferreds, no index
    and no other process, and every present moment is an argument.

    @ivar live: The live records.
    @ivar endings: What has ended, in that order.
    @ivar cleared: For each owner when his sessions were last ended.
    """

    def __init__(self) -> None:
        self.live: dict[str, Record] = {}
        self.endings: dict[str, ModelEnding] = {}
        self.cleared: dict[str, float] = {}

    def create(self, record: Record) -> bool:
        """
        Insert it, if there neither is nor was such a session.
        """
        isFree = record.sid not in self.live and record.sid not in self.endings
        if isFree:
            self.live[record.sid] = record
        return isFree

    def load(self, sid: str) -> Record | None:
        """
        The record; L{None} if there never was one.

        @raise SessionEnded: It has ended.
        """
        if sid in self.endings:
            raise SessionEnded(sid, self.endings[sid].reason)
        return self.live.get(sid)

    def save(self, change: Change) -> int:
        """
        Apply a change; the version after it.
        """
        record = self.load(change.sid)
        if record is None:
            raise SessionNotFound(change.sid)
        for wanted, found in (
            (change.expectedVersion, record.version),
            (change.expectedVerifier, record.verifier),
        ):
            if wanted is not None and wanted != found:
                raise VersionConflict(change.sid)
        touched = change.lastModified
        if touched is not None and touched >= dies(record):
            raise SessionEnded(change.sid, whyDies(record))
        kept = {name: text for name, text in record.attributes.items() if name not in change.unset}
        named = ("sessionKey", "verifier", "sessionTimeout", "absoluteTimeout")
        facts = {name: getattr(change, name) for name in named}
        after = replace(
            record,
            lastModified=max(record.lastModified, touched or 0.0),
            attributes={**kept, **change.set},
            **{name: fact for name, fact in facts.items() if fact is not UNCHANGED},
        )
        isContent = bool(change.set or change.unset) or set(facts.values()) != {UNCHANGED}
        self.live[change.sid] = replace(after, version=record.version + isContent)
        return self.live[change.sid].version

    def logIn(self, change: Change, maximum: int | None, isRefused: bool, now: float) -> list[str]:
        """
        Let an owner in; who has to make room.

        @param maximum: How many sessions he may have.
        @param isRefused: Whether nobody makes room.
        """
        owner = change.sessionKey
        assert isinstance(owner, str)
        before = self.live.get(change.sid)
        self.save(change)
        assert before is not None
        if float(change.set.get(AUTHENTICATED, b"inf")) < self.cleared.get(owner, 0.0):
            self.live[change.sid] = before
            self.end([change.sid], "revoked", now)
            raise SessionEnded(change.sid, "revoked")
        others = sorted(set(self.owned(owner)) - {change.sid}, key=self._loggedIn)
        excess = len(others) - (len(others) if maximum is None else maximum - 1)
        if excess > 0 and isRefused:
            self.live[change.sid] = before
            raise TooManySessions(maximum or 0)
        evicted = others[: max(0, excess)]
        self.end(evicted, "evicted", now)
        return evicted

    def clear(self, owner: str, exceptFor: str | None, now: float) -> list[str]:
        """
        End all sessions of an owner but one; which these were.
        """
        self.cleared[owner] = now
        sids = [sid for sid in self.owned(owner) if sid != exceptFor]
        self.end(sids, "revoked", now)
        return sids

    def end(self, sids: Iterable[str], reason: str, now: float) -> None:
        """
        End sessions.
        """
        for sid in sids:
            if sid in self.live:
                self.endings[sid] = ModelEnding(self.live.pop(sid), reason, now)

    def owned(self, owner: str) -> list[str]:
        """
        The live sessions of an owner, oldest first.
        """
        mine = [record for record in self.live.values() if record.sessionKey == owner]
        return [record.sid for record in sorted(mine, key=lambda record: record.created)]

    def overdue(self, now: float) -> list[Record]:
        """
        The sessions whose deadline has passed, longest overdue first.
        """
        return sorted((each for each in self.live.values() if dies(each) <= now), key=dies)

    def _loggedIn(self, sid: str) -> tuple[float, float, str]:
        """
        In which order sessions have logged in.
        """
        record = self.live[sid]
        moment = record.attributes.get(AUTHENTICATED)
        return (record.created if moment is None else float(moment), record.created, sid)


def dies(record: Record) -> float:
    """
    When a session ends if nobody touches it.
    """
    idle, absolute = record.sessionTimeout, record.absoluteTimeout
    ends = [record.lastModified + idle]
    return min(ends if absolute is None else [*ends, record.created + absolute])


def whyDies(record: Record) -> str:
    """
    Why it ends then.
    """
    isIdle = dies(record) == record.lastModified + record.sessionTimeout
    return "expired-idle" if isIdle else "expired-absolute"
