"""
What one process knows of the files, so that it need not read them all to find
those that are due or those of an owner.

It is a guide and never the truth: whoever acts on a session reads its file
under the lock.
"""

from __future__ import annotations

from math import inf
from typing import Final

import attrs

from ...deadlines import Deadlines
from ...lifetime import deadline
from ...record import Record
from ..remembrance import MAXIMUM, RETENTION
from .shard import Signature, shardOf
from .text import End

SETTLING: Final = 2_000_000_000
"""
How old a change must be, in nanoseconds, before its time tells it from a later
one: file systems keep time in steps, the coarsest of two seconds.
"""


@attrs.frozen
class Known:
    """
    What is known of one file.

    @ivar due: When the session ends, or when its end may be forgotten, in
        seconds on the store's clock.
    @ivar sessionKey: The owner of a live session.
    @ivar isLive: Whether it is a live session, and not an end.
    @ivar signature: Which file this was read from; C{None}: not known, or too
        young to tell it from the next.
    """

    due: float
    sessionKey: str | None
    isLive: bool
    signature: Signature | None


class Index:
    """
    The files, by deadline and by owner.

    @ivar _known: For each shard what is known of its files, by C{sid}.
    @ivar _owned: The sessions of each owner.
    @ivar _sessions: Deadlines of live sessions.
    @ivar _ends: When ends may be forgotten.
    @ivar _maximum: How many ends are remembered at the most.
    """

    def __init__(self, maximum: int = MAXIMUM) -> None:
        self._known: dict[str, dict[str, Known]] = {}
        self._owned: dict[str, set[str]] = {}
        self._sessions = Deadlines(self._dueOf)
        self._ends = Deadlines(self._dueOf)
        self._maximum = maximum

    def signature(self, sid: str) -> Signature | None:
        """
        Which file is known of a session.
        """
        known = self._get(sid)
        return None if known is None else known.signature

    def inShard(self, name: str) -> list[str]:
        """
        The sessions whose files are known, of one shard.
        """
        return list(self._known.get(name, ()))

    def put(self, found: Record | End, signature: Signature | None = None) -> None:
        """
        Note what a file says.
        """
        if isinstance(found, End):
            known = Known(found.time + RETENTION, None, False, signature)
        else:
            known = Known(deadline(found), found.sessionKey, True, signature)
        old = self._get(found.sid)
        if old is not None and (old.isLive, old.sessionKey) != (known.isLive, known.sessionKey):
            self.drop(found.sid)
        self._known.setdefault(shardOf(found.sid), {})[found.sid] = known
        if known.sessionKey is not None:
            self._owned.setdefault(known.sessionKey, set()).add(found.sid)
        self.again(found.sid, known.due)

    def drop(self, sid: str) -> None:
        """
        Note that there is no such file any more.
        """
        known = self._get(sid)
        if known is None:
            return
        del self._known[shardOf(sid)][sid]
        (self._sessions if known.isLive else self._ends).discard(sid)
        if known.sessionKey is not None:
            owned = self._owned[known.sessionKey]
            owned.discard(sid)
            if not owned:
                del self._owned[known.sessionKey]

    def owned(self, sessionKey: str) -> list[str]:
        """
        The sessions that an owner is known to have.
        """
        return list(self._owned.get(sessionKey, ()))

    def next(self) -> float | None:
        """
        As L{Deadlines.next}, of live sessions.
        """
        return self._sessions.next()

    def popDue(self, now: float, limit: int) -> list[str]:
        """
        As L{Deadlines.popDue}, of live sessions.  L{put} or L{again} follows,
        or L{drop}.
        """
        return self._sessions.popDue(now, limit)

    def popForgotten(self, now: float, limit: int) -> list[str]:
        """
        Ends that need not be remembered any longer, or are too many, the
        oldest first.
        """
        excess = len(self._ends) - self._maximum
        if excess > 0:
            return self._ends.popDue(inf, min(excess, limit))
        return self._ends.popDue(now, limit)

    def again(self, sid: str, time: float) -> None:
        """
        Watch a session that was taken out and has not been dealt with: look
        at it again at that time, in seconds on the store's clock.
        """
        known = self._get(sid)
        if known is not None:
            (self._sessions if known.isLive else self._ends).add(sid, time)

    def _get(self, sid: str) -> Known | None:
        """
        What is known of a session's file.
        """
        return self._known.get(shardOf(sid), {}).get(sid)

    def _dueOf(self, sid: str) -> float | None:
        """
        For L{Deadlines}.
        """
        known = self._get(sid)
        return None if known is None else known.due
