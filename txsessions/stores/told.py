"""
Sessions in the memory of one process, of which a storage is told.

This makes of an L{ISessionStorage<txsessions.interfaces.ISessionStorage>} of
your own the L{ISessionStore<txsessions.interfaces.ISessionStore>} that a site
works with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.python.components import registerAdapter

from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStorage,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from .oneprocess import OneProcessStore
from .own import SessionStore
from .own import adapt as adaptStore


class ToldStore(SessionStore):
    """
    Keeps records in a dictionary, and tells a storage of each session when it
    is created and when it ends.  The storage knows it by its C{sid}, as
    L{bytes}.

    A session has begun when the storage has said so, and has ended when the
    storage has said so; if it fails, the store is unavailable and nothing has
    changed.  An end that failed is told again.

    What the storage has and the dictionary has not is left from a process that
    was there before.  Its data are gone, so that it is absent; when somebody
    asks for it, or creates it anew, it is destroyed in the storage first.  The
    storage cannot say what it has, so that others of that kind stay in it.

    @ivar _storage: The L{ISessionStorage}.
    @ivar _records: What was last saved, by C{sid}.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._records: dict[str, dict[str, Any]] = {}

    async def loadSession(self, sid: str, default: Any = None) -> Any:
        """
        See L{ISimpleSessionStore.loadSession
        <txsessions.stores.own.ISimpleSessionStore.loadSession>}.
        """
        record = self._records.get(sid)
        if record is not None:
            return record
        if await self._tell(self._storage.hasSession, sid):
            await self._tell(self._storage.destroySession, sid)
        return default

    async def saveSession(self, record: dict[str, Any]) -> None:
        """
        See L{ISimpleSessionStore.saveSession
        <txsessions.stores.own.ISimpleSessionStore.saveSession>}.
        """
        sid = record["sid"]
        if sid not in self._records:
            await self._tell(self._storage.createSession, sid)
        self._records[sid] = record

    async def deleteSession(self, sid: str) -> None:
        """
        See L{ISimpleSessionStore.deleteSession
        <txsessions.stores.own.ISimpleSessionStore.deleteSession>}.
        """
        await self._tell(self._storage.destroySession, sid)
        del self._records[sid]

    async def _tell(self, method: Callable[[bytes], Any], sid: str) -> Any:
        """
        Call a method of the storage, whatever it returns its result by.
        """
        return await maybeDeferred(method, sid.encode("ascii"))


def adapt(storage: Any) -> OneProcessStore:
    """
    The one adapter of a storage, since what it knows has to be in one place.
    """
    store: ToldStore | None = getattr(storage, "_txsessionsStore", None)
    if store is None:
        store = storage._txsessionsStore = ToldStore(storage)
    return adaptStore(store)


registerAdapter(
    adapt,
    ISessionStorage,
    ISessionStore,
    ISessionSweep,
    ISessionIndex,
    ISessionOwners,
    ISessionJournal,
    ISessionNotices,
    ISessionStoreAdministration,
    IConnectedStore,
)
