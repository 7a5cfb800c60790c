"""
The live sessions of one process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final
from weakref import ref

from ..session import Session
from ..token import INSECURE, SID_BYTES, sidOf

MAXIMUM: Final = 12_500
"""
How many live sessions are kept of which the store knows everything: as many as the
garbage collector looks at in some 30 milliseconds.
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
    @ivar _letGo: Weak references to those that were let go of, as long as
        anybody holds them.
    @ivar _lost: The handles of those that nobody has held since, and of which
        C{_gone} has not been told: it is not done while memory is being freed,
        in the midst of whatever there is.
    @ivar _gone: Called with the handle of one that is no more.
    @ivar _others: What else was put in, by the key under which it was: sessions
        of other classes, or under another key than their C{uid}.
    """

    def __init__(self, gone: Callable[[str], object] | None = None) -> None:
        self._gone = gone
        self._lost: list[str] = []
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._letGo: dict[str, ref[Any]] = {}
        self._others: dict[bytes, Any] = {}

    def bySid(self, sid: str) -> Any:
        """
        The live session of a public handle, or C{None}.
        """
        session = self._kept.get(sid)
        if session is None:
            held = self._letGo.get(sid)
            return None if held is None else held()
        return session

    def byToken(self, token: bytes) -> Any:
        """
        One that is kept, which a token of the stock form may open; or C{None}.
        """
        return self._kept.get(token[: 2 * SID_BYTES].decode("latin-1"))

    @property
    def hasOthers(self) -> bool:
        """
        Whether there are any that no public handle finds.
        """
        return bool(self._others)

    def keep(self, session: Any) -> None:
        """
        Somebody uses a session.
        """
        if session.sid not in self._kept:
            self._keep(session)

    def letGo(self, session: Any) -> None:
        """
        Nobody will ask for this session, unless somebody holds it.
        """
        if self._kept.pop(session.sid, None) is not None:
            self._hold(session.sid, session)

    def all(self) -> list[Session]:
        """
        The sessions of our class that are kept.
        """
        return list(self._kept.values())

    def forget(self, session: Session) -> None:
        """
        Take out a session, whatever its C{uid} is by now.
        """
        if self.bySid(session.sid) is session:
            self._kept.pop(session.sid, None)
            self._letGo.pop(session.sid, None)

    def __getitem__(self, uid: bytes) -> Any:
        session = self.bySid(sidOf(uid))
        if session is not None and _opens(uid, session):
            return session
        if uid in self._others:
            return self._others[uid]
        raise KeyError("no live session has this uid")

    def __setitem__(self, uid: bytes, session: Any) -> None:
        self._take(uid)
        if isinstance(session, Session) and session.uid == uid:
            self._keep(session)
        else:
            self._others[uid] = session

    def __delitem__(self, uid: bytes) -> None:
        self[uid]
        self._take(uid)

    def __iter__(self) -> Iterator[bytes]:
        # One that has got another token elsewhere has none that is known here.
        yield from [each.uid for each in self._kept.values() if _opens(each.uid, each)]
        yield from list(self._others)

    def __len__(self) -> int:
        return len(self._kept) + len(self._others)

    def __repr__(self) -> str:
        return f"<{len(self)} live sessions>"

    def _take(self, uid: bytes) -> None:
        """
        Take out what has this C{uid}, or the public handle of it.
        """
        sid = sidOf(uid)
        self._kept.pop(sid, None)
        self._letGo.pop(sid, None)
        self._others.pop(uid, None)

    def _keep(self, session: Session) -> None:
        """
        Know a session whether anybody holds it or not.
        """
        session.isLetGo = False
        self._letGo.pop(session.sid, None)
        self._kept[session.sid] = session
        self._makeRoom()

    def _hold(self, sid: str, session: Any) -> None:
        """
        Know a session as long as anybody holds it, and say when nobody does.
        """
        session.isLetGo = True
        if isinstance(session, Session):
            session.rest()

        def lose(former: ref[Any]) -> None:
            if self._letGo.get(sid) is former:
                del self._letGo[sid]
                self._lost.append(sid)

        self._letGo[sid] = ref(session, lose)
        while self._lost:
            lost = self._lost.pop()
            if self._gone is not None and self.bySid(lost) is None:
                self._gone(lost)

    def _makeRoom(self) -> None:
        """
        Let go of a session, if there are too many.
        """
        for _ in range(MAXIMUM_LOOKS):
            if len(self._kept) <= MAXIMUM:
                return
            sid, session = self._kept.popitem(last=False)
            if session.isPlain():
                self._hold(sid, session)
            else:
                self._kept[sid] = session


def _opens(uid: bytes, session: Session) -> bool:
    """
    Whether a token opens a session.
    """
    return session.isOpenedBy(uid, session.audience or INSECURE)
