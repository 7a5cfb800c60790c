"""
Tests for L{txsessions.stores.postgres}: statements that are refused, locks that are
held, and threads that hang.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import psycopg
import pytest
import pytest_twisted
from postgresload import TIMEOUT, newRecord, outcomes
from postgresserver import PostgresServer
from twisted.internet import reactor
from twisted.python.failure import Failure

from txsessions.errors import StoreTimedOut, StoreUnavailable
from txsessions.record import Change
from txsessions.stores import postgres as module
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.address import parse
from txsessions.stores.postgresserver.connection import connectPipeline
from txsessions.stores.postgresserver.kind import readInteger
from txsessions.stores.postgresserver.line import carryOut
from txsessions.stores.postgresserver.statement import ANY, Command, Unit
from txsessions.stores.worker import QUEUE


@pytest_twisted.ensureDeferred
async def test_badStatement(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A statement that the server refuses harms no other of its batch.
    """
    store = make()
    await store.setup()
    schema = store._schema.quoted
    postgres.ask(
        f"CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    postgres.ask(
        f"CREATE TRIGGER refuse BEFORE INSERT ON {schema}.session FOR EACH ROW "
        f"WHEN (new.sessionKey = 'bad') EXECUTE FUNCTION {schema}.refuse()"
    )
    records = [newRecord(sessionKey="bad" if n % 10 == 3 else "good") for n in range(60)]
    created = await outcomes(*map(store.createSession, records))
    for record, outcome in zip(records, created, strict=True):
        if record.sessionKey == "good":
            assert outcome is True
        else:
            assert isinstance(outcome, StoreUnavailable)
            assert "RaiseException (P0001)" in str(outcome)
    expected = [record if record.sessionKey == "good" else None for record in records]
    assert await outcomes(*(store.loadSession(record.sid) for record in records)) == expected


@pytest_twisted.ensureDeferred
async def test_failedCommit(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    What fails when it is committed is not acknowledged, and harms no other.
    """
    store = make()
    await store.setup()
    schema = store._schema.quoted
    postgres.ask(
        f"CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF new.sessionKey = 'bad' THEN RAISE EXCEPTION 'no'; END IF; "
        "RETURN NULL; END $$"
    )
    postgres.ask(
        f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {schema}.session "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        f"EXECUTE FUNCTION {schema}.refuse()"
    )
    records = [newRecord(sessionKey="bad" if n == 5 else "good") for n in range(20)]
    created = await outcomes(*map(store.createSession, records))
    assert [o for n, o in enumerate(created) if n != 5] == [True] * 19
    assert isinstance(created[5], StoreUnavailable)
    assert await store.loadSession(records[5].sid) is None


@pytest_twisted.ensureDeferred
async def test_lockedRow(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Who waits in vain for a session that somebody has locked is told so, and the others
    do not wait for him.
    """
    store = make()
    records = [newRecord() for _ in range(40)]
    await outcomes(*map(store.createSession, records))
    sid = records[7].sid
    with psycopg.connect(**postgres.keywords()) as other:
        table = f"{store._schema.quoted}.session"
        other.execute(f"SELECT 1 FROM {table} WHERE sid = %s FOR UPDATE", (sid,))  # type: ignore[arg-type]
        began = reactor.seconds()
        changes = [Change(record.sid, set={"data:a": b"1"}) for record in records]
        saved = await outcomes(*map(store.saveSession, changes))
        assert reactor.seconds() - began < 2 * TIMEOUT
        assert isinstance(saved.pop(7), StoreTimedOut)
        assert saved == [2] * 39
        assert await store.loadSession(sid) == records[7]
        claim = await store.claimExpired(10)
        assert claim.endings == []
        other.rollback()
    assert await store.saveSession(changes[7]) == 2


@pytest_twisted.ensureDeferred
async def test_lockedAndDue(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    What is due but locked by somebody else is looked for again in a while, and not at once.
    """
    store = make()
    record = newRecord(lastModified=reactor.seconds() - 100.0, sessionTimeout=10.0)
    await store.createSession(record)
    with psycopg.connect(**postgres.keywords()) as other:
        table = f"{store._schema.quoted}.session"
        other.execute(f"SELECT 1 FROM {table} FOR UPDATE")  # type: ignore[arg-type]
        claim = await store.claimExpired(10)
        assert claim.endings == []
        assert claim.nextDeadline is not None
        assert claim.nextDeadline > reactor.seconds() + 0.5
        other.rollback()
    assert [ending.record for ending in (await store.claimExpired(10)).endings] == [record]


@pytest_twisted.ensureDeferred
async def test_hangingLookup(
    make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thread that hangs where no time-out reaches holds nobody for ever.
    """
    released = Event()

    def hang(*_: Any) -> Any:
        released.wait(30)
        raise StoreUnavailable("too late")

    monkeypatch.setattr(module, "connectPipeline", hang)
    store = make(timeout=0.2)
    began = reactor.seconds()
    answers = await outcomes(store.hasSession("0" * 32), store.hasSession("1" * 32))
    assert [type(answer) for answer in answers] == [StoreTimedOut] * 2
    assert reactor.seconds() - began < 1.0
    released.set()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_fullQueue(
    make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When too much waits, what comes then fails at once.
    """
    released = Event()

    def hang(*_: Any) -> Any:
        released.wait(30)
        raise StoreUnavailable("too late")

    monkeypatch.setattr(module, "connectPipeline", hang)
    store = make()
    calls = [store.hasSession("0" * 32) for _ in range(QUEUE + 10)]
    refused = [call for call in calls if call.called]
    released.set()
    given = await outcomes(*calls)
    assert len(refused) == 10
    assert all(isinstance(answer, StoreUnavailable) for answer in given)


def test_lostInTheMiddle(postgres: PostgresServer) -> None:
    """
    An operation whose connection is lost between two of its steps fails; those that
    were done before that have their answers.
    """
    pipeline = connectPipeline(parse("", postgres.keywords()), TIMEOUT)
    pid = pipeline.run([Unit(ANY, [Command("SELECT pg_backend_pid()::bigint")])])

    def twoSteps() -> Any:
        (rows,) = yield Unit("1", [Command("SELECT 1::bigint")])
        assert readInteger(rows[0][0]) == 1
        yield Unit("1", [Command("SELECT 2::bigint")])

    def oneStep() -> Any:
        (rows,) = yield Unit("0", [Command("SELECT 3::bigint")])
        return readInteger(rows[0][0])

    def shutdown() -> Any:
        (rows,) = pid[0]  # type: ignore[misc]
        number = readInteger(rows[0][0])
        yield Unit("2", [Command(f"SELECT pg_terminate_backend({number})")])

    def refused() -> Any:
        yield Unit("0", [Command("SELECT 1 / 0")])

    two, one, _, bad = carryOut(pipeline, [twoSteps(), oneStep(), shutdown(), refused()])
    assert one == 3
    for failure in (two, bad):
        assert isinstance(failure, Failure)
        assert failure.check(StoreUnavailable)
    assert not pipeline.isUsable()
