"""
What the tests of L{txsessions.stores.sqlite} share.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from txsessions.lifetime import LOGOUT
from txsessions.record import Record
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile.batch import Request

HERE = Path(__file__).parent
SID = "0123456789abcdef" * 2


def sidOf(number: int) -> str:
    """
    One of many handles.
    """
    return f"{number:032x}"


def newRecord(sid: str = SID, **facts: Any) -> Record:
    """
    A record that lives for long.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 1e12}
    return Record(**{"sid": sid, "verifier": bytes(32), **usual, **facts})


async def outcome(answer: Awaitable[Any]) -> Any:
    """
    What an operation gives, or the error that it fails with.
    """
    try:
        return await answer
    except Exception as e:
        return e


async def blocked(store: SQLiteStore) -> Event:
    """
    Keep the store's thread busy until the event is set.
    """
    busy: Deferred[None] = Deferred()
    release = Event()

    def block(rows: Any) -> None:
        reactor.callFromThread(busy.callback, None)
        release.wait(10)

    store._worker.submit(Request(block, (), False))
    await busy
    return release


async def inThread(store: SQLiteStore, statement: str) -> Any:
    """
    What SQLite answers on the store's own connection.
    """
    return await store._worker.submit(
        Request(lambda rows: rows.connection.execute(statement).fetchall(), (), False)
    )


@implementer(IReactorFromThreads)
class CountingReactor:
    """
    Counts how often the reactor is called from another thread.
    """

    count = 0

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        """
        See L{IReactorFromThreads.callFromThread}.
        """
        self.count += not isInIOThread()
        reactor.callFromThread(callable, *args, **kwargs)


async def create(store: SQLiteStore, count: int, **facts: Any) -> None:
    """
    Create so many sessions.
    """
    await gatherResults([store.createSession(newRecord(sidOf(n), **facts)) for n in range(count)])


async def end(store: SQLiteStore, *numbers: int) -> None:
    """
    End sessions.
    """
    await gatherResults([store.deleteSession(sidOf(number), LOGOUT) for number in numbers])


async def traced(store: SQLiteStore) -> list[str]:
    """
    What SQLite is told to do from now on.
    """
    statements: list[str] = []
    await store._worker.submit(
        Request(lambda rows: rows.connection.set_trace_callback(statements.append), (), False)
    )
    return statements


def query(path: Path, statement: str) -> list[Any]:
    """
    What another program does to the file.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


async def run(script: str, *arguments: str, status: int = 0) -> str:
    """
    What a Python program of ours prints.

    @param status: With what it is to end; C{-9} if it is to be killed.
    """
    process = getProcessOutputAndValue(
        sys.executable,
        ["-W", "error", str(HERE / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    # One that is killed is told of as a failure.
    process.addErrback(lambda failure: (*failure.value[:2], -failure.value[2]))
    output, errors, found = await process
    assert found == status, errors.decode() + output.decode()
    return str(output.decode())


class Ear:
    """
    Hears of endings.
    """

    def __init__(self, store: SQLiteStore) -> None:
        self.heard: list[tuple[str, str]] = []
        self.missed = 0
        self.stop = store.watchEndings(self._ended, self._missed)

    def _ended(self, sid: str, reason: str) -> None:
        """
        Note it.
        """
        self.heard.append((sid, reason))

    def _missed(self) -> None:
        """
        Count it.
        """
        self.missed += 1


async def listening(store: SQLiteStore) -> Ear:
    """
    Somebody who listens, after the first look.
    """
    ear = Ear(store)
    await store.hasSession(sidOf(0))
    return ear


async def second(store: SQLiteStore, clock: Clock) -> None:
    """
    Let a second pass, and the look that is due then be done.
    """
    clock.advance(1)
    await store.hasSession(sidOf(0))
