"""
What the tests of L{txsessions.stores.postgres} share: records, outcomes, and a
load.
"""

from __future__ import annotations

import os
from typing import Any

from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from txsessions.errors import StoreUnavailable
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.postgres import PostgresStore

TIMEOUT = 1.0
"""
The time-out of the stores, in seconds.
"""


def newRecord(**facts: Any) -> Record:
    """
    A record of a session that begins now.
    """
    now = reactor.seconds()  # type: ignore[attr-defined]
    usual = {
        "sid": os.urandom(16).hex(),
        "verifier": os.urandom(32),
        "created": now,
        "lastModified": now,
        "sessionTimeout": 3600.0,
    }
    return Record(**{**usual, **facts})


async def outcomes(*deferreds: Any) -> list[Any]:
    """
    What came of operations: results and exceptions.
    """
    ended = await DeferredList(deferreds, consumeErrors=True)
    return [result if success else result.value for success, result in ended]


async def answers(store: PostgresStore) -> None:
    """
    Wait until the store answers on both of its connections.
    """

    async def isUp() -> bool:
        calls = [store.hasSession(f"{number:032x}") for number in range(8)]
        return not any(isinstance(o, Exception) for o in await outcomes(*calls))

    await until(isUp, "the store answers")


def backends(server: PostgresServer) -> set[int]:
    """
    The processes of the server that serve stores.
    """
    rows = server.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'txsessions'")
    return {pid for (pid,) in rows}


def isWaiting(postgres: PostgresServer) -> bool:
    """
    Whether a store waits for a lock.
    """
    return bool(
        postgres.ask(
            "SELECT 1 FROM pg_stat_activity "
            "WHERE application_name = 'txsessions' AND wait_event_type = 'Lock'"
        )
    )


class Load:
    """
    Many sessions that are saved all the time, each with a number that counts
    up.

    @ivar acknowledged: The last number of each that the store has confirmed.
    @ivar failures: The saves that have failed.
    """

    def __init__(self, store: PostgresStore, sids: list[str]) -> None:
        self.store = store
        self.acknowledged = dict.fromkeys(sids, 0)
        self.tried = dict.fromkeys(sids, 0)
        self.failures: list[Exception] = []
        self.isRunning = True

    async def save(self, sid: str) -> None:
        """
        Save one number after the other.
        """
        while self.isRunning:
            self.tried[sid] += 1
            number = self.tried[sid]
            try:
                await self.store.saveSession(Change(sid, set={"data:n": b"%d" % number}))
            except StoreUnavailable as e:
                self.failures.append(e)
                await pause()
            else:
                self.acknowledged[sid] = number

    def run(self) -> Any:
        """
        Save all of them side by side.
        """
        calls = [Deferred.fromCoroutine(self.save(sid)) for sid in self.acknowledged]
        return DeferredList(calls, fireOnOneErrback=True)

    async def lost(self) -> list[str]:
        """
        The sessions in which something is missing that was acknowledged, or is
        what nobody saved.
        """
        lost = []
        for sid, acknowledged in self.acknowledged.items():
            record = await self.store.loadSession(sid)
            assert record is not None and record.sid == sid
            number = int(record.attributes.get("data:n", b"0"))
            if not acknowledged <= number <= self.tried[sid]:
                lost.append(sid)
        return lost


async def newLoad(store: PostgresStore, count: int = 40) -> Load:
    """
    A load on so many sessions.
    """
    records = [newRecord() for _ in range(count)]
    assert await outcomes(*map(store.createSession, records)) == [True] * count
    return Load(store, [record.sid for record in records])


async def created(store: PostgresStore, count: int, **facts: Any) -> list[Record]:
    """
    So many sessions.
    """
    records = [newRecord(**facts) for _ in range(count)]
    assert await outcomes(*map(store.createSession, records)) == [True] * count
    return records


def logIn(record: Record, owner: str = "anna", at: float | None = None, **facts: Any) -> Change:
    """
    The change that a log-in makes.
    """
    moment = {} if at is None else {AUTHENTICATED: timeText(at)}
    return Change(record.sid, sessionKey=owner, verifier=b"l" * 32, set=moment, **facts)
