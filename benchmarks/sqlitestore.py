"""
How fast L{txsessions.stores.sqlite.SQLiteStore} is: in its thread alone, and
through the reactor::

    python benchmarks/sqlitestore.py --sessions 20000
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.python.failure import Failure

from txsessions.record import Change, Record
from txsessions.stores.sqlite import BATCH, SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, Request
from txsessions.stores.sqlitefile.file import SQLiteFile
from txsessions.stores.sqlitefile.rows import Rows

ATTRIBUTES = {
    "data:cart": b"[0,1,2,3,4,5,6,7,8,9]",
    "data:counter": b"5",
    "component:address": b'{"street":"' + b"x" * 150 + b'"}',
}


def record(sid: str) -> Record:
    """
    A session of an owner, with 250 bytes of attributes.
    """
    return Record(sid, bytes(32), 0.0, 0.0, 1800.0, None, sid[:8], ATTRIBUTES)


def change(sid: str) -> Change:
    """
    A change of one attribute, and a touch.
    """
    return Change(sid, set={"data:counter": b"6"}, lastModified=1.0)


def inThread(path: str, sids: list[str]) -> None:
    """
    Do batches in this thread.
    """
    file = SQLiteFile(path)
    batches = Batches(file, print)
    mixed = random.sample(sids, len(sids))
    for name, requests in {
        "create": [Request(Rows.create, (record(sid),), True, sid) for sid in sids],
        "save": [Request(Rows.save, (change(sid),), True, sid) for sid in mixed],
        "load": [Request(Rows.load, (sid, None), False, sid) for sid in mixed],
    }.items():
        start, busy = time.perf_counter(), time.thread_time()
        for place in range(0, len(requests), BATCH):
            outcomes = batches.perform(requests[place : place + BATCH])
            assert not any(isinstance(each, Failure) for each in outcomes)
        show(name, len(sids), start, time.thread_time() - busy)
    file.close()


async def throughReactor(path: str, sids: list[str], concurrency: int) -> None:
    """
    Have so many operations under way at a time.
    """
    store = SQLiteStore(path)
    await store.setup()
    operations: dict[str, Callable[[str], Deferred[Any]]] = {
        "create": lambda sid: store.createSession(record(sid)),
        "save": lambda sid: store.saveSession(change(sid)),
        "load": store.loadSession,
    }
    for name, operation in operations.items():
        left = iter(sids)

        async def client(operation: Any = operation, left: Any = left) -> None:
            for sid in left:
                await operation(sid)

        start, busy = time.perf_counter(), time.process_time()
        await gatherResults([Deferred.fromCoroutine(client()) for _ in range(concurrency)])
        show(f"{name}, {concurrency} at a time", len(sids), start, time.process_time() - busy)
    await store.close()


def show(name: str, count: int, start: float, busy: float) -> None:
    """
    Print one line.
    """
    rate = count / (time.perf_counter() - start)
    print(f"{name:28} {rate:8.0f}/s {busy / count * 1e6:6.1f} us CPU each")


async def measure(options: argparse.Namespace) -> None:
    """
    Measure everything.
    """
    sids = [os.urandom(16).hex() for _ in range(options.sessions)]
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        inThread(os.path.join(place, "thread.db"), sids)
        for concurrency in (1, 10, 100, 1000):
            path = os.path.join(place, f"{concurrency}.db")
            await throughReactor(path, sids, concurrency)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure SQLiteStore.")
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--directory", help="on the disk to measure")
    measuring = partial(measure, parser.parse_args())
    react(lambda reactor: Deferred.fromCoroutine(measuring()))
