"""
Tests for L{txsessions.stores.postgresserver.owners}.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import psycopg
import pytest
import pytest_twisted
from postgresload import answers, isWaiting, newRecord, outcomes
from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded, SessionNotFound, TooManySessions
from txsessions.limit import EVICT_OLDEST, REFUSE, SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores import postgres
from txsessions.stores.claim import LogIn
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver import owners as module
from txsessions.stores.postgresserver.owners import Owners
from txsessions.stores.postgresserver.statement import Unit

OWNERS = ["anna", "bert", "ce:sar", "d\u00f6rte", "\0"]
MAXIMUM = 3


def logIn(record: Record, owner: str = "anna", at: float | None = None, **facts: Any) -> Change:
    """
    The change that a log-in makes.
    """
    moment = {} if at is None else {AUTHENTICATED: timeText(at)}
    return Change(record.sid, sessionKey=owner, verifier=b"l" * 32, set=moment, **facts)


async def created(store: PostgresStore, count: int, **facts: Any) -> list[Record]:
    """
    So many sessions.
    """
    records = [newRecord(**facts) for _ in range(count)]
    assert await outcomes(*map(store.createSession, records)) == [True] * count
    return records


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
async def test_clockOfAnother(make: Callable[..., PostgresStore]) -> None:
    """
    A process whose clock is an hour ahead, or behind, compares its log-ins with the end of
    all sessions by the server's time.
    """
    for ahead in (3600.0, -3600.0):
        clock = Clock()
        clock.advance(reactor.seconds() + ahead)  # type: ignore[attr-defined]
        store, other = make(clock=clock), make()
        early, late = await created(store, 2)
        await other.endSessions("anna")
        with pytest.raises(SessionEnded):
            await store.logInSession(logIn(early, at=clock.seconds() - 10))
        assert await store.logInSession(logIn(late, at=clock.seconds() + 10)) == LogIn(2)


ODD = [b"inf", b"nan", b"1e999", b"-1e-999", b'"7"', b"1_0", b"", b" 5", b"[]", b"9" * 400, b"\xff"]
"""
What is no time, or none that L{timeText} writes.
"""


@pytest_twisted.ensureDeferred
async def test_order(make: Callable[..., PostgresStore]) -> None:
    """
    Those make room that L{SessionLimit} names, also where it is not known when they logged
    in, and whatever stands in its place; on a clock that is not the server's.
    """
    clock = Clock()
    clock.advance(1_000_000)
    store = make(clock=clock)
    dice = random.Random(7)
    for _ in range(10):
        records = []
        for number in range(12):
            created = clock.seconds() - dice.randrange(50)
            facts: Any = {"created": created, "lastModified": clock.seconds()}
            if number % 3:
                value = timeText(clock.seconds() - dice.randrange(50) - 0.5)
                facts["attributes"] = {AUTHENTICATED: value}
            records.append(newRecord(sessionKey="anna", **facts))
        assert await outcomes(*map(store.createSession, records)) == [True] * 12
        (comer,) = await begun(store, clock)
        limit = SessionLimit(5)
        expected = limit.evicted(await store.findSessions("anna"), comer.sid)
        answer = await store.logInSession(logIn(comer, at=clock.seconds()), limit)
        assert [ending.record for ending in answer.evicted] == expected
        await store.endSessions("anna")
        clock.advance(1)


async def begun(store: PostgresStore, clock: Clock, **facts: Any) -> list[Record]:
    """
    A session that begins now on that clock.
    """
    return await created(store, 1, created=clock.seconds(), lastModified=clock.seconds(), **facts)


@pytest_twisted.ensureDeferred
async def test_oddTimes(make: Callable[..., PostgresStore]) -> None:
    """
    Nothing that stands where the moment of a log-in should be makes another log-in fail.
    """
    store = make()
    for value in ODD:
        (odd,) = await created(store, 1, sessionKey="anna", attributes={AUTHENTICATED: value})
        (comer,) = await created(store, 1)
        answer = await store.logInSession(logIn(comer), SessionLimit(1))
        assert odd.sid in [ending.record.sid for ending in answer.evicted], value


@pytest_twisted.ensureDeferred
async def test_damaged(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A damaged record of an owner takes no room, is put aside when his sessions end, and is
    given to nobody.
    """
    store = make()
    damaged, sound = await created(store, 2, sessionKey="anna")
    schema = store._schema.quoted
    postgres.ask(
        f"UPDATE {schema}.session SET attributes = '{{\"data:a\": 1}}' WHERE sid = %s", damaged.sid
    )
    comers = await created(store, 2)
    limit = SessionLimit(2, REFUSE)
    assert await store.logInSession(logIn(comers[0]), limit) == LogIn(2)
    with pytest.raises(TooManySessions):
        await store.logInSession(logIn(comers[1]), limit)
    endings = await store.endSessions("anna")
    assert sorted(e.record.sid for e in endings) == sorted([sound.sid, comers[0].sid])
    assert postgres.ask(f"SELECT sid FROM {schema}.quarantine") == [(damaged.sid,)]


@pytest_twisted.ensureDeferred
async def test_inOrder(make: Callable[..., PostgresStore]) -> None:
    """
    What one process asks of a session before and after a log-in is done in that order.
    """
    store = make()
    for record in await created(store, 20):
        answers = await outcomes(
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
            store.logInSession(logIn(record)),
            store.saveSession(Change(record.sid, set={"data:a": b"2"})),
            store.logInSession(logIn(record, "bert")),
            store.deleteSession(record.sid),
        )
        assert answers[:4] == [2, LogIn(3), 4, LogIn(5)]
        assert answers[4].version == 5


@pytest_twisted.ensureDeferred
async def test_endsMany(
    make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Sessions that are too many for one transaction all end, but for one that is excepted,
    those of others and those that log in meanwhile.
    """
    for here in (module, postgres):
        monkeypatch.setattr(here, "STRIDE", 7)
    store, other = make(timeout=5.0), make(timeout=5.0)
    records = await created(store, 50, sessionKey="anna")
    (stranger,) = await created(store, 1, sessionKey="bert")
    (comer,) = await created(store, 1)
    ending = store.endSessions("anna", "logout", exceptFor=records[20].sid)
    await until(lambda: atLeastSeven(other), "it has begun")
    assert await other.logInSession(logIn(comer)) == LogIn(2)
    ended = [each.record for each in await ending]
    assert sorted(r.sid for r in ended) == sorted(r.sid for r in records if r is not records[20])
    left = {record.sid for record in await store.findSessions("anna")}
    assert left == {records[20].sid, comer.sid}
    assert await store.hasSession(stranger.sid)


async def atLeastSeven(store: PostgresStore) -> bool:
    """
    Whether some sessions of the owner have been ended.
    """
    return len(await store.findSessions("anna")) <= 43


@pytest_twisted.ensureDeferred
async def test_fenceIsForgotten(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    That the sessions of an owner were ended is remembered for an hour, and the sweep
    forgets it then.
    """
    store = make()
    await store.endSessions("anna")
    await store.endSessions("bert")
    schema = store._schema.quoted
    postgres.ask(
        f"UPDATE {schema}.fence SET moment = moment - 3601 "
        f"WHERE owner = (SELECT owner FROM {schema}.fence ORDER BY moment LIMIT 1)"
    )
    await store.claimExpired(1)

    def count() -> bool:
        return bool(postgres.ask(f"SELECT count(*) FROM {schema}.fence") == [(1,)])

    await until(count, "one is forgotten")


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
    await until(lambda: len(given) > 20, "some are let in")
    await postgres.kill()
    ended = await outcomes(*calls)
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
