"""
The live sessions of one process.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from hmac import compare_digest
from typing import Any, Final
from weakref import WeakValueDictionary

from ..token import sidOf

MAXIMUM_RESTING: Final = 10_000
"""
How many live sessions are kept ready that nobody uses at the moment and of
which the store knows everything.
"""


class LiveSessions(MutableMapping[bytes, Any]):
    """
    The live sessions by their C{uid}, as stock Twisted's C{site.sessions}.

    Inside they are found by the public handle, and the whole token is compared
    in constant time then.

    A session that nobody uses at the moment and of which the store knows
    everything rests: the most recently used of these are kept ready, and of the
    others one is found again as long as anybody holds it.

    @ivar _active: Sessions by C{sid} that are in use, or have something to them
        that is in this process only.
    @ivar _resting: The others that are kept ready, least recently used first.
    @ivar _held: The others, as long as anybody else holds them.
    """

    def __init__(self) -> None:
        self._active: dict[str, Any] = {}
        self._resting: dict[str, Any] = {}
        self._held: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def bySid(self, sid: str) -> Any:
        """
        The live session of a public handle, or C{None}.
        """
        return self._active.get(sid) or self._resting.get(sid) or self._held.get(sid)

    def wake(self, session: Any) -> None:
        """
        Somebody uses a session.
        """
        sid = session.sid
        if sid not in self._active:
            self._active[sid] = session
            self._resting.pop(sid, None)

    def rest(self, session: Any) -> None:
        """
        Nobody uses a session, and the store knows everything of it.
        """
        sid = session.sid
        if self._active.pop(sid, None) is None:
            return
        self._resting[sid] = session
        if len(self._resting) > MAXIMUM_RESTING:
            oldest = next(iter(self._resting))
            self._held[oldest] = self._resting.pop(oldest)

    def rename(self, before: bytes, session: Any) -> None:
        """
        A session has got another C{uid}.
        """
        self._take(sidOf(before))
        self._active[session.sid] = session

    def __getitem__(self, uid: bytes) -> Any:
        session = self.bySid(sidOf(uid))
        if session is None or not compare_digest(session.uid, uid):
            raise KeyError("no live session has this uid")
        return session

    def __setitem__(self, uid: bytes, session: Any) -> None:
        sid = sidOf(uid)
        self._take(sid)
        self._active[sid] = session

    def __delitem__(self, uid: bytes) -> None:
        self[uid]
        self._take(sidOf(uid))

    def __iter__(self) -> Iterator[bytes]:
        for sessions in (self._active, self._resting):
            for session in list(sessions.values()):
                yield session.uid

    def __len__(self) -> int:
        return len(self._active) + len(self._resting)

    def __repr__(self) -> str:
        return f"<{len(self)} live sessions>"

    def _take(self, sid: str) -> None:
        """
        Take out whatever has this public handle.
        """
        self._active.pop(sid, None)
        self._resting.pop(sid, None)
        self._held.pop(sid, None)
