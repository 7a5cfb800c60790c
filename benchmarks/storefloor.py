"""
What a load and a save cost this process, 32 at a time, beside the thinnest code that
asks the same of the same server or file, by turns in one run::

    python benchmarks/storefloor.py sqlite:/tmp/a.db redis:port=6379 \\
        "postgres:host=127.0.0.1:user=postgres:dbname=postgres"

The floor does not know what can go wrong: it has no time-outs, checks nothing, and
decodes nothing.  It sends the same statements with the same values, and is told as the
store is, by a Deferred for each.  For Redis there is a second one, that does C{GET} and
C{SET} of one text.  Use servers and files that hold nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from fcntl import LOCK_EX, LOCK_UN, flock
from threading import Condition, Thread
from typing import Any

import hiredis
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from txsessions.record import Change, Record
from txsessions.stores.opening import openStore
from txsessions.stores.postgresserver.opening import SETTINGS

TOGETHER = 32

ATTRIBUTES = {
    "data:cart": b"[0,1,2,3,4,5,6,7,8,9]",
    "data:counter": b"5",
    "component:address": b'{"street":"' + b"x" * 150 + b'"}',
}

TEXT = b"x" * 250


def newRecord(sid: str) -> Record:
    """
    A session of an owner, with 250 bytes of attributes.
    """
    now = time.time()
    return Record(sid, bytes(32), now, now, 86400.0, None, sid[:8], dict(ATTRIBUTES))


def newChange(sid: str, record: Any) -> Change:
    """
    A change of one attribute, and a touch, as a request makes it.
    """
    return Change(
        sid,
        set={"data:counter": b"6"},
        lastModified=time.time(),
        expectedVersion=record.version,
    )


class OfStore:
    """
    The operations of a store.
    """

    name = "store"

    def __init__(self, store: Any) -> None:
        self.load: Callable[[str], Deferred[Any]] = store.loadSession
        self._save = store.saveSession
        self.close = store.close

    def save(self, sid: str, loaded: Any) -> Deferred[Any]:
        """
        Save a session that has been loaded.
        """
        return self._save(newChange(sid, loaded))


class Pipe(Protocol):
    """
    A thin connection to Redis: what is asked in one turn of the reactor goes out in one
    write.
    """

    def connectionMade(self) -> None:
        """
        Begin.
        """
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        self._reader = hiredis.Reader()
        self._waiting: deque[Deferred[Any]] = deque()
        self._outgoing: list[bytes] = []

    def ask(self, *command: Any) -> Deferred[Any]:
        """
        Ask.
        """
        answer: Deferred[Any] = Deferred()
        self._waiting.append(answer)
        if not self._outgoing:
            reactor.callLater(0, self._flush)
        self._outgoing.append(hiredis.pack_command(command))
        return answer

    def dataReceived(self, data: bytes) -> None:
        """
        Tell what comes.
        """
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().callback(reply)

    def _flush(self) -> None:
        """
        Write.
        """
        self.transport.write(b"".join(self._outgoing))  # type: ignore[union-attr]
        self._outgoing.clear()


class RedisFloor:
    """
    The same commands as a L{RedisStore<txsessions.stores.redis.RedisStore>} sends.
    """

    name = "the same commands"

    def __init__(self, pipe: Pipe, store: Any) -> None:
        self._pipe = pipe
        self._keys = store._keys
        self._digest = store._scripts.update.digest

    def load(self, sid: str) -> Deferred[Any]:
        """
        Load all fields.
        """
        return self._pipe.ask(b"HGETALL", self._keys.bucket(sid).record(sid))

    def save(self, sid: str, loaded: Any) -> Deferred[Any]:
        """
        Run the script.
        """
        key = self._keys.bucket(sid).record(sid)
        values = (b"m", time.time(), b"v", b"", b"=data:counter", b"6")
        return self._pipe.ask(b"EVALSHA", self._digest, 1, key, *values)


class GetSet:
    """
    One text for each session.
    """

    name = "GET and SET"

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def load(self, sid: str) -> Deferred[Any]:
        """
        Get it.
        """
        return self._pipe.ask(b"GET", sid)

    def save(self, sid: str, loaded: Any) -> Deferred[Any]:
        """
        Set it.
        """
        return self._pipe.ask(b"SET", sid, TEXT)


class Hand:
    """
    A thread that does in one transaction all that waits for it.

    @ivar do: Called with what waits, in the thread; gives as many outcomes.
    """

    def __init__(self, do: Callable[[list[Any]], list[Any]]) -> None:
        self._do = do
        self._waiting: list[tuple[Any, Deferred[Any]]] = []
        self._condition = Condition()
        Thread(target=self._run, daemon=True).start()

    def ask(self, what: Any) -> Deferred[Any]:
        """
        Have something done.
        """
        answer: Deferred[Any] = Deferred()
        with self._condition:
            self._waiting.append((what, answer))
            self._condition.notify()
        return answer

    def _run(self) -> None:
        """
        The thread.
        """
        while True:
            with self._condition:
                while not self._waiting:
                    self._condition.wait()
                batch, self._waiting = self._waiting, []
            outcomes = self._do([what for what, _ in batch])
            reactor.callFromThread(self._tell, batch, outcomes)

    def _tell(self, batch: list[tuple[Any, Deferred[Any]]], outcomes: list[Any]) -> None:
        """
        Tell the outcomes.
        """
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            answer.callback(outcome)


class SQLiteFloor:
    """
    The same statements as a L{SQLiteStore<txsessions.stores.sqlite.SQLiteStore>}.
    """

    name = "the same statements"
    LOAD = "SELECT * FROM session WHERE sid = ?"
    SAVE = (
        "UPDATE session SET lastModified = ?, version = ?, attributes = CAST(? AS TEXT) "
        "WHERE id = ?"
    )

    def __init__(self, path: str) -> None:
        import sqlite3

        self._path = path
        self._sqlite3 = sqlite3
        self._connection: Any = None
        self._hand = Hand(self._do)
        self._attributes = json.dumps({n: json.loads(t) for n, t in ATTRIBUTES.items()}).encode()

    def load(self, sid: str) -> Deferred[Any]:
        """
        Load a row.
        """
        return self._hand.ask(sid)

    def save(self, sid: str, loaded: Any) -> Deferred[Any]:
        """
        Save a row.
        """
        return self._hand.ask((sid, (time.time(), loaded[8] + 1, self._attributes)))

    def _do(self, batch: list[Any]) -> list[Any]:
        """
        Do a batch, in the thread.
        """
        if self._connection is None:
            self._connection = self._sqlite3.connect(self._path, isolation_level=None)
            self._connection.text_factory = bytes
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 4000")
            self._lock = os.open(f"{self._path}-lock", os.O_RDWR)
        if type(batch[0]) is str:
            return self._read(batch)
        return self._write(batch)

    def _read(self, batch: list[str]) -> list[Any]:
        """
        Read in one transaction.
        """
        execute = self._connection.execute
        execute("BEGIN")
        rows = [execute(self.LOAD, (sid,)).fetchone() for sid in batch]
        execute("ROLLBACK")
        return rows

    def _write(self, batch: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """
        Read and write in one transaction.
        """
        flock(self._lock, LOCK_EX)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for sid, values in batch:
            row = execute(self.LOAD, (sid,)).fetchone()
            execute(self.SAVE, (*values, row[0]))
        execute("COMMIT")
        flock(self._lock, LOCK_UN)
        return batch


class PostgresFloor:
    """
    The same prepared statements as a
    L{PostgresStore<txsessions.stores.postgres.PostgresStore>}, in pipelines.
    """

    name = "the same statements"
    HANDS = 2

    def __init__(self, store: Any) -> None:
        self._conninfo = store._address.conninfo()
        self._queries = (store._queries.load, store._queries.save)
        self._hands = [Hand(self._doer()) for _ in range(self.HANDS)]

    def load(self, sid: str) -> Deferred[Any]:
        """
        Load a row.
        """
        return self._hands[ord(sid[0]) % self.HANDS].ask((0, [sid.encode()]))

    def save(self, sid: str, loaded: Any) -> Deferred[Any]:
        """
        Save a row.
        """
        import struct

        now = struct.pack("!d", time.time())
        none = b"\x00"
        values = [
            *(sid.encode(), now, None, None, none, None, none, None),
            *(b'\x01{"data:counter":"6"}', EMPTY, struct.pack("!q", 1), loaded[8], None),
        ]
        return self._hands[ord(sid[0]) % self.HANDS].ask((1, values))

    def _doer(self) -> Callable[[list[Any]], list[Any]]:
        """
        What does a batch on a connection of its own.
        """
        import psycopg
        from psycopg.pq import ExecStatus, Format

        connection = psycopg.connect(self._conninfo, autocommit=True)
        settings = ";".join(f"SET {name} = '{value}'" for name, value in SETTINGS.items())
        connection.execute(settings)
        pgconn = connection.pgconn
        for number, query in enumerate(self._queries):
            kinds = [kind.oid for kind in query.kinds]
            pgconn.prepare(b"floor%d" % number, query.text.encode(), kinds)
        pgconn.enter_pipeline_mode()
        formats = [[Format.BINARY] * len(query.kinds) for query in self._queries]

        def do(batch: list[Any]) -> list[Any]:
            for number, values in sorted(batch, key=lambda each: each[1][0]):
                pgconn.send_query_prepared(
                    b"floor%d" % number, values, formats[number], Format.BINARY
                )
            pgconn.pipeline_sync()
            pgconn.flush()
            found = []
            while True:
                result = pgconn.get_result()
                if result is None:
                    continue
                if result.status == ExecStatus.PIPELINE_SYNC:
                    break
                found.append([result.get_value(0, n) for n in range(result.nfields)])
            order = sorted(range(len(batch)), key=lambda place: batch[place][1][0])
            outcomes: list[Any] = [None] * len(batch)
            for place, row in zip(order, found, strict=True):
                outcomes[place] = row
            return outcomes

        self._connections = [*getattr(self, "_connections", ()), connection]
        return do


EMPTY = (0).to_bytes(4, "big") + (0).to_bytes(4, "big") + (25).to_bytes(4, "big")
"""
An empty array of texts, as PostgreSQL sends it.
"""


async def contenders(text: str, sids: list[str]) -> list[Any]:
    """
    A store and its floors.
    """
    store = openStore(text, reactor)
    await store.setup()
    kind = text.partition(":")[0]
    if kind == "sqlite":
        # A file of its own: what another connection writes, the store reads anew.
        await fill(f"{text}-floor", sids)
        return [OfStore(store), SQLiteFloor(f"{text.partition(':')[2]}-floor")]
    if kind == "redis":
        address = store._place.address
        endpoint = HostnameEndpoint(reactor, address.host, address.port)
        pipe = await endpoint.connect(Factory.forProtocol(Pipe))
        return [OfStore(store), RedisFloor(pipe, store), GetSet(pipe)]
    return [OfStore(store), PostgresFloor(store)]


async def together(operations: Iterator[Deferred[Any]]) -> list[Any]:
    """
    Wait for all of them; their results in the same order.
    """
    done: Deferred[None] = Deferred()
    results: list[Any] = [None] * TOGETHER
    left = TOGETHER

    def came(result: Any, place: int) -> None:
        nonlocal left
        results[place] = result
        left -= 1
        if not left:
            done.callback(None)

    for place, operation in enumerate(operations):
        operation.addCallbacks(came, done.errback, (place,))
    await done
    return results


async def turn(contender: Any, sids: list[str], batches: int) -> tuple[float, float, float]:
    """
    Load and save in so many batches.

    @return: The microseconds of the processor for one load and for one save, and the
        microseconds that both took.
    """
    loading = saving = 0.0
    began = time.perf_counter()
    for number in range(batches):
        first = number * TOGETHER % len(sids)
        some = sids[first : first + TOGETHER]
        before = time.process_time()
        loaded = await together(contender.load(sid) for sid in some)
        between = time.process_time()
        pairs = zip(some, loaded, strict=True)
        await together(contender.save(sid, each) for sid, each in pairs)
        loading += between - before
        saving += time.process_time() - between
    taken = time.perf_counter() - began
    scale = 1e6 / batches / TOGETHER
    return loading * scale, saving * scale, taken * scale


async def fill(text: str, sids: list[str]) -> None:
    """
    Make so many sessions.
    """
    store = openStore(text, reactor)
    await store.setup()
    for first in range(0, len(sids), TOGETHER):
        some = sids[first : first + TOGETHER]
        await together(store.createSession(newRecord(sid)) for sid in some)
    await store.close()


async def measure(text: str, options: argparse.Namespace) -> None:
    """
    Measure one store.
    """
    sids = [os.urandom(16).hex() for _ in range(options.sessions // TOGETHER * TOGETHER)]
    await fill(text, sids)
    others = await contenders(text, sids)
    for contender in others:
        if isinstance(contender, GetSet):
            for first in range(0, len(sids), TOGETHER):
                some = sids[first : first + TOGETHER]
                await together(contender.save(sid, None) for sid in some)
        await turn(contender, sids, 20)
    figures: list[list[tuple[float, float, float]]] = [[] for _ in others]
    for _ in range(options.rounds):
        for place, contender in enumerate(others):
            figures[place].append(await turn(contender, sids, options.batches))
    print(f"{text.partition(':')[0]:<24}{'load':>8}{'save':>8}{'both':>8}{'taken':>8}")
    for contender, rows in zip(others, figures, strict=True):
        load, save, taken = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"  {contender.name:<22}{load:8.1f}{save:8.1f}{load + save:8.1f}{taken:8.1f}")
    sys.stdout.flush()
    await others[0].close()


async def main(options: argparse.Namespace) -> None:
    """
    Measure all of them.
    """
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; microseconds each")
    for text in options.store:
        await measure(text, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure stores beside their floors.")
    parser.add_argument("store", nargs="+")
    parser.add_argument("--sessions", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=100)
    parsed = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(parsed)))
