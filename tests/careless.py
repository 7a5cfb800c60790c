"""
Stores that are broken on purpose, for C{--store careless.HastyStore:sessions.db}.
"""

from __future__ import annotations

from typing import Any

import attrs
from killsqlite import HastyFile
from twisted.internet.defer import Deferred

from txsessions.record import Change, Record
from txsessions.stores.sqlite import BATCH, QUEUE, SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, parts
from txsessions.stores.worker import Worker


class HastyStore(SQLiteStore):
    """
    Acknowledges what it will commit some time later.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        file = HastyFile(path)
        file.together = 100
        work = Batches(file, self._report).perform
        self._worker = Worker(
            "hasty", work, file.close, None, queue=QUEUE, batch=BATCH, divide=parts
        )


class BlindStore(SQLiteStore):
    """
    Does not look whether somebody else was faster.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession<txsessions.interfaces.ISessionStore.saveSession>}.
        """
        return super().saveSession(attrs.evolve(change, expectedVersion=None))


class LonelyStore(SQLiteStore):
    """
    Believes that it is the only one that uses the file.
    """

    isMultiprocessSafe = False


class WholeStore(SQLiteStore):
    """
    Saves a whole session as it was when it was loaded, and not what has changed.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._loaded: dict[str, Record] = {}

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession<txsessions.interfaces.ISessionStore.loadSession>}.
        """

        def remember(record: Record) -> Record:
            self._loaded[sid] = record
            return record

        return super().loadSession(sid, default).addCallback(remember)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession<txsessions.interfaces.ISessionStore.saveSession>}.
        """
        loaded = self._loaded.get(change.sid)
        before = {} if loaded is None else loaded.attributes
        return super().saveSession(attrs.evolve(change, set={**before, **change.set}))
