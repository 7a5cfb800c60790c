"""
Tests for L{txsessions.stores.postgresserver.owners}: many at once, and stores that are broken on
purpose.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import psycopg
import pytest
import pytest_twisted
from postgresload import answers, created, isWaiting, logIn, outcomes
from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from txsessions.errors import SessionEnded, SessionNotFound, TooManySessions
from txsessions.limit import EVICT_OLDEST, REFUSE, SessionLimit
from txsessions.record import Change
from txsessions.stores.claim import LogIn
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver import owners as module
from txsessions.stores.postgresserver.owners import Owners
from txsessions.stores.postgresserver.statement import Unit

OWNERS = ["anna", "bert", "ce:sar", "d\u00f6rte", "\0"]
MAXIMUM = 3


def deadlocks(postgres: PostgresServer) -> int:
    """
    How often the server found transactions that wait for each other in a circle, or one
    that waits for too long.
    """
    output = (postgres.directory / "output").read_text()
    return output.count("deadlock detected") + output.count("due to lock timeout")


async def rush(
    stores: list[PostgresStore], rounds: int, onExceed: str = EVICT_OLDEST
) -> tuple[list[Any], list[int]]:
    """
    Let a hundred sessions log in at the same time, twenty for each owner, while others
    save and end sessions of the same owners.

    @return: What came of the log-ins, along with what the others failed with; and how many
        sessions each owner had in the end.
    """
    given: list[Any] = []
    most: list[int] = []
    limit = SessionLimit(MAXIMUM, onExceed)
    for _ in range(rounds):
        await outcomes(*map(stores[0].endSessions, OWNERS))
        records = await created(stores[0], 100)
        logIns, others = [], []
        for number, record in enumerate(records):
            one, other = stores[number % 2], stores[1 - number % 2]
            logIns.append(one.logInSession(logIn(record, OWNERS[number % 5]), limit))
            change = Change(random.choice(records).sid, set={"data:a": b"1"})
            others.append(other.saveSession(change))
            if number % 10 == 0:
                others.append(other.deleteSession(random.choice(records).sid))
        given += await outcomes(*logIns)
        errors = [a for a in await outcomes(*others) if isinstance(a, Exception)]
        given += [error for error in errors if not isinstance(error, SessionNotFound)]
        most += [len(await stores[0].findSessions(owner)) for owner in OWNERS]
    return given, most


@pytest_twisted.ensureDeferred
async def test_rush(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A hundred log-ins of five owners at the same time, over two stores and beside saves and
    log-outs, are all carried out, never wait in a circle, and leave nobody with more
    sessions than the limit says.
    """
    before = deadlocks(postgres)
    stores = [make(timeout=5.0), make(timeout=5.0)]
    given, most = await rush(stores, 4)
    assert [a for a in given if not isinstance(a, LogIn | SessionEnded)] == []
    assert sum(isinstance(answer, LogIn) for answer in given) > 300
    refused, mostThen = await rush(stores, 1, REFUSE)
    wrong = [a for a in refused if not isinstance(a, LogIn | SessionEnded | TooManySessions)]
    assert wrong == []
    assert max(most + mostThen) <= MAXIMUM
    assert deadlocks(postgres) == before


@pytest_twisted.ensureDeferred
async def test_rushTogether(
    postgres: PostgresServer, make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Log-ins that share a transaction with others do wait in a circle.
    """

    def shared(self: Owners, owner: str, *asked: Any) -> Unit:
        return attrs.evolve(alone(self, owner, *asked), isAlone=False)

    alone = Owners._alone
    monkeypatch.setattr(Owners, "_alone", shared)
    before = deadlocks(postgres)
    stores = [make(timeout=5.0), make(timeout=5.0)]
    for _ in range(20):
        await rush(stores, 1)
        if deadlocks(postgres) > before:
            return
    raise AssertionError("they never did")


async def squeezed(make: Callable[..., PostgresStore], postgres: PostgresServer) -> int:
    """
    Let two sessions of an owner log in where there is room for one, of which the first is
    held up in the middle; how many he has then.
    """
    store, other = make(timeout=5.0), make(timeout=5.0)
    records = await created(store, 2)
    limit = SessionLimit(1, REFUSE)
    await other.findSessions("anna")
    with psycopg.connect(**postgres.keywords()) as holder:
        row = f"SELECT FROM {store._schema.quoted}.session WHERE sid = %s FOR UPDATE"
        holder.execute(row, [records[0].sid])  # type: ignore[arg-type]
        calls = [store.logInSession(logIn(records[0]), limit)]
        await until(lambda: isWaiting(postgres), "it is held up")
        calls.append(other.logInSession(logIn(records[1]), limit))
        await pause(0.2)
        holder.commit()
    await outcomes(*calls)
    return len(await store.findSessions("anna"))


@pytest_twisted.ensureDeferred
async def test_squeezed(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Whoever logs in sees all that have logged in before, however long that took.
    """
    assert await squeezed(make, postgres) == 1


@pytest_twisted.ensureDeferred
async def test_squeezedWithoutLock(
    postgres: PostgresServer, make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without the lock on the owner, he gets more sessions than the limit says.
    """
    monkeypatch.setattr(module, "LOCK", "SELECT $1")
    assert await squeezed(make, postgres) == 2


async def outrun(stores: list[PostgresStore]) -> int:
    """
    End all sessions of an owner beside a hundred log-ins that began before; how many he
    has then.
    """
    before = reactor.seconds()  # type: ignore[attr-defined]
    records = await created(stores[0], 100)
    calls: list[Any] = [
        stores[number % 2].logInSession(logIn(record, at=before))
        for number, record in enumerate(records)
    ]
    calls.insert(50, stores[1].endSessions("anna"))
    for answer in await outcomes(*calls):
        assert not isinstance(answer, Exception) or isinstance(answer, SessionEnded)
    return len(await stores[0].findSessions("anna"))


@pytest_twisted.ensureDeferred
async def test_notOutrun(make: Callable[..., PostgresStore]) -> None:
    """
    No log-in outruns the end of all sessions of its owner.
    """
    stores = [make(timeout=5.0), make(timeout=5.0)]
    for _ in range(3):
        assert await outrun(stores) == 0


@pytest_twisted.ensureDeferred
async def test_outrunWithoutFence(
    make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where nobody remembers when the sessions were ended, some do.
    """
    monkeypatch.setattr(module, "END", module.END.replace("{schema}.present()", "0"))
    stores = [make(timeout=5.0), make(timeout=5.0)]
    for _ in range(20):
        if await outrun(stores):
            return
    raise AssertionError("none did")


@pytest_twisted.ensureDeferred
async def test_crash(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server that is killed in the midst of log-ins has let in whom it said so, and nobody
    has more sessions than the limit says when it is back.
    """
    store = make()
    records = await created(store, 200)
    limit = SessionLimit(3)
    given: list[Any] = []
    calls = [
        store.logInSession(logIn(record, OWNERS[number % 5]), limit).addCallback(given.append)
        for number, record in enumerate(records)
    ]
    killing: list[Any] = []
    calls[50].addCallback(lambda _: killing.append(Deferred.fromCoroutine(postgres.kill())))
    ended = await outcomes(*calls)
    await killing[0]
    await postgres.start()
    await answers(store)
    assert any(isinstance(answer, Exception) for answer in ended)
    for owner in OWNERS:
        assert len(await store.findSessions(owner)) <= 3
    evicted = {ending.record.sid for answer in given for ending in answer.evicted}
    for record, answer in zip(records, ended, strict=True):
        (there,) = await outcomes(store.loadSession(record.sid))
        if record.sid in evicted:
            assert isinstance(there, SessionEnded)
        elif answer is None and not isinstance(there, SessionEnded):
            assert there.version == 2
