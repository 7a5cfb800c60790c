"""
The raw floor of each store: the thinnest code on twisted.web that loads a session by its
cookie, reads a value, counts, and has it saved before the response leaves.

They know of nothing that can go wrong: no time-outs, no ends, no second process, no nested
changes, nothing but one number.  What is slower than that is the price of a session that
keeps promises.
"""

from __future__ import annotations

import sqlite3
from binascii import hexlify
from collections import deque
from os import urandom
from typing import Any

import hiredis
from batching import Batching, Jobs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

COOKIE = b"floor"

LIFETIME = b"900"


class Floor(Resource):
    """
    Counts in a store.
    """

    isLeaf = True

    def __init__(self, store: Any) -> None:
        super().__init__()
        self._store = store

    def render_GET(self, request: Any) -> int:
        """
        Load, count, save, answer.
        """
        name = request.getCookie(COOKIE)
        if name is None:
            name = hexlify(urandom(32))
            request.addCookie(COOKIE, name, path=b"/", httpOnly=True)
        self._store.load(name).addCallback(self._loaded, request, name)
        return NOT_DONE_YET

    def _loaded(self, count: int, request: Any, name: bytes) -> None:
        """
        Count, and save.
        """
        self._store.save(name, count + 1).addCallback(self._saved, request, count + 1)

    def _saved(self, _: object, request: Any, count: int) -> None:
        """
        Answer.
        """
        request.write(b"Visit #%d for you!" % count)
        request.finish()


class RedisConnection(Protocol):
    """
    Commands, one after the other, without waiting for replies.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[Deferred[Any]] = deque()

    def do(self, *command: bytes) -> Deferred[Any]:
        """
        Send a command.

        @return: Fires with the reply.
        """
        done: Deferred[Any] = Deferred()
        self._waiting.append(done)
        self.transport.write(hiredis.pack_command(command))  # type: ignore[union-attr]
        return done

    def dataReceived(self, data: bytes) -> None:
        """
        Replies.
        """
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().callback(reply)


class RedisFloor:
    """
    C{GET} and C{SET} over one connection.
    """

    def __init__(self, port: int) -> None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        endpoint.connect(Factory.forProtocol(RedisConnection)).addCallback(self._connected)

    def _connected(self, connection: Any) -> None:
        """
        It can begin.
        """
        self._connection = connection

    def load(self, name: bytes) -> Deferred[int]:
        """
        The number of a session.
        """
        return self._connection.do(b"GET", name).addCallback(lambda text: int(text or 0))

    def save(self, name: bytes, count: int) -> Deferred[Any]:
        """
        Save it.
        """
        return self._connection.do(b"SET", name, b"%d" % count, b"EX", LIFETIME)


class SQLiteFloor:
    """
    Nobody else has the file, so that all numbers are known; saves are committed together,
    in WAL mode and C{synchronous=FULL}.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[bytes, int] = {}
        self.save = Batching(self._open).do

    def load(self, name: bytes) -> Deferred[int]:
        """
        The number of a session.
        """
        return succeed(self._known.get(name, 0))

    def _open(self) -> Any:
        """
        In the thread.
        """
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE floor (name BLOB PRIMARY KEY, count) WITHOUT ROWID")

        def perform(jobs: Jobs) -> list[Any]:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("REPLACE INTO floor VALUES (?, ?)", jobs)
            connection.execute("COMMIT")
            self._known.update(jobs)
            return [None] * len(jobs)

        return perform


class PostgresFloor:
    """
    Two threads, each with a connection in pipeline mode, and what has come together in one
    transaction.
    """

    THREADS = 2

    LOAD = "SELECT count FROM floor WHERE name = %s"

    SAVE = (
        "INSERT INTO floor VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET count = excluded.count"
    )

    MAKE = "CREATE TABLE IF NOT EXISTS floor (name bytea PRIMARY KEY, count integer)"

    def __init__(self, address: str) -> None:
        import psycopg

        self._address = address
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(self.MAKE)
        self._threads = [Batching(self._open) for _ in range(self.THREADS)]

    def load(self, name: bytes) -> Deferred[int]:
        """
        The number of a session.
        """
        return self._of(name).do(self.LOAD, (name,)).addCallback(lambda row: row[0] if row else 0)

    def save(self, name: bytes, count: int) -> Deferred[Any]:
        """
        Save it.
        """
        return self._of(name).do(self.SAVE, (name, count))

    def _of(self, name: bytes) -> Batching:
        """
        The thread of a session, so that nobody waits for a lock of the other's.
        """
        return self._threads[name[-1] % self.THREADS]

    def _open(self) -> Any:
        """
        In the thread.
        """
        import psycopg

        connection = psycopg.connect(self._address, prepare_threshold=0)
        connection.execute("SET synchronous_commit TO on")
        connection.commit()

        def perform(jobs: Jobs) -> list[Any]:
            with connection.pipeline():
                cursors = [connection.execute(text, values) for text, values in jobs]
                connection.commit()
                return [each.fetchone() if each.description else None for each in cursors]

        return perform


def makeFloor(kind: str, place: str) -> Floor:
    """
    The floor of a store.

    @param place: A port, a path, or an address of a database.
    """
    if kind == "redis":
        return Floor(RedisFloor(int(place)))
    if kind == "sqlite":
        return Floor(SQLiteFloor(place))
    return Floor(PostgresFloor(place))
