"""
What the tests of L{txsessions.stores.sqlite} share.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.utils import getProcessOutputAndValue
from zope.interface import implementer

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
    Counts how often the reactor is called from a thread.
    """

    count = 0

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        """
        See L{IReactorFromThreads.callFromThread}.
        """
        self.count += 1
        reactor.callFromThread(callable, *args, **kwargs)


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
