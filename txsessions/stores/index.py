"""
What one process knows of the records of a store, so that it need not read them
all to find those that are due or those of an owner.

It is a guide and never the truth: whoever acts on a session reads its record.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import msgspec

from ..deadlines import Deadlines
from ..lifetime import deadline
from ..record import Record
from .remembrance import MAXIMUM


class Known(msgspec.Struct, frozen=True, gc=False):
    """
    What is known of one session.

    Nothing in it leads back to it, so Python's collector of garbage need not
    know of it: one that looks at hundreds of thousands holds the reactor.

    @ivar due: When the session ends, or when its end may be forgotten, in
        seconds on the store's clock.
    @ivar sessionKey: The owner of a live session.
    @ivar isLive: Whether it is a live session, and not an end.
    @ivar signature: What tells the text that this was read from from a later
        one; C{None}: nothing does.
    """

    due: float
    sessionKey: str | None
    isLive: bool
    signature: Any

    def __repr__(self) -> str:
        return f"<Known, {'live' if self.isLive else 'ended'}, due {self.due}>"


class Index:
    """
    The sessions, by deadline and by owner.

    @ivar _known: What is known of each session, by C{sid}.
    @ivar _owned: The sessions of each owner.
    @ivar _sessions: Deadlines of live sessions.
    @ivar _ends: When ends may be forgotten.
    @ivar _maximum: How many ends are remembered at the most.
    """

    def __init__(self, maximum: int = MAXIMUM) -> None:
        self._known: dict[str, Known] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._sessions = Deadlines(self._dueOf)
        self._ends = Deadlines(self._dueOf)
        self._maximum = maximum

    def __contains__(self, sid: str) -> bool:
        return sid in self._known

    def __iter__(self) -> Iterator[str]:
        """
        The live sessions that are known.
        """
        return iter([sid for sid, known in self._known.items() if known.isLive])

    def ownerOf(self, sid: str) -> str | None:
        """
        The owner of a live session, as far as is known.
        """
        known = self._known.get(sid)
        return None if known is None else known.sessionKey

    def signature(self, sid: str) -> Any:
        """
        What tells the text that is known of a session from a later one.
        """
        known = self._known.get(sid)
        return None if known is None else known.signature

    def put(self, record: Record, signature: Any = None) -> None:
        """
        Note a live record.
        """
        known = Known(deadline(record), record.sessionKey, True, signature)
        self._put(record.sid, known)

    def putEnd(self, sid: str, due: float, signature: Any = None) -> None:
        """
        Note that a session has ended.

        @param due: When that may be forgotten, in seconds on the store's
            clock.
        """
        self._put(sid, Known(due, None, False, signature))

    def drop(self, sid: str) -> None:
        """
        Note that there is no such session any more.
        """
        known = self._known.pop(sid, None)
        if known is None:
            return
        self._watching(known).discard(sid)
        if known.sessionKey is not None:
            owned = self._owned[known.sessionKey]
            owned.pop(sid, None)
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
        Watch a session that was taken out and could not be dealt with: look
        at it again at that time, in seconds on the store's clock.
        """
        known = self._known.get(sid)
        if known is not None:
            self._watching(known).discard(sid)
            self._watching(known).add(sid, time)

    def _put(self, sid: str, known: Known) -> None:
        """
        Note what is known of a session.
        """
        old = self._known.get(sid)
        if old is not None and (old.isLive, old.sessionKey) != (known.isLive, known.sessionKey):
            self.drop(sid)
        self._known[sid] = known
        if known.sessionKey is not None:
            self._owned.setdefault(known.sessionKey, {})[sid] = None
        self._watching(known).add(sid, known.due)

    def _watching(self, known: Known) -> Deadlines:
        """
        Where what is due is waited for.
        """
        return self._sessions if known.isLive else self._ends

    def _dueOf(self, sid: str) -> float | None:
        """
        For L{Deadlines}.
        """
        known = self._known.get(sid)
        return None if known is None else known.due
