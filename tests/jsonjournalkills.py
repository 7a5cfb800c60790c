"""
Kill processes that log in and end sessions in one directory of files, and one
that tells of the endings, again and again; and see that each ending is told,
and none that never was, and that nobody has more sessions than the limit::

    python tests/jsonjournalkills.py --kills 1000

The status is 0 when all was well, and 1 when something was not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from killsqlite import killed

from txsessions.errors import SessionNotFound
from txsessions.lifetime import LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.files import directory as directoryModule
from txsessions.stores.files.admission import Admission
from txsessions.stores.files.backlog import Backlog
from txsessions.stores.files.directory import Directory
from txsessions.stores.files.folder import Folder
from txsessions.stores.files.journal import Journal
from txsessions.stores.files.keeper import Keeper
from txsessions.stores.files.owners import Owners
from txsessions.stores.files.shard import shardOf
from txsessions.stores.files.text import End
from txsessions.stores.index import Index

WRITERS = 2
"""
How many processes log in and end sessions at the same time.
"""

LIMIT = SessionLimit(3)
"""
How many sessions the one owner may have.
"""

TOLD = 5
"""
How many endings are told together.
"""

LEASE = 1000.0
"""
For how long, in seconds.
"""

LONGEST = 0.06
"""
How long the processes live at the most, in seconds.
"""


class Files:
    """
    What one process has of the store, without a thread.
    """

    def __init__(self, path: str) -> None:
        self.directory = Directory(path, print)
        self.journal = Journal(self.directory, print)
        self.keeper = Keeper(Index(), self.journal)
        self.admission = Admission(self.directory, Owners(self.directory), self.keeper)

    def create(self, sid: str) -> None:
        """
        Create a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            self.keeper.create(shard, Record(sid, bytes(32), 0.0, 0.0, 1e6))

    def end(self, sid: str) -> None:
        """
        End a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            self.keeper.end(shard, sid, lambda record: LOGOUT, time.time())

    def logIn(self, sid: str) -> None:
        """
        Log a session in, unless it has ended.
        """
        change = Change(sid, sessionKey="anna")
        try:
            self.admission.logIn("anna", change, LIMIT, time.time())
        except SessionNotFound:
            return

    def read(self, sid: str) -> Record | End | None:
        """
        What is kept of a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            return shard.read(sid)


GOOD = Journal.written


@contextmanager
def writtenLate(journal: Journal, *arguments: Any) -> Iterator[None]:
    """
    Broken on purpose: end, and write it down then.
    """
    yield
    with GOOD(journal, *arguments):
        pass


class UnlockedFolder(Folder):
    """
    Broken on purpose: it locks nobody out.
    """

    def lock(self) -> None:
        """
        Pretend.
        """
        self.isLocked = True


def spoil(variant: str) -> None:
    """
    Break what is to be broken.
    """
    if variant == "late":
        Journal.written = writtenLate  # type: ignore[method-assign, assignment]  # on purpose
    elif variant == "trusting":
        Backlog._isTrue = lambda self, entry: True  # type: ignore[method-assign]  # on purpose
    elif variant == "unlocked":
        directoryModule.Folder = UnlockedFolder  # type: ignore[misc]  # of owners; on purpose


def say(output: int, word: str, sids: Sequence[str]) -> None:
    """
    Say in one line what was done to sessions.
    """
    os.write(output, f"{word} {' '.join(sids)}\n".encode())


def write(path: str, output: int) -> None:
    """
    Create, log in and end sessions, until the process is killed.
    """
    files = Files(path)
    while True:
        sids = [os.urandom(16).hex() for _ in range(2)]
        say(output, "begun", sids)
        for sid in sids:
            files.create(sid)
            files.logIn(sid)
        files.end(sids[0])


def tell(path: str, output: int) -> None:
    """
    Take endings, tell of them and acknowledge them, until the process is
    killed.
    """
    files = Files(path)
    say(output, "ready", [])
    while True:
        entries = files.journal.take("mail", TOLD, LEASE, time.time())
        if entries:
            say(output, "told", [entry.record.sid for entry in entries])
            files.journal.acknowledge("mail", [entry.eventID for entry in entries])


def left(files: Files) -> list[str]:
    """
    Take and acknowledge all that nobody was told of.
    """
    sids: list[str] = []
    while entries := files.journal.take("mail", 1000, LEASE, time.time() + 2 * LEASE):
        sids += [entry.record.sid for entry in entries]
        files.journal.acknowledge("mail", [entry.eventID for entry in entries])
    return sids


def troubles(path: str, seconds: float, known: set[str], tally: Counter[str]) -> Iterator[str]:
    """
    Kill once, and look at what is left.

    @param known: All sessions that may live.
    @param tally: Counts what was done.
    """
    said = killed([*[partial(write, path)] * WRITERS, partial(tell, path)], seconds)
    lines = [line.split() for each in said for line in each]
    known |= {sid for word, *sids in lines if word == "begun" for sid in sids}
    told = [sid for word, *sids in lines if word == "told" for sid in sids]
    files = Files(path)
    files.directory.setup()
    held = left(files)
    found = {sid: files.read(sid) for sid in known}
    ended = {sid for sid, each in found.items() if isinstance(each, End)}
    live = {sid for sid, each in found.items() if isinstance(each, Record)}
    tally.update(ended=len(ended), told=len(told), left=len(held))
    if lost := ended - set(held) - set(told):
        yield f"{len(lost)} endings were lost"
    if early := live & {*held, *told}:
        yield f"{len(early)} endings were told of sessions that live"
    again = len(held) + len(told) - len({*held, *told})
    if again > TOLD:
        yield f"{again} endings were told again"
    mine = {sid for sid in live if getattr(found[sid], "sessionKey", None) == "anna"}
    if len(mine) > LIMIT.maximum:
        yield f"there are {len(mine)} sessions where {LIMIT.maximum} may be"
    if mine != {record.sid for record in files.admission.find("anna")}:
        yield "not all sessions of the owner are found"
    known.intersection_update(live)


def main() -> int:
    """
    Kill as often as the command line says.
    """
    parser = argparse.ArgumentParser(description="Kill processes that tell of endings.")
    parser.add_argument("--kills", type=int, default=1000)
    variants = ("good", "late", "trusting", "unlocked")
    parser.add_argument("--variant", choices=variants, default="good")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    spoil(options.variant)
    source = random.Random(options.seed)
    found: list[str] = []
    known: set[str] = set()
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "sessions")
        files = Files(path)
        files.directory.setup()
        files.journal.enrol("mail")
        for _ in range(options.kills):
            seconds = source.uniform(0.005, LONGEST)
            found += troubles(path, seconds, known, tally)
    done = ", ".join(f"{count} {word}" for word, count in tally.items())
    print(f"{options.kills} kills, {done}, {len(found)} troubles, seed {options.seed}")
    for trouble in found[:10]:
        print(trouble)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
