"""
What SQLite and the system say when something is wrong, and what that means.

SQLite is known by its texts, since Python 3.10 does not tell its numbers.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Final

from ...errors import InvalidSessionData, StoreUnavailable, StoreUnusable

BUSY: Final = ("database is locked", "database table is locked", "locking protocol")
"""
Somebody else is at work, and will be done in a moment.
"""

SPENT: Final = (
    "attempt to write a readonly database",
    "disk I/O error",
    "malformed",
    "not a database",
    "unable to open",
)
"""
A connection that has failed in this way is not used again: the file may have
been replaced, and what SQLite knows of it may be wrong.
"""

MEANINGS: Final[tuple[tuple[str, type[StoreUnavailable], str], ...]] = (
    ("database or disk is full", StoreUnavailable, "the disk is full; make room on it"),
    ("disk I/O error", StoreUnavailable, "the disk fails, or a limit of space is reached"),
    ("locked", StoreUnavailable, "another program holds its lock"),
    ("readonly", StoreUnusable, "this user may not write it, or its directory; change their owner"),
    ("unable to open", StoreUnusable, "this user may not open it, or its -wal and -shm files"),
    ("not a database", StoreUnusable, "it is no database; name another file, or move it away"),
    ("malformed", StoreUnusable, "the database is damaged; restore it from a backup"),
    ("no such", StoreUnusable, "the database is damaged; restore it from a backup"),
)
"""
By a part of SQLite's text: which error it is, and what to do about it.
"""

ADVICE: Final = {
    errno.EACCES: "this user may not write it, or its directory; change their owner",
    errno.EPERM: "this user may not write it, or its directory; change their owner",
    errno.EROFS: "it is on a file system that may only be read",
    errno.ENOENT: "its directory does not exist; create it",
    errno.ENOTDIR: "a part of its path is no directory",
    errno.EISDIR: "it, or its -lock file, is a directory",
    errno.ELOOP: "it, or its -lock file, is a symbolic link that cannot be followed",
    errno.ENAMETOOLONG: "its name is too long",
}
"""
What only somebody can mend, by the system's number.
"""

MISTAKES: Final = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""
What SQLite says of values, and not of itself.
"""


def isBusy(error: Exception) -> bool:
    """
    Whether it helps to try again in a moment.
    """
    return isinstance(error, BlockingIOError) or _says(error, BUSY)


def isSpent(error: BaseException) -> bool:
    """
    Whether the connection should not be used again.
    """
    return _says(error, SPENT)


def explain(path: str, error: Exception) -> Exception:
    """
    One line for what has happened to a file.

    @return: The error for whoever asked; the same one, if it is not SQLite's
        or the system's.
    """
    if isinstance(error, MISTAKES):
        return InvalidSessionData(f"the session cannot be kept: {error}")
    if isinstance(error, sqlite3.Error):
        return _explainSQLite(path, str(error))
    if isinstance(error, OSError):
        return _explainSystem(path, error)
    return error


def _says(error: BaseException, texts: tuple[str, ...]) -> bool:
    """
    Whether it is SQLite's, and says one of these.
    """
    return isinstance(error, sqlite3.Error) and any(text in str(error) for text in texts)


def _explainSQLite(path: str, said: str) -> StoreUnavailable:
    """
    One line for what SQLite says.
    """
    for text, kind, advice in MEANINGS:
        if text in said:
            return kind(f"the sessions in {path} cannot be used: {advice}")
    return StoreUnavailable(f"the sessions in {path} cannot be used now: SQLite says {said}")


def _explainSystem(path: str, error: OSError) -> StoreUnavailable:
    """
    One line for what the system says.
    """
    number = error.errno or errno.EIO
    advice = ADVICE.get(number)
    if advice is not None:
        return StoreUnusable(f"the sessions in {path} cannot be used: {advice}")
    return StoreUnavailable(f"the sessions in {path} cannot be used now: {os.strerror(number)}")
