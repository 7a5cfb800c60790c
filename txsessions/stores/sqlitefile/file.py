"""
One connection to the file, and the transactions on it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final, TypeVar

from ...errors import StoreUnavailable
from .epoch import Epochs
from .lock import FileLock
from .schema import connect, makeFile, prepare, refuseForeign
from .trouble import explain, isBusy, isSpent

T = TypeVar("T")

PATIENCE: Final = 5.0
"""
How long to wait for other processes, in seconds.  One that works holds the lock
for milliseconds; one that is stopped holds it for as long as it is.
"""

HURRY: Final = 0.05
"""
How long to wait after having waited in vain, in seconds: while another process
is stopped, what only reads is not to be held up again and again.
"""

SHORTEST: Final = 0.0002
LONGEST: Final = 0.002
"""
How long to pause before trying again, first and at the most, in seconds.  The
system has no lock that is waited for so long and no longer.
"""


class SQLiteFile:
    """
    A database file, open or not.  For one thread.

    @ivar path: Where it is, absolute and without symbolic links: whoever names
        the same file must lock the same lock.
    @ivar epochs: What tells whether others have written, in any thread.
    @ivar _connection: The connection; C{None} while it is not open.
    @ivar _lock: What is held while anything is written: transactions, and the
        checkpoints in them, in opening and in closing.  To read takes no lock.
    @ivar _isStuck: Whether the lock could not be had the last time.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self.epochs = Epochs()
        self._connection: sqlite3.Connection | None = None
        self._lock = FileLock(f"{self.path}-lock")
        self._isStuck = False

    def patience(self) -> float:
        """
        Until when to wait for other processes, on L{time.monotonic}.
        """
        return time.monotonic() + (HURRY if self._isStuck else PATIENCE)

    @contextmanager
    def reading(self, until: float) -> Iterator[sqlite3.Connection]:
        """
        A transaction that sees one state of the database and changes nothing.

        @param until: See L{patience}.
        @raise StoreUnavailable: It cannot be begun.
        """
        connection = self._opened(until)
        self.epochs.begun()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, until: float) -> Iterator[sqlite3.Connection]:
        """
        A transaction that is on the disk when the context ends, or undone
        when it ends with an exception.

        @param until: See L{patience}.
        @raise StoreUnavailable: It cannot be begun.
        """
        connection = self._opened(until)
        self._patiently(lambda: self._begin(connection), until)
        try:
            before, changes = self.epochs.begun(), connection.total_changes
            yield connection
            connection.execute("COMMIT")
            self.epochs.committed(before, connection.total_changes != changes)
        except BaseException as e:
            self._undo(connection, e)
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """
        Let go of the file, with nothing left in its -wal if nobody else has it
        open.  A second call does nothing.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self.epochs.close()
        # A process that keeps the lock for so long has the file open itself:
        # then this connection is not the last, whose end would write.
        with (
            closing(self._lock),
            closing(connection),
            suppress(StoreUnavailable, sqlite3.Error),
        ):
            self._patiently(self._lock.acquire, self.patience())
            connection.execute("PRAGMA wal_checkpoint")
        self.epochs.closed()

    def _opened(self, until: float) -> sqlite3.Connection:
        """
        The connection, opened if need be.
        """
        if self._connection is None:
            self._connection = self._patiently(self._open, until)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        """
        Open the file, and make it if there is none.
        """
        # Not a lock file that was removed since, together with the database.
        self._lock.close()
        self._lock.acquire()
        try:
            makeFile(self.path)
            refuseForeign(self.path)
            connection = connect(self.path, "rw")
            try:
                prepare(connection, self.path)
            except BaseException:
                connection.close()
                raise
            self.epochs.open(self.path)
            return connection
        finally:
            self._lock.release()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """
        Take the lock and begin to write.
        """
        self._lock.acquire()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException as e:
            self._undo(connection, e)
            self._lock.release()
            raise

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """
        Undo what a transaction has done, unless SQLite has done so already;
        and let go of a connection that is of no more use.
        """
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        if isSpent(error):
            self.epochs.close()
            self._connection = None
            connection.close()
            self.epochs.closed()

    def _patiently(self, step: Callable[[], T], until: float) -> T:
        """
        Try until it succeeds, as long as others are only busy.

        @raise StoreUnavailable: They are for too long; or it fails.
        """
        pause = SHORTEST
        while True:
            try:
                result = step()
            except (OSError, sqlite3.Error) as e:
                if not isBusy(e):
                    raise explain(self.path, e) from None
            else:
                self._isStuck = False
                return result
            if time.monotonic() >= until:
                self._isStuck = True
                raise StoreUnavailable(
                    f"the sessions in {self.path} cannot be changed now: another process has "
                    "kept their lock for too long"
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)
