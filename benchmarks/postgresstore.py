"""
How fast L{txsessions.stores.postgres.PostgresStore} is, beside threads that do one
statement at a time; and what endings and log-ins cost::

    python benchmarks/postgresstore.py "host=127.0.0.1 user=postgres dbname=postgres"
    python benchmarks/postgresstore.py --watch --observers 1 "host=127.0.0.1 …"

The processor time of the server is shown where it is on this machine.

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
from pathlib import Path
from typing import Any

import psycopg
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from txsessions.limit import SessionLimit
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


class Processor:
    """
    The processor time of this process, and of those of the server that serve it.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._own = time.process_time()
        self._server = self._serverTime()

    def each(self, count: int) -> str:
        """
        How much each of so many operations took.
        """
        own = (time.process_time() - self._own) / count * 1e6
        server = (self._serverTime() - self._server) / count * 1e6
        return f"{own:6.1f} us CPU each" + (f", {server:6.1f} us of the server" if server else "")

    def _serverTime(self) -> float:
        """
        What the server's processes have taken so far, in seconds; 0 where they
        are elsewhere.
        """
        asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'txsessions'"
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            pids = [pid for (pid,) in connection.execute(asked).fetchall()]
        try:
            texts = [Path(f"/proc/{pid}/schedstat").read_text() for pid in pids]
        except OSError:
            return 0.0
        return sum(int(text.split()[0]) for text in texts) / 1e9


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


async def filled(store: PostgresStore, count: int, **facts: Any) -> list[str]:
    """
    Make so many sessions; their handles.
    """
    now = time.time()
    usual = {"created": now, "lastModified": now, "sessionTimeout": 1800.0}
    sids = [os.urandom(16).hex() for _ in range(count)]
    records = [Record(sid, bytes(32), attributes=ATTRIBUTES, **{**usual, **facts}) for sid in sids]
    for first in range(0, count, 500):
        await gatherResults([store.createSession(r) for r in records[first : first + 500]])
    return sids


async def timed(dsn: str, name: str, count: int, operations: Any) -> None:
    """
    Print how fast so many operations were.
    """
    processor, start = Processor(dsn), time.perf_counter()
    await operations
    taken = time.perf_counter() - start
    print(f"{name:24} {count / taken:8.0f}/s {processor.each(count)}")


async def each(sids: list[str], operation: Callable[[str], Any]) -> None:
    """
    Do an operation for each session, a hundred at a time.
    """
    left = iter(sids)

    async def client() -> None:
        for sid in left:
            await operation(sid)

    await gatherResults([Deferred.fromCoroutine(client()) for _ in range(100)])


async def swept(store: PostgresStore) -> None:
    """
    End all that has expired.
    """
    while (await store.claimExpired(500)).endings:
        pass


async def measureEndings(options: argparse.Namespace, store: PostgresStore) -> None:
    """
    Measure what ends sessions, and log-ins.
    """
    print(f"watched: {options.watch}, observers: {options.observers}")
    stop = store.watchEndings(lambda sid, reason: None, lambda: None) if options.watch else None
    for number in range(options.observers):
        await store.enrol(f"observer {number}")
    count = options.operations // 4
    sids = await filled(store, count)
    await timed(options.dsn, "log out", count, each(sids, store.deleteSession))
    await filled(store, count, created=1.0, lastModified=1.0, sessionTimeout=5.0)
    await timed(options.dsn, "end by a sweep", count, swept(store))
    for owners in (1000, 1):
        sids = await filled(store, count // 5)

        def logIn(sid: str, owners: int = owners) -> Any:
            owner = f"owner {random.randrange(owners)}"
            return store.logInSession(Change(sid, sessionKey=owner), SessionLimit(3))

        name = f"log in, {owners} owner{'s'[: owners > 1]}"
        await timed(options.dsn, name, count // 5, each(sids, logIn))
    if stop is not None:
        stop()


async def measure(options: argparse.Namespace) -> None:
    """
    Measure everything.
    """
    store = PostgresStore(options.dsn, schema=SCHEMA)
    sids = await filled(store, options.sessions)
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
    await measureEndings(options, store)
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
    parser.add_argument("--watch", action="store_true", help="let somebody watch endings")
    parser.add_argument("--observers", type=int, default=0, help="how many have a journal")
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--operations", type=int, default=20_000)
    measuring = partial(measure, parser.parse_args())
    react(lambda reactor: Deferred.fromCoroutine(measuring()))
