"""
A SQLite file that the processes of a scenario share.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from ...stores.sqlite import SQLiteStore
from .data import NamedOperations, SharedData
from .worker import ThreadlessWorker

if TYPE_CHECKING:
    from ..explorer.gates import Gates


class SharedFile(SharedData):
    """
    One file; a step is a transaction.  No thread is needed and no disk is waited
    for, so that all is done when L{explore<txsessions.testing.explorer.explore>}
    returns.
    """

    def __init__(
        self, directory: str | os.PathLike[str], makeStore: Callable[..., Any] = SQLiteStore
    ) -> None:
        """
        @param directory: Where the file is, a directory that is there and empty.
        @param makeStore: Called with the path and C{clock}.
        """
        self._directory = os.fspath(directory)
        self._path = os.path.join(self._directory, "run.db")
        self._empty = os.path.join(self._directory, "empty.db")
        self._makeStore = makeStore

    def open(self) -> Any:
        """
        See L{SharedData.open}.
        """
        store = self._makeStore(self._path, clock=self.clock)
        store._worker = ThreadlessWorker(store._worker)
        return store

    def clear(self) -> None:
        """
        See L{SharedData.clear}.  The file of the run before is replaced by a
        copy of an empty one.
        """
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(self._path + suffix)
        if not os.path.exists(self._empty):
            store = self.open()
            store.setup()
            store.close()
            os.rename(self._path, self._empty)
        shutil.copyfile(self._empty, self._path)

    def contents(self) -> Any:
        """
        See L{SharedData.contents}.
        """
        with closing(sqlite3.connect(self._path)) as connection:
            return "\n".join(connection.iterdump())

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
        store._worker = ThreadlessWorker(
            store._worker._worker,
            lambda what, proceed: gates.step(process, proceed, what),
            lambda request: getattr(request.work, "__name__", ""),
        )
        return NamedOperations(store, process, gates)
