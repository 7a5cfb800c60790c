"""
A storage of sessions with ids of the caller's own, kept in any store.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.components import registerAdapter
from twisted.python.runtime import seconds
from zope.interface import implementer

from ..errors import StoreUnavailable
from ..interfaces import ISessionStorage, ISessionStore
from ..lifetime import LOGOUT, REVOKED
from ..record import Record
from ..token import sidOf
from .own import ISimpleSessionStore

TIMEOUT: Final = 30 * 24 * 3600.0
"""
How long a session lives that nobody destroys, in seconds from its creation: a
month, so that a device which is put aside for a holiday finds it again.
"""

LIVES: Final = 8
"""
How many lives of one id a store may know of at the same time.  An id that is
chosen at random hardly needs a second one; and whether a session is there is
asked for as many handles.
"""

NOBODY: Final = bytes(32)
"""
The verifier of a session that no token opens: nothing with this digest is known.
"""


@implementer(ISessionStorage)
class StoreStorage:
    """
    Keeps which sessions there are in an L{ISessionStore}.  Any number of
    processes may do so in one store, if that is safe for processes.

    A store remembers the ends of its sessions and lets none of them come
    again, but an id that its client has chosen may.  So each life of an id is a
    session of its own, with a C{sid} made of the id and of the life's number.
    The first number whose session has not been is taken, so that processes
    which create the same id at the same time meet there and only one succeeds.
    As a store forgets ends, low numbers become free again, also while a higher
    one lives; so all L{LIVES} numbers are looked at before and after a life
    begins.

    A session that is not destroyed expires like any other, when whoever sweeps
    the store ends it.
    """

    def __init__(self, store: Any, sessionTimeout: float = TIMEOUT) -> None:
        """
        @param store: Anything that adapts to L{ISessionStore}.
        @param sessionTimeout: How long a session lives that nobody destroys, in
            seconds from its creation.
        """
        self._store = ISessionStore(store)
        self._sessionTimeout = sessionTimeout

    def createSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.createSession}.
        """
        return Deferred.fromCoroutine(self._create(sessionID))

    def hasSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.hasSession}.
        """
        return Deferred.fromCoroutine(self._has(sessionID))

    def destroySession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.destroySession}.
        """
        return Deferred.fromCoroutine(self._destroy(sessionID))

    async def _create(self, sessionID: int | bytes) -> bool:
        """
        Begin a life, unless there is one.

        Each round uses up a number, since a life that was taken back has ended.
        """
        sids = sidsOf(sessionID)
        for _ in sids:
            if await self._has(sessionID):
                return False
            mine = await self._begin(sids)
            if mine is None:
                return False
            others = [sid for sid in sids if sid != mine]
            if not await _live(others, self._store):
                return True
            # Somebody took another number at the same moment, when an end was
            # forgotten.  Both take back what they began, and meet at the next.
            if await self._store.deleteSession(mine, REVOKED) is None:
                return True
        raise _tooOften()

    async def _begin(self, sids: list[str]) -> str | None:
        """
        Begin the first life that has not been.

        @return: Its C{sid}, or C{None} when somebody else did so first.
        """
        for sid in sids:
            if await self._store.createSession(self._recordOf(sid)):
                return sid
            if await self._store.hasSession(sid):
                return None
        raise _tooOften()

    async def _has(self, sessionID: int | bytes) -> bool:
        """
        Whether there is a life.  Nearly always it is the first, so the others
        are asked for only if it is not.
        """
        first, *others = sidsOf(sessionID)
        return await self._store.hasSession(first) or bool(await _live(others, self._store))

    async def _destroy(self, sessionID: int | bytes) -> bool:
        """
        End the life that there is.
        """
        first, *others = sidsOf(sessionID)
        if await self._store.deleteSession(first, LOGOUT) is not None:
            return True
        for sid in await _live(others, self._store):
            if await self._store.deleteSession(sid, LOGOUT) is not None:
                return True
        return False

    def _recordOf(self, sid: str) -> Record:
        """
        The record of a life that begins now.  It does not tell the id.
        """
        clock = self._store.clock
        now = seconds() if clock is None else clock.seconds()
        return Record(
            sid=sid,
            verifier=NOBODY,
            created=now,
            lastModified=now,
            sessionTimeout=self._sessionTimeout,
        )


def sidsOf(sessionID: int | bytes) -> list[str]:
    """
    The public handles of all lives of an id, the first life's first.  No two
    ids have one in common, and neither does a token.

    @raise TypeError: It is no L{int} and no L{bytes}.
    """
    if isinstance(sessionID, int):
        length = sessionID.bit_length() // 8 + 1
        text = b"int\0" + sessionID.to_bytes(length, "big", signed=True)
    elif isinstance(sessionID, bytes):
        text = b"bytes\0" + sessionID
    else:
        raise TypeError(f"a session ID is an int or bytes, and no {type(sessionID).__name__}")
    return [sidOf(b"txsessions storage\0%d\0%b" % (life, text)) for life in range(LIVES)]


async def _live(sids: list[str], store: Any) -> list[str]:
    """
    Which of these lives there are, asked for all at the same time.  A failure
    does not matter if there is any.
    """
    outcomes = await DeferredList(map(store.hasSession, sids), consumeErrors=True)
    live = [sid for sid, (_, answer) in zip(sids, outcomes, strict=True) if answer is True]
    for isDone, answer in outcomes:
        if not isDone and not live:
            answer.raiseException()
    return live


def _tooOften() -> StoreUnavailable:
    """
    The error for an id of which no number is left.
    """
    return StoreUnavailable(
        f"one session ID was created and destroyed {LIVES} times within an hour; "
        "use another one, or wait until the store has forgotten the ends"
    )


registerAdapter(StoreStorage, ISessionStore, ISessionStorage)
registerAdapter(StoreStorage, ISimpleSessionStore, ISessionStorage)
