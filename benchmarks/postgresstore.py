"""
How fast L{txsessions.stores.postgres.PostgresStore} is, beside threads that do one
statement at a time::

    python benchmarks/postgresstore.py "host=127.0.0.1 user=postgres dbname=postgres"

It makes a schema C{benchmark} in that database, and removes it.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from txsessions.record import Change, Record
from txsessions.stores.postgres import PostgresStore

SCHEMA = "benchmark"

ATTRIBUTES = {
    "data:cart": b"[0,1,2,3,4,5,6,7,8,9]",
    "data:counter": b"5",
    "component:address": b'{"street":"' + b"x" * 150 + b'"}',
}

LOAD = f"SELECT * FROM {SCHEMA}.session WHERE sid = %s"

SAVE = f"""
    UPDATE {SCHEMA}.session SET attributes = attributes || '{{"data:counter":"6"}}',
        version = version + 1, lastModified = greatest(lastModified, %s)
    WHERE sid = %s RETURNING version
"""


class Plain:
    """
    Threads with a connection each, that do one statement at a time.
    """

    def __init__(self, dsn: str, threads: int) -> None:
        self._dsn = dsn
        self._local = threading.local()
        self.pool = ThreadPool(threads, threads)
        self.pool.start()

    def ask(self, *arguments: Any) -> Deferred[Any]:
        """
        Do a statement in a thread.
        """
        return deferToThreadPool(reactor, self.pool, self._do, *arguments)

    def _do(self, text: str, *values: Any) -> Any:
        """
        Do a statement in this thread.
        """
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=0)
            self._local.connection = connection
        return connection.execute(text, values).fetchone()


async def rate(
    name: str, sids: list[str], count: int, concurrency: int, operation: Callable[[str], Any]
) -> None:
    """
    Do an operation so many times, so many at a time, and print how fast it was.
    """
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            await operation(random.choice(sids))

    start, busy = time.perf_counter(), time.process_time()
    await gatherResults([Deferred.fromCoroutine(client()) for _ in range(concurrency)])
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    each = busy / count * 1e6
    print(f"{name:8} {concurrency:5} at a time {count / taken:8.0f}/s {each:6.1f} us CPU each")


async def measure(options: argparse.Namespace) -> None:
    """
    Measure everything.
    """
    now = time.time()
    store = PostgresStore(options.dsn, schema=SCHEMA)
    sids = [os.urandom(16).hex() for _ in range(options.sessions)]
    records = [Record(sid, bytes(32), now, now, 1800.0, None, None, ATTRIBUTES) for sid in sids]
    for first in range(0, len(sids), 500):
        await gatherResults([store.createSession(r) for r in records[first : first + 500]])
    print("PostgresStore")
    for concurrency in (1, 10, 100, 1000):
        count = options.operations // (1 if concurrency > 10 else 10)
        await rate("load", sids, count, concurrency, store.loadSession)
        await rate(
            "save",
            sids,
            count,
            concurrency,
            lambda sid: store.saveSession(
                Change(sid, set={"data:counter": b"6"}, lastModified=time.time())
            ),
        )
    await store.close()
    for threads in (2, 8):
        print(f"{threads} threads, one statement at a time")
        plain = Plain(options.dsn, threads)
        await rate("load", sids, options.operations // 2, 100, partial(plain.ask, LOAD))
        await rate(
            "save",
            sids,
            options.operations // 4,
            100,
            lambda sid, plain=plain: plain.ask(SAVE, time.time(), sid),
        )
        plain.pool.stop()
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure PostgresStore.")
    parser.add_argument("dsn", help="the address of a server, as libpq has it")
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--operations", type=int, default=20_000)
    measuring = partial(measure, parser.parse_args())
    react(lambda reactor: Deferred.fromCoroutine(measuring()))
