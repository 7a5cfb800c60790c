"""
A store of your own, of three methods.

Subclass L{SessionStore}, write C{loadSession}, C{saveSession} and
C{deleteSession}, and use it wherever a store is expected.  An adapter
(L{txsessions.stores.oneprocess}) makes it the L{ISessionStore} that all of
txsessions works with, for one process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import Any

from twisted.python.components import registerAdapter
from zope.interface import Attribute, Interface, implementer

from ..interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from .oneprocess import OneProcessStore


class ISimpleSessionStore(Interface):
    """
    Keeps plain dictionaries (L{txsessions.stores.plain}), each under its C{sid}.

    Any method may return its result, a
    L{Deferred<twisted.internet.defer.Deferred>} or a coroutine.  For one C{sid}
    there is never more than one call under way.  What a method raises is
    logged, and to whoever asked the store is unavailable.
    """

    isMultiprocessSafe = Attribute("See L{ISessionStoreAdministration}.")
    isThreadSafe = Attribute("See L{ISessionStoreAdministration}.")

    def loadSession(sid: str, default: Any = None) -> Any:
        """
        Get what was last saved.

        @param sid: 32 hexadecimal digits, fit for the name of a file.
        @return: The L{dict}, or C{default} when there is none.
        """

    def saveSession(record: dict[str, Any]) -> Any:
        """
        Keep this instead of what was kept under C{record["sid"]}, if anything
        was.

        @param record: A L{dict} of JSON values that is yours to keep.
        @return: Anything, as soon as it is kept for good.
        """

    def deleteSession(sid: str) -> Any:
        """
        Keep nothing under this C{sid}.  If nothing was kept, that is no error.

        @return: Anything, as soon as it is gone for good.
        """

    def setup() -> Any:
        """
        Make ready what has to be, such as a directory or a table.  It may be
        called more than once.
        """

    def iterSessions() -> Iterable[dict[str, Any]] | AsyncIterable[dict[str, Any]] | Any:
        """
        All that is kept from former times.  Called once, when the process first
        has to know all sessions: to end those that expired while none ran, and
        to find the sessions of a user.

        @return: An iterable of what was saved, synchronous (gone through at
            once) or asynchronous; none if there is no way to know.
        """

    def close() -> Any:
        """
        Let go of what is held on to, such as a connection.  No call is under
        way then; one that comes later opens it again.
        """


@implementer(ISimpleSessionStore)
class SessionStore(ABC):
    """
    The base of a store of your own.

    See L{ISimpleSessionStore} for what the methods get and return.  The first
    three are yours to write, the others yours to override.
    """

    isMultiprocessSafe = False
    isThreadSafe = False

    @abstractmethod
    def loadSession(self, sid: str, default: Any = None) -> Any:
        """
        See L{ISimpleSessionStore.loadSession}.
        """

    @abstractmethod
    def saveSession(self, record: dict[str, Any]) -> Any:
        """
        See L{ISimpleSessionStore.saveSession}.
        """

    @abstractmethod
    def deleteSession(self, sid: str) -> Any:
        """
        See L{ISimpleSessionStore.deleteSession}.
        """

    def setup(self) -> Any:
        """
        See L{ISimpleSessionStore.setup}.
        """
        return None

    def iterSessions(self) -> Iterable[dict[str, Any]] | AsyncIterable[dict[str, Any]] | Any:
        """
        See L{ISimpleSessionStore.iterSessions}.
        """
        return ()

    def close(self) -> Any:
        """
        See L{ISimpleSessionStore.close}.
        """
        return None


def adapt(store: Any) -> OneProcessStore:
    """
    The one adapter of a store, since what it knows has to be in one place.
    """
    adapter: OneProcessStore | None = getattr(store, "_txsessionsAdapter", None)
    if adapter is None:
        adapter = store._txsessionsAdapter = OneProcessStore(store)
    return adapter


registerAdapter(
    adapt,
    ISimpleSessionStore,
    ISessionStore,
    ISessionSweep,
    ISessionIndex,
    ISessionOwners,
    ISessionJournal,
    ISessionNotices,
    ISessionStoreAdministration,
    IConnectedStore,
)
