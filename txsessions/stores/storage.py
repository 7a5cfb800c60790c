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
from ..given import given, positive
from ..interfaces import IRecordedStorage, ISessionStorage, ISessionStore
from ..lifetime import LOGOUT, REVOKED
from ..ownid import OWN_ID, handleOf, textOf
from ..record import Record
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


@implementer(IRecordedStorage)
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
    the store ends it.  Its record has the id, so that whoever is told of the end
    knows which session it was.

    @ivar store: See L{IRecordedStorage}.
    """

    def __init__(self, store: Any, sessionTimeout: float = TIMEOUT) -> None:
        """
        @param store: Anything that adapts to L{ISessionStore}.
        @param sessionTimeout: How long a session lives that nobody destroys, in
            seconds from its creation.
        @raise TypeError: That is no store.
        @raise ValueError: That is no time.
        """
        self.store = given(ISessionStore, store)
        self._sessionTimeout = positive("sessionTimeout", sessionTimeout)

    def createSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.createSession}.
        """
        return self.beginSession(sessionID).addCallback(_isRecord)

    def hasSession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.hasSession}.
        """
        return Deferred.fromCoroutine(self._has(sessionID))

    def destroySession(self, sessionID: int | bytes) -> Deferred[bool]:
        """
        See L{ISessionStorage.destroySession}.
        """
        return self.endSession(sessionID).addCallback(_isRecord)

    def beginSession(self, sessionID: int | bytes) -> Deferred[Record | None]:
        """
        See L{IRecordedStorage.beginSession}.
        """
        return Deferred.fromCoroutine(self._create(sessionID))

    def endSession(self, sessionID: int | bytes) -> Deferred[Record | None]:
        """
        See L{IRecordedStorage.endSession}.
        """
        return Deferred.fromCoroutine(self._destroy(sessionID))

    async def _create(self, sessionID: int | bytes) -> Record | None:
        """
        Begin a life, unless there is one.

        Each round uses up a number, since a life that was taken back has ended.
        """
        sids = sidsOf(sessionID)
        for _ in sids:
            if await self._has(sessionID):
                return None
            mine = await self._begin(sessionID, sids)
            if mine is None:
                return None
            others = [sid for sid in sids if sid != mine.sid]
            if not await _live(others, self.store):
                return mine
            # Somebody took another number at the same moment, when an end was
            # forgotten.  Both take back what they began, and meet at the next.
            if await self.store.deleteSession(mine.sid, REVOKED) is None:
                return mine
        raise _tooOften()

    async def _begin(self, sessionID: int | bytes, sids: list[str]) -> Record | None:
        """
        Begin the first life that has not been.

        @return: Its record, or C{None} when somebody else did so first.
        """
        for sid in sids:
            record = self._recordOf(sessionID, sid)
            if await self.store.createSession(record):
                return record
            if await self.store.hasSession(sid):
                return None
        raise _tooOften()

    async def _has(self, sessionID: int | bytes) -> bool:
        """
        Whether there is a life.  Nearly always it is the first, so the others
        are asked for only if it is not.
        """
        first, *others = sidsOf(sessionID)
        return await self.store.hasSession(first) or bool(await _live(others, self.store))

    async def _destroy(self, sessionID: int | bytes) -> Record | None:
        """
        End the life that there is.
        """
        first, *others = sidsOf(sessionID)
        last: Record | None = await self.store.deleteSession(first, LOGOUT)
        if last is not None:
            return last
        for sid in await _live(others, self.store):
            last = await self.store.deleteSession(sid, LOGOUT)
            if last is not None:
                return last
        return None

    def _recordOf(self, sessionID: int | bytes, sid: str) -> Record:
        """
        The record of a life that begins now.
        """
        clock = self.store.clock
        now = seconds() if clock is None else clock.seconds()
        return Record(
            sid=sid,
            verifier=NOBODY,
            created=now,
            lastModified=now,
            sessionTimeout=self._sessionTimeout,
            attributes={OWN_ID: textOf(sessionID)},
        )


def sidsOf(sessionID: int | bytes) -> list[str]:
    """
    The public handles of all lives of an id, the first life's first.

    @raise TypeError: It is no L{int} and no L{bytes}.
    """
    return [handleOf(sessionID, life) for life in range(LIVES)]


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


def _isRecord(record: Record | None) -> bool:
    """
    Whether there is one.
    """
    return record is not None


def _tooOften() -> StoreUnavailable:
    """
    The error for an id of which no number is left.
    """
    return StoreUnavailable(
        f"one session ID was created and destroyed {LIVES} times within an hour; "
        "use another one, or wait until the store has forgotten the ends"
    )


registerAdapter(StoreStorage, ISessionStore, ISessionStorage, IRecordedStorage)
registerAdapter(StoreStorage, ISimpleSessionStore, ISessionStorage, IRecordedStorage)
