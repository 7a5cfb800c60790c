"""
Kill processes that save sessions into one SQLite file, again and again, and
see that what they acknowledged is there::

    python tests/killsqlite.py --kills 1000

The status is 0 when nothing was lost, and 1 when something was.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from twisted.python.failure import Failure

from txsessions.record import Change, Record
from txsessions.stores.sqlitefile.batch import Batches, Request
from txsessions.stores.sqlitefile.file import SQLiteFile
from txsessions.stores.sqlitefile.rows import Rows

WRITERS = 2
"""
How many processes save at the same time.
"""

SESSIONS = 8
"""
How many sessions each of them has, saved in one batch.
"""

LONGEST = 0.03
"""
How long they live at the most, in seconds.
"""


class HastyFile(SQLiteFile):
    """
    Broken on purpose: what is acknowledged is committed some time later, for
    several batches at once.

    @ivar together: For how many.
    """

    together = 10
    batches = 0

    @contextmanager
    def reading(self, until: float) -> Iterator[sqlite3.Connection]:
        """
        Read within the transaction that is open, if any is.
        """
        yield self._opened(until)

    @contextmanager
    def writing(self, until: float) -> Iterator[sqlite3.Connection]:
        """
        Commit now and then.
        """
        connection = self._opened(until)
        if not connection.in_transaction:
            self._patiently(lambda: self._begin(connection), until)
        yield connection
        self.batches += 1
        if self.batches % self.together == 0:
            connection.execute("COMMIT")
            self._lock.release()


FILES = {"good": SQLiteFile, "hasty": HastyFile}


def handle(writer: int, number: int) -> str:
    """
    The handle of a session.
    """
    return f"{writer:016x}{number:016x}"


def save(file: SQLiteFile, writer: int, output: int) -> None:
    """
    Save sessions until the process is killed, and say what was acknowledged.
    """
    batches = Batches(file, print)
    handles = [handle(writer, number) for number in range(SESSIONS)]
    records = [Record(sid, bytes(32), 0, 0, 1e6, attributes={"data:n": b"0"}) for sid in handles]
    batches.perform([Request(Rows.create, (record,), True, record.sid) for record in records])
    found = batches.perform([Request(Rows.load, (sid, None), False, sid) for sid in handles])
    count = max(int(record.attributes["data:n"]) for record in found)
    while True:
        count += 1
        os.write(output, b"begun %d\n" % count)
        changes = [Change(sid, set={"data:n": b"%d" % count}) for sid in handles]
        done = batches.perform([Request(Rows.save, (each,), True, each.sid) for each in changes])
        failed = [each for each in done if isinstance(each, Failure)]
        os.write(output, b"failed\n" if failed else b"acknowledged %d\n" % count)


def openOnly(file: SQLiteFile, writer: int, output: int) -> None:
    """
    Open a file that is not there yet.
    """
    os.write(output, b"begun 0\n")
    Batches(file, print).perform([Request(Rows.ready, (), False)])
    signal.pause()


def killed(children: list[Callable[[int], None]], seconds: float) -> list[list[str]]:
    """
    Start children, kill them after some time, and give what they said.
    """
    pipes = []
    for child in children:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            try:
                child(writing)
            finally:
                os._exit(1)
        os.close(writing)
        pipes.append((process, os.fdopen(reading, "rb")))
    first = [pipe.readline() for _, pipe in pipes]
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.sigwait([signal.SIGALRM])
    for process, _ in pipes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    said = []
    for start, (_, pipe) in zip(first, pipes, strict=True):
        with pipe:
            said.append((start + pipe.read()).decode().splitlines())
    return said


def troublesOfSaving(path: str, kind: type[SQLiteFile], seconds: float) -> Iterator[str]:
    """
    Kill savers once, and look at what they left.
    """
    children = [partial(save, kind(path), writer) for writer in range(WRITERS)]
    lines = killed(children, seconds)
    file = SQLiteFile(path)
    batches = Batches(file, print)
    for writer, said in enumerate(lines):
        last = {"begun": 0, "acknowledged": 0}
        last.update((word, int(number)) for word, number in (line.split() for line in said))
        handles = [handle(writer, number) for number in range(SESSIONS)]
        found = batches.perform([Request(Rows.load, (sid, None), False, sid) for sid in handles])
        counts = {number(record) for record in found}
        if not counts <= set(range(last["acknowledged"], last["begun"] + 1)):
            yield f"{counts}; {last['acknowledged']} was acknowledged, {last['begun']} begun"
        if len(counts) != 1:
            yield f"{counts}: a transaction was torn"
    file.close()
    yield from troublesOfFile(path)


def number(record: Any) -> int:
    """
    The number in a record, or -1 if there is none.
    """
    return int(record.attributes["data:n"]) if isinstance(record, Record) else -1


def troublesOfOpening(path: str, kind: type[SQLiteFile], seconds: float) -> Iterator[str]:
    """
    Kill processes that make the file, and see that it can be opened.
    """
    for name in os.listdir(os.path.dirname(path)):
        os.unlink(os.path.join(os.path.dirname(path), name))
    killed([partial(openOnly, kind(path), writer) for writer in range(WRITERS)], seconds)
    file = SQLiteFile(path)
    (outcome,) = Batches(file, print).perform([Request(Rows.load, ("0" * 32, 0), False)])
    if outcome != 0:
        yield str(outcome)
    file.close()
    yield from troublesOfFile(path)


def troublesOfFile(path: str) -> Iterator[str]:
    """
    What SQLite finds wrong with a file.
    """
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            yield found


TASKS = {"save": troublesOfSaving, "open": troublesOfOpening}


def main() -> int:
    """
    Kill as often as the command line says.
    """
    parser = argparse.ArgumentParser(description="Kill processes that save sessions.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--task", choices=TASKS, default="save")
    parser.add_argument("--variant", choices=FILES, default="good")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    source = random.Random(options.seed)
    troubles: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "sessions.db")
        for _ in range(options.kills):
            seconds = source.uniform(0.0001, LONGEST)
            troubles += TASKS[options.task](path, FILES[options.variant], seconds)
    print(f"{options.kills} kills, {len(troubles)} troubles, seed {options.seed}")
    for trouble in troubles[:10]:
        print(trouble)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
