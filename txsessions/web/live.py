"""
The live sessions of one process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from hmac import compare_digest
from typing import Any, Final
from weakref import WeakValueDictionary

from ..token import sidOf

MAXIMUM: Final = 10_000
"""
How many live sessions are kept of which the store knows everything.
"""

MAXIMUM_LOOKS: Final = 4
"""
How many sessions are looked at for one to be let go of, when one comes.  More
than one, so that their number goes down when many could not be let go of.
"""


class LiveSessions(MutableMapping[bytes, Any]):
    """
    The live sessions by their C{uid}, as stock Twisted's C{site.sessions}.

    Inside they are found by the public handle, and the whole token is compared
    in constant time then.

    When there are too many, those that came first and of which the store knows
    everything are let go of; as long as anybody else holds such a one, it is
    found again.

    @ivar _kept: Sessions by C{sid}.
    @ivar _letGo: Those that were let go of, as long as anybody holds them.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._letGo: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def bySid(self, sid: str) -> Any:
        """
        The live session of a public handle, or C{None}.
        """
        session = self._kept.get(sid)
        return self._letGo.get(sid) if session is None else session

    def keep(self, session: Any) -> None:
        """
        Somebody uses a session.
        """
        sid = session.sid
        if sid not in self._kept:
            self._letGo.pop(sid, None)
            self._kept[sid] = session
            self._makeRoom()

    def rename(self, before: bytes, session: Any) -> None:
        """
        A session has got another C{uid}.
        """
        self._take(sidOf(before))
        self._kept[session.sid] = session

    def __getitem__(self, uid: bytes) -> Any:
        session = self.bySid(sidOf(uid))
        if session is None or not compare_digest(session.uid, uid):
            raise KeyError("no live session has this uid")
        return session

    def __setitem__(self, uid: bytes, session: Any) -> None:
        sid = sidOf(uid)
        self._take(sid)
        self._kept[sid] = session
        self._makeRoom()

    def __delitem__(self, uid: bytes) -> None:
        self[uid]
        self._take(sidOf(uid))

    def __iter__(self) -> Iterator[bytes]:
        for session in list(self._kept.values()):
            yield session.uid

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<{len(self)} live sessions>"

    def _take(self, sid: str) -> None:
        """
        Take out whatever has this public handle.
        """
        self._kept.pop(sid, None)
        self._letGo.pop(sid, None)

    def _makeRoom(self) -> None:
        """
        Let go of a session, if there are too many.
        """
        for _ in range(MAXIMUM_LOOKS):
            if len(self._kept) <= MAXIMUM:
                return
            sid, session = self._kept.popitem(last=False)
            if getattr(session, "isPlain", bool)():
                self._letGo[sid] = session
            else:
                self._kept[sid] = session
