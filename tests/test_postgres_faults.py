"""
Tests for L{txsessions.stores.postgres}: servers that crash, hang and refuse.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall

from txsessions.errors import SessionError, StoreTimedOut, StoreUnavailable
from txsessions.record import Change, Record
from txsessions.stores import postgres as module
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.opening import Opening
from txsessions.stores.worker import QUEUE

TIMEOUT = 1.0
"""
The time-out of the stores in here, in seconds.
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


@pytest_twisted.async_yield_fixture
async def make(postgres: PostgresServer) -> AsyncIterator[Callable[..., PostgresStore]]:
    """
    Makes stores on the server, in a schema of the test's own.
    """
    made: list[PostgresStore] = []
    schema = f"test {os.urandom(4).hex()}"

    def makeStore(**keywords: Any) -> PostgresStore:
        given = {"schema": schema, "timeout": TIMEOUT, **keywords}
        made.append(PostgresStore(**postgres.keywords(**given)))
        return made[-1]

    yield makeStore
    for store in made:
        await store.close()
    postgres.ask(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


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
        from twisted.internet.defer import Deferred

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


@pytest_twisted.ensureDeferred
async def test_crash(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server that is killed in the middle of it all loses nothing that was acknowledged,
    and the store goes on when it is back.
    """
    store = make()
    load = await newLoad(store)
    running = load.run()
    for _ in range(2):
        before = sum(load.acknowledged.values())
        await until(lambda: sum(load.acknowledged.values()) > before + 200, "saves")  # noqa: B023
        await postgres.kill()
        await until(lambda: load.failures, "saves fail")
        await postgres.start()
        load.failures.clear()
    before = sum(load.acknowledged.values())
    await until(lambda: sum(load.acknowledged.values()) > before + 200, "saves again")
    load.isRunning = False
    await running
    await answers(store)
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_killedBackends(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Connections that the server ends are made again, and nothing acknowledged is lost.
    """
    store = make()
    load = await newLoad(store)
    running = load.run()
    for _ in range(5):
        before = sum(load.acknowledged.values())
        await until(lambda: sum(load.acknowledged.values()) > before + 100, "saves")  # noqa: B023
        for pid in backends(postgres):
            postgres.ask("SELECT pg_terminate_backend(%s)", pid)
    load.isRunning = False
    await running
    await answers(store)
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_idleConnectionIsReplaced(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    A connection that ended while nothing was asked is not noticed by who asks next.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    for pid in backends(postgres):
        postgres.ask("SELECT pg_terminate_backend(%s)", pid)
    await until(lambda: not backends(postgres), "they have ended")
    assert await store.loadSession(record.sid) == record


@pytest_twisted.ensureDeferred
async def test_freeze(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server that hangs is given up in time, holds nobody afterwards, and when it goes on
    everybody gets the answer to what he asked.
    """
    store = make()
    records = [newRecord(attributes={"data:a": b"%d" % n}) for n in range(100)]
    assert await outcomes(*map(store.createSession, records)) == [True] * 100
    postgres.freeze()
    try:
        began = reactor.seconds()
        first = await outcomes(*(store.loadSession(record.sid) for record in records))
        assert [o for o in first if not isinstance(o, StoreUnavailable)] == []
        assert reactor.seconds() - began < 2 * TIMEOUT
        began = reactor.seconds()
        second = await outcomes(*(store.loadSession(record.sid) for record in records))
        assert [o for o in second if not isinstance(o, StoreUnavailable)] == []
    finally:
        postgres.thaw()
    await answers(store)
    assert await outcomes(*(store.loadSession(r.sid) for r in records)) == records


@pytest_twisted.ensureDeferred
async def test_failsFast(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    While a server is down only one request now and then waits for it, and the reactor
    waits for nothing at all.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    gaps: list[float] = []
    last = [reactor.seconds()]

    def beat() -> None:
        now = reactor.seconds()
        gaps.append(now - last[0])
        last[0] = now

    heart = LoopingCall(beat)
    postgres.freeze()
    try:
        last[0] = reactor.seconds()
        heart.start(0.005)
        await outcomes(store.loadSession(record.sid))
        began, fast, slow = reactor.seconds(), 0, 0
        while reactor.seconds() < began + 1.5:
            call = store.loadSession(record.sid)
            call.addErrback(lambda failure: failure.trap(StoreUnavailable) and None)
            fast, slow = fast + call.called, slow + (not call.called)
            await pause()
        assert slow <= 2
        assert fast > 10
    finally:
        postgres.thaw()
        heart.stop()
    await answers(store)
    assert max(gaps) < 0.1


async def saves(store: PostgresStore, sid: str) -> bool:
    """
    Save a 2, if that can be done.
    """
    (answer,) = await outcomes(store.saveSession(Change(sid, set={"data:a": b"2"})))
    return isinstance(answer, int)


async def overtaken(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> bytes:
    """
    Give up on a save, because the process that serves the connection hangs;
    save something else; let the process go on.

    @return: What is stored in the end.
    """
    store = make()
    record = newRecord()
    await store.createSession(record)
    (pid,) = backends(postgres)
    os.kill(pid, signal.SIGSTOP)
    try:
        (given,) = await outcomes(store.saveSession(Change(record.sid, set={"data:a": b"1"})))
        assert isinstance(given, StoreTimedOut)

        isSaved = False
        for _ in range(5):
            isSaved = isSaved or await saves(store, record.sid)
            await pause(0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    if not isSaved:
        await until(lambda: saves(store, record.sid), "a save")
    await until(lambda: pid not in backends(postgres), "the old connection has ended")
    loaded = await store.loadSession(record.sid)
    assert loaded is not None
    return loaded.attributes["data:a"]


@pytest_twisted.ensureDeferred
async def test_notOvertaken(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A save that nobody waits for any more does not undo a later one.
    """
    assert await overtaken(postgres, make) == b"2"


@pytest_twisted.ensureDeferred
async def test_overtakenWithoutLock(
    postgres: PostgresServer, make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Connections that do not wait for the end of the one before let it happen.
    """
    monkeypatch.setattr(Opening, "_takeOver", lambda self: iter(()))
    assert await overtaken(postgres, make) == b"1"


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
    import psycopg

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
    import psycopg

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

    monkeypatch.setattr(module, "connect", hang)
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

    monkeypatch.setattr(module, "connect", hang)
    store = make()
    calls = [store.hasSession("0" * 32) for _ in range(QUEUE + 10)]
    refused = [call for call in calls if call.called]
    released.set()
    given = await outcomes(*calls)
    assert len(refused) == 10
    assert all(isinstance(answer, StoreUnavailable) for answer in given)


@pytest_twisted.ensureDeferred
async def test_closeDrains(make: Callable[..., PostgresStore]) -> None:
    """
    What was asked for before the close is stored, and no connection is left.
    """
    store = make()
    load = await newLoad(store, 200)
    answered: list[int] = []
    for sid in load.acknowledged:
        change = Change(sid, set={"data:n": b"1"})
        store.saveSession(change).addCallback(answered.append)
        load.acknowledged[sid] = load.tried[sid] = 1
    await store.close()
    assert answered == [2] * 200
    assert await load.lost() == []


@pytest_twisted.ensureDeferred
async def test_closeWhileDown(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A store whose server is gone can be closed.
    """
    store = make()
    await store.createSession(newRecord())
    await postgres.kill()
    try:
        given = await outcomes(store.hasSession("0" * 32), store.close())
        assert isinstance(given[0], SessionError)
        assert given[1] is None
    finally:
        await postgres.start()
