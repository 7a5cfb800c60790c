"""
Kill processes that end sessions in one SQLite file, and one that tells of the
endings, again and again; and see that each ending is told, and none that never
was::

    python tests/sqlitejournalkills.py --kills 1000

The status is 0 when all was told, and 1 when something was not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from killsqlite import killed, troublesOfFile
from twisted.python.failure import Failure

from txsessions.lifetime import LOGOUT
from txsessions.record import Record
from txsessions.stores.journal import JournalEntry
from txsessions.stores.sqlitefile.batch import Batches, Request
from txsessions.stores.sqlitefile.file import SQLiteFile
from txsessions.stores.sqlitefile.journal import Journal
from txsessions.stores.sqlitefile.rows import Rows

WRITERS = 2
"""
How many processes end sessions at the same time.
"""

SESSIONS = 8
"""
How many they end together.
"""

LIMIT = 5
"""
How many endings are told together.
"""

LEASE = 1000.0
"""
For how long, in seconds.
"""

LONGEST = 0.12
"""
How long the processes live at the most, in seconds.
"""

INSERT = """
    INSERT INTO journal (observer, eventID, reason, endedAt, sid, verifier, created, lastModified,
        sessionTimeout, version, attributes, deadline)
    SELECT id, ?, 'logout', 1.0 * strftime('%s'), ?, zeroblob(32), 0.0, 0.0, 1e6, 1, '{}', 1e6
    FROM observer
"""
"""
For what is broken on purpose.
"""


def perform(batches: Batches, works: Sequence[Callable[[Rows], Any]]) -> list[Any]:
    """
    Do something in one transaction.
    """
    outcomes = batches.perform([Request(work, (), True) for work in works])
    return [each for each in outcomes if not isinstance(each, Failure)]


def say(output: int, word: str, sids: Sequence[str]) -> None:
    """
    Say in one line what was done to sessions.
    """
    os.write(output, f"{word} {' '.join(sids)}\n".encode())


def end(file: SQLiteFile, variant: str, output: int) -> None:
    """
    Create sessions and end them, until the process is killed.
    """
    if variant == "torn":
        Journal.write = lambda *arguments: None  # type: ignore[method-assign]  # comes later
    batches = Batches(file, lambda news: None)
    while True:
        sids = [os.urandom(16).hex() for _ in range(SESSIONS)]
        say(output, "begun", sids)
        records = [Record(sid, bytes(32), 0.0, 0.0, 1e6) for sid in sids]
        perform(batches, [partial(Rows.create, record=record) for record in records])
        now = time.time()
        perform(batches, [partial(Rows.delete, sid=sid, reason=LOGOUT, now=now) for sid in sids])
        if variant == "torn":
            perform(batches, [partial(writeLater, sids=sids)])


def writeLater(rows: Rows, sids: Sequence[str]) -> None:
    """
    Broken on purpose: write endings down in a transaction of its own.
    """
    rows.connection.executemany(INSERT, [(f"{sid}-1", sid) for sid in sids])


def tell(file: SQLiteFile, output: int) -> None:
    """
    Take endings, tell of them and acknowledge them, until the process is
    killed.
    """
    batches = Batches(file, lambda news: None)
    say(output, "ready", [])
    while True:
        for entries in take(batches, LIMIT, time.time()):
            if entries:
                say(output, "told", [entry.record.sid for entry in entries])
                acknowledge(batches, entries)


def take(batches: Batches, limit: int, now: float) -> list[list[JournalEntry]]:
    """
    Some endings; nothing at all if the file is busy.
    """
    return perform(batches, [lambda rows: rows.journal.take("mail", limit, LEASE, now)])


def acknowledge(batches: Batches, entries: Sequence[JournalEntry]) -> None:
    """
    Forget them.
    """
    eventIDs = [entry.eventID for entry in entries]
    perform(batches, [lambda rows: rows.journal.acknowledge("mail", eventIDs)])


def troubles(path: str, variant: str, seconds: float, tally: Counter[str]) -> Iterator[str]:
    """
    Kill once, and look at what is left.

    @param tally: Counts what was done.
    """
    children = [partial(end, SQLiteFile(path), variant) for _ in range(WRITERS)]
    said = killed([*children, partial(tell, SQLiteFile(path))], seconds)
    lines = [line.split() for each in said for line in each]
    begun = {sid for word, *sids in lines if word == "begun" for sid in sids}
    told = {sid for word, *sids in lines if word == "told" for sid in sids}
    file = SQLiteFile(path)
    batches = Batches(file, lambda news: None)
    (entries,) = take(batches, 1_000_000, time.time() + LEASE + 1)
    acknowledge(batches, entries)
    file.close()
    held = {entry.record.sid for entry in entries}
    with closing(sqlite3.connect(path)) as connection:
        live, ended = (
            {sid for (sid,) in connection.execute(f"SELECT sid FROM {table}")} & begun
            for table in ("session", "ended")
        )
    tally.update(ended=len(ended), told=len(told), left=len(held))
    if lost := ended - held - told:
        yield f"{len(lost)} endings were lost"
    if early := live & (held | told):
        yield f"{len(early)} endings were told of sessions that live"
    if len(held) != len(entries) or len(held & told) > LIMIT:
        yield f"{len(held & told)} endings are told again, {len(entries) - len(held)} twice"
    yield from troublesOfFile(path)


def main() -> int:
    """
    Kill as often as the command line says.
    """
    parser = argparse.ArgumentParser(description="Kill processes that tell of endings.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--variant", choices=("good", "torn"), default="good")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    source = random.Random(options.seed)
    found: list[str] = []
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "sessions.db")
        file = SQLiteFile(path)
        perform(Batches(file, print), [lambda rows: rows.journal.enrol("mail")])
        file.close()
        for _ in range(options.kills):
            seconds = source.uniform(0.005, LONGEST)
            found += troubles(path, options.variant, seconds, tally)
    done = ", ".join(f"{count} {word}" for word, count in tally.items())
    print(f"{options.kills} kills, {done}, {len(found)} troubles, seed {options.seed}")
    for trouble in found[:10]:
        print(trouble)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
