"""
Tests for L{txsessions.stores.postgresserver.owners}.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from postgresload import created, logIn, newRecord, outcomes
from postgresserver import PostgresServer
from servers import until
from twisted.internet import reactor
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded, TooManySessions
from txsessions.limit import REFUSE, SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores import postgres
from txsessions.stores.claim import LogIn
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver import owners as module


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
