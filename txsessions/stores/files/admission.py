"""
What lets owners in, only so many times, and puts them out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from ...errors import SessionEnded
from ...lifetime import EVICTED, REVOKED
from ...limit import SessionLimit
from ...record import Change, Record
from ..claim import Ending, LogIn
from .directory import Directory
from .keeper import Keeper
from .owners import Owner, Owners
from .shard import Shard, byShard, shardOf


class Admission:
    """
    Does what concerns all sessions of an owner.  For one thread.

    The lock of the owner comes first, then those of the shards that are needed,
    in their order: so nobody waits for somebody who waits for him.

    @ivar _directory: Where the files are.
    @ivar _owners: Which sessions an owner has.
    @ivar _keeper: What changes the files.
    """

    def __init__(self, directory: Directory, owners: Owners, keeper: Keeper) -> None:
        self._directory = directory
        self._owners = owners
        self._keeper = keeper

    def logIn(
        self, sessionKey: str, change: Change, limit: SessionLimit | None, now: float
    ) -> LogIn:
        """
        Apply a change that gives a session an owner, and make room for it.

        @param now: The time on the store's clock.
        @raise SessionEnded: It has, or it was ended now because the log-in is
            too late.
        @raise TooManySessions: There is no room.
        """
        with self._owners.locked(sessionKey) as owner:
            with self._directory.shard(shardOf(change.sid)) as shard:
                self._keeper.changed(shard, change)
            if _isLate(owner, change, now):
                self._refuse(change, now)
            others = [] if limit is None else self._owned(owner, sessionKey)
            leaving = [] if limit is None else limit.evicted(others, change.sid)
            owner.add(change.sid)
            owner.sync()
            return self._admit(change, [record.sid for record in leaving], now)

    def mark(self, sessionKey: str, now: float) -> list[str]:
        """
        Mark the moment, after which nobody comes in who was let in before.

        @return: The sessions that the owner has.
        """
        with self._owners.locked(sessionKey) as owner:
            owner.endAt(now)
            return [record.sid for record in self._owned(owner, sessionKey)]

    def end(self, sids: Iterable[str], reason: str, now: float) -> list[Ending]:
        """
        End those of the sessions that live.
        """
        endings: list[Ending | None] = []
        for name, some in byShard(sids):
            with self._directory.shard(name) as shard:
                endings += [self._end(shard, sid, reason, now) for sid in some]
        return [ending for ending in endings if ending is not None]

    def find(self, sessionKey: str) -> list[Record]:
        """
        The live records of an owner, oldest first.

        Nobody logs in while they are read: so these were all there at one
        moment, and no more than a limit says.
        """
        with self._owners.locked(sessionKey) as owner:
            mine = self._owned(owner, sessionKey)
        return sorted(mine, key=lambda record: record.created)

    def records(self, sids: Iterable[str]) -> list[Record]:
        """
        Those of the sessions that are live.
        """
        found: list[object] = []
        for name, some in byShard(sids):
            with self._directory.shard(name) as shard:
                found += [self._keeper.quietly(sid, shard.read, sid) for sid in some]
        return [record for record in found if isinstance(record, Record)]

    def _owned(self, owner: Owner, sessionKey: str) -> list[Record]:
        """
        The live records of an owner.  What is listed and is not among them is
        not listed any longer.
        """
        sids = owner.sids()
        mine = [record for record in self.records(sids) if record.sessionKey == sessionKey]
        for sid in set(sids) - {record.sid for record in mine}:
            owner.discard(sid)
        return mine

    def _refuse(self, change: Change, now: float) -> None:
        """
        End a session whose log-in is older than the end of all sessions of the
        owner.

        @raise SessionEnded: Always.
        """
        self.end([change.sid], REVOKED, now)
        raise SessionEnded(change.sid, REVOKED)

    def _admit(self, change: Change, leaving: Sequence[str], now: float) -> LogIn:
        """
        End sessions, and then apply a change, if it applies.
        """
        mine = shardOf(change.sid)
        with ExitStack() as stack:
            shards: dict[str, Shard] = {}
            for name in sorted({mine, *map(shardOf, leaving)}):
                shards[name] = stack.enter_context(self._directory.shard(name))
                shards[name].lock()
            self._keeper.changed(shards[mine], change)
            found = [self._evict(shards[shardOf(sid)], sid, change, now) for sid in leaving]
            # Those who leave are gone for good before the new one is there.
            for shard in shards.values():
                shard.sync()
            version = self._keeper.save(shards[mine], change)
        return LogIn(version, [ending for ending in found if ending is not None])

    def _end(self, shard: Shard, sid: str, reason: str, now: float) -> Ending | None:
        """
        End a session, if it lives.
        """
        keeper = self._keeper
        return keeper.quietly(sid, keeper.end, shard, sid, lambda record: reason, now)

    def _evict(self, shard: Shard, sid: str, change: Change, now: float) -> Ending | None:
        """
        End a session, if it is still that of the owner who logs in.
        """

        def reasonOf(record: Record) -> str | None:
            return EVICTED if record.sessionKey == change.sessionKey else None

        return self._keeper.quietly(sid, self._keeper.end, shard, sid, reasonOf, now)


def _isLate(owner: Owner, change: Change, now: float) -> bool:
    """
    Whether a log-in is older than the last end of all sessions of the owner.
    """
    authenticated, ended = change.authenticatedAt, owner.endedAt(now)
    return authenticated is not None and ended is not None and authenticated < ended
