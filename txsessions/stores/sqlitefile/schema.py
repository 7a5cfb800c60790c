"""
What is in the file: its tables, and the numbers by which it is known as ours.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from typing import Final
from urllib.parse import quote

from ...errors import StoreUnusable

APPLICATION: Final = 0x74785365
"""
The application id in the header of the file: C{"txSe"}.
"""

VERSION: Final = 2
"""
The version of the schema.  A file with a higher one is left alone.
"""

SESSION: Final = (
    # attributes is the JSON text of one object, so that the sqlite3 tool shows
    # it; deadline is never later than the session's own: a touch leaves it as
    # it is, which saves the index, and a sweep that comes upon it mends it.
    """
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        sid TEXT NOT NULL UNIQUE,
        verifier BLOB NOT NULL,
        created REAL NOT NULL,
        lastModified REAL NOT NULL,
        sessionTimeout REAL NOT NULL,
        absoluteTimeout REAL,
        sessionKey TEXT,
        version INTEGER NOT NULL,
        attributes TEXT NOT NULL,
        deadline REAL NOT NULL
    )
    """,
    "CREATE INDEX sessionByDeadline ON session (deadline)",
    "CREATE INDEX sessionByKey ON session (sessionKey, created) WHERE sessionKey IS NOT NULL",
    # No column has a type: what is damaged is kept as it was found.
    """
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY,
        putAside TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        detail TEXT NOT NULL,
        sid, verifier, created, lastModified, sessionTimeout, absoluteTimeout,
        sessionKey, version, attributes, deadline
    )
    """,
)

# AUTOINCREMENT: no id comes twice, so that whoever has seen all up to one of
# them sees what is new, and that something of it was forgotten already.
ENDED: Final = """
    CREATE TABLE ended (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sid TEXT NOT NULL UNIQUE,
        reason TEXT NOT NULL,
        endedAt REAL NOT NULL
    )
"""

OWNERS: Final = (
    "CREATE TABLE mark (id INTEGER PRIMARY KEY, sessionKey TEXT NOT NULL UNIQUE, "
    "moment REAL NOT NULL)",
    "CREATE INDEX markByMoment ON mark (moment)",
)

JOURNAL: Final = (
    # AUTOINCREMENT: what an observer that was dismissed has left is never that
    # of another one.  held is how many rows of the journal are its own.
    """
    CREATE TABLE observer (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        held INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        observer INTEGER NOT NULL,
        eventID TEXT NOT NULL,
        reason TEXT NOT NULL,
        endedAt REAL NOT NULL,
        leasedUntil REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        sid TEXT NOT NULL,
        verifier BLOB NOT NULL,
        created REAL NOT NULL,
        lastModified REAL NOT NULL,
        sessionTimeout REAL NOT NULL,
        absoluteTimeout REAL,
        sessionKey TEXT,
        version INTEGER NOT NULL,
        attributes TEXT NOT NULL,
        deadline REAL NOT NULL
    )
    """,
    "CREATE INDEX journalByLease ON journal (observer, leasedUntil)",
    "CREATE INDEX journalByEvent ON journal (eventID, observer)",
)

TABLES: Final = (
    *SESSION,
    ENDED,
    *OWNERS,
    *JOURNAL,
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""
What makes an empty file ours.
"""

UPGRADE: Final = (
    "ALTER TABLE ended RENAME TO endedBefore",
    ENDED,
    "INSERT INTO ended SELECT id, sid, reason, endedAt FROM endedBefore ORDER BY id",
    "DROP TABLE endedBefore",
    *OWNERS,
    *JOURNAL,
    f"PRAGMA user_version = {VERSION}",
)
"""
What makes a file of version 1 one of this version.
"""

SETTINGS: Final = (
    # With FULL a commit in WAL mode is on the disk when it returns; with
    # NORMAL it is lost with the power.
    "PRAGMA synchronous = FULL",
    # macOS: fsync() alone leaves it in the memory of the disk.
    "PRAGMA fullfsync = ON",
    # 16 MB: four times SQLite's own, for commits of hundreds of pages.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    # 32 MB: the pages that 100,000 small sessions need.
    "PRAGMA cache_size = -32768",
)
"""
What each connection is set to.
"""


NAMES: Final = ("session", "ended", "quarantine", "mark", "observer", "journal")
"""
The tables that a file of ours has.  One of version 1 has the first three.
"""


def connect(path: str, mode: str) -> sqlite3.Connection:
    """
    Open a file that exists.

    @param mode: C{"ro"} or C{"rw"}.
    """
    address = f"file://{quote(os.fsencode(path))}?mode={mode}"
    connection = sqlite3.connect(address, timeout=0, isolation_level=None, uri=True)
    # A text that is damaged need not be UTF-8; and JSON is decoded from bytes.
    connection.text_factory = bytes
    return connection


def makeFile(path: str) -> None:
    """
    Make an empty file that nobody else may read, unless there is a file.

    @raise StoreUnusable: There is something else.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise StoreUnusable(f"{path} is a directory; name a file in it") from None
        if not stat.S_ISREG(mode):
            raise StoreUnusable(f"{path} is no regular file; name another one") from None


def refuseForeign(path: str) -> None:
    """
    See that a file is empty or ours, without changing a byte of it.

    Only SQLite may open it: when anybody in a process closes a file, the
    system drops all locks that the process has on it.

    @raise StoreUnusable: It is something else, or of a newer version.
    """
    if os.stat(path).st_size == 0:
        return
    with closing(connect(path, "ro")) as connection:
        try:
            _check(connection, path)
        except sqlite3.OperationalError as e:
            # A crash has left a journal, which only a writer can roll back.
            if "readonly" not in str(e):
                raise


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """
    Set up a new connection; make the tables if the file is empty, and what
    they lack if they were made by an older version.
    """
    for statement in SETTINGS:
        connection.execute(statement)
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        _change(connection, TABLES)
    if _check(connection, path) == 1:
        _change(connection, UPGRADE)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != (b"wal",):
        raise StoreUnusable(
            f"the sessions cannot be kept in {path}: its file system has no shared memory; "
            "use one of this host"
        )
    # Whether it may be written is found out now, and not by the first save.
    connection.execute("DELETE FROM ended WHERE id IS NULL")


def _change(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    """
    Make or alter the tables: all or none of them.
    """
    connection.execute("BEGIN EXCLUSIVE")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection, path: str) -> int:
    """
    See that what is in a file is ours.

    @return: The version of its schema.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise StoreUnusable(f"{path} holds something else; name another file, or move it away")
    if version > VERSION:
        raise StoreUnusable(
            f"{path} was made by a newer version of txsessions (schema {version}, this one knows "
            f"{VERSION}); update this one"
        )
    for name in NAMES[:3] if version == 1 else NAMES:
        connection.execute(f"SELECT * FROM {name} LIMIT 1").fetchone()
    return version
