"""
Tests for L{txsessions.stores.postgresserver.journal}, and for what
L{txsessions.stores.postgresserver.ending} writes there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from postgresload import answers, created, outcomes
from postgresserver import PostgresServer
from servers import until
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent, globalLogPublisher

from txsessions.limit import SessionLimit
from txsessions.record import Change
from txsessions.stores.journal import RETENTION, JournalEntry, eventIDOf
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.journal import Journal
from txsessions.stores.postgresserver.operations import Operations
from txsessions.stores.postgresserver.statement import Command, Unit
from txsessions.sweeper import Sweeper

LEASE = 60.0


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """
    What is logged.
    """
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


async def takeAll(store: PostgresStore, observer: str = "mail") -> list[JournalEntry]:
    """
    All that is there for an observer.
    """
    taken: list[JournalEntry] = []
    while some := await store.takeEndings(observer, 100, LEASE):
        taken += some
    return taken


async def untold(postgres: PostgresServer, store: PostgresStore, pause: float = 0.0) -> int:
    """
    Kill the server in the midst of log-outs, so many seconds after some of them; how many
    sessions are gone then and not in the journal, or there and in it, or in it twice.
    """
    await store.enrol("mail")
    records = await created(store, 500)
    killing: list[Deferred[None]] = []

    calls = [store.deleteSession(record.sid) for record in records]
    calls[100].addCallback(
        lambda _: killing.append(
            deferLater(reactor, pause, lambda: Deferred.fromCoroutine(postgres.kill()))
        )
    )
    answered = await DeferredList(calls, consumeErrors=True)
    await killing[0]
    await postgres.start()
    await answers(store)
    assert not all(success for success, _ in answered)
    written = [entry.record.sid for entry in await takeAll(store)]
    there = {r.sid for r in records if await store.hasSession(r.sid)}
    gone = {record.sid for record in records} - there
    return len(gone ^ set(written)) + len(written) - len(set(written))


@pytest_twisted.ensureDeferred
async def test_crash(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    When the server is killed in the midst of log-outs, each session has either ended and is
    in the journal once, or lives and is not in it.
    """
    assert await untold(postgres, make()) == 0


class TellingLater(Operations):
    """
    Ends sessions as a store does that writes the journal afterwards, after a while in which
    the server is all but sure to be when it is killed.
    """

    def delete(self, sid: str, reason: str) -> Any:
        """
        End, then write.
        """
        text = re.sub(r"noted AS \(.*?\),\s+told", "told", self._queries.delete.text, flags=re.S)
        schema = re.findall(r"DELETE FROM (.*)\.session", text)[0]
        plain = text.replace("$1", f"'{sid}'").replace("$2", f"'{reason}'")
        yield Unit(sid, [Command(plain)])
        columns = "observer, event, sid, verifier, created, lastModified, sessionTimeout, "
        values = f"id, '{sid}-0', '{sid}', '', 0, 0, 1, '{{}}', 1, '{reason}', 0"
        yield Unit(
            sid,
            [
                Command("SELECT pg_sleep(0.01)"),
                Command(
                    f"INSERT INTO {schema}.journal ({columns} attributes, version, reason, endedAt)"
                    f" SELECT {values} FROM {schema}.observer"
                ),
            ],
        )


@pytest_twisted.ensureDeferred
async def test_crashOfTwoSteps(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    Where the journal is written in a second step, some endings are missing.
    """
    store = make()
    store._operations = TellingLater(store._queries, store._time, store._putAside)
    for _ in range(10):
        if await untold(postgres, store, 0.1):
            return
        await store.acknowledge("mail", [e.eventID for e in await takeAll(store)])
    raise AssertionError("none was missing")


@pytest_twisted.ensureDeferred
async def test_takenOver(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    What a process had taken that was killed before it acknowledged, another one gets when
    the lease has run out, and not before.
    """
    store = make()
    await store.enrol("mail")
    records = await created(store, 12)
    await outcomes(*(store.deleteSession(record.sid) for record in records))
    keywords = json.dumps(postgres.keywords(schema=store._schema.name))
    command = [sys.executable, str(Path(__file__).with_name("postgrestaker.py"))]
    process = subprocess.Popen([*command, "mail", "1.5", keywords], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        taken = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
    rest = await store.takeEndings("mail", 100, LEASE)
    assert (len(taken), len(rest)) == (10, 2)
    found: list[JournalEntry] = []

    async def isThere() -> bool:
        found.extend(await store.takeEndings("mail", 100, LEASE))
        return len(found) == 10

    await until(isThere, "the lease runs out")
    assert [entry.eventID for entry in found] == taken
    assert {entry.attempt for entry in found} == {2}
    assert {entry.record.sid for entry in [*found, *rest]} == {record.sid for record in records}


@pytest_twisted.ensureDeferred
async def test_eventID(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    An ending has the eventID that L{eventIDOf} makes of the server's time.
    """
    clock = Clock()
    clock.advance(1000.123456)
    store = make(clock=clock)
    await store.enrol("mail")
    records = await created(store, 50, created=1000.0, lastModified=1000.0)
    await outcomes(*(store.deleteSession(record.sid) for record in records))
    rows = dict(postgres.ask(f"SELECT sid, endedAt FROM {store._schema.quoted}.journal"))
    for entry in await takeAll(store):
        assert entry.eventID == eventIDOf(entry.record.sid, rows[entry.record.sid])
        assert 1000.0 < entry.endedAt < 1001.0


@pytest_twisted.ensureDeferred
async def test_everyWay(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Whatever ends a session writes it down; and nothing is written while nobody is enrolled.
    """
    store = make()
    for count in (0, 2):
        old = {"created": 1.0, "lastModified": 1.0}
        await created(store, 1, **old, sessionTimeout=5.0)
        assert len((await store.claimExpired(10)).endings) == 1
        await created(store, 1, **old, sessionTimeout=1e12)
        assert await store.deleteOldSessions(10) == 1
        one, other = await created(store, 2)
        change = Change(one.sid, sessionKey="anna")
        await store.logInSession(change)
        await store.logInSession(Change(other.sid, sessionKey="anna"), SessionLimit(1))
        await store.endSessions("anna", "logout")
        (last,) = await created(store, 1)
        await store.deleteSession(last.sid)
        rows = postgres.ask(
            f"SELECT reason, count(*) FROM {store._schema.quoted}.journal GROUP BY reason"
        )
        expected = {"expired-idle": 2, "evicted": 1, "logout": 1, "revoked": 1}
        assert dict(rows) == {reason: n * count for reason, n in expected.items() if count}
        await store.enrol("mail")
        await store.enrol("audit")


@pytest_twisted.ensureDeferred
async def test_bounded(
    postgres: PostgresServer, make: Callable[..., PostgresStore], logged: list[Any]
) -> None:
    """
    Of what is too much the oldest is dropped, for each observer by itself, and it is logged
    how much.
    """
    store = make()
    store._journal = Journal(store._queries, store._time, store._putAside, store._dropped, 10)
    await store.enrol("mail")
    for name in ("mail", "audit", "few"):
        await store.enrol(name)
        for record in await created(store, 7):
            await store.deleteSession(record.sid)
    schema = store._schema.quoted
    rows = postgres.ask(
        f"SELECT name, sid FROM {schema}.journal JOIN {schema}.observer "
        "ON observer.id = journal.observer ORDER BY journal.id"
    )
    before = {name: [sid for own, sid in rows if own == name] for name in ("mail", "audit", "few")}
    assert [len(sids) for sids in before.values()] == [21, 14, 7]
    await store.claimExpired(1)

    def lines() -> list[str]:
        return [formatEvent(event) or "" for event in logged if "dropped" in str(event)]

    await until(lambda: len(lines()) == 2, "it is logged")
    for count, name in ((11, "mail"), (4, "audit")):
        assert any(f"{count} endings were dropped" in line and name in line for line in lines())
    for name, sids in before.items():
        assert [entry.record.sid for entry in await takeAll(store, name)] == sids[-10:]


@pytest_twisted.ensureDeferred
async def test_retention(
    postgres: PostgresServer, make: Callable[..., PostgresStore], logged: list[Any]
) -> None:
    """
    What nobody has acknowledged for too long is dropped, taken or not.
    """
    store = make()
    await store.enrol("mail")
    for record in await created(store, 5):
        await store.deleteSession(record.sid)
    taken = await store.takeEndings("mail", 1, LEASE)
    schema = store._schema.quoted
    postgres.ask(f"UPDATE {schema}.journal SET endedAt = endedAt - %s WHERE id <= 3", RETENTION + 1)
    await store.claimExpired(1)
    await until(lambda: any("3 endings were" in (formatEvent(e) or "") for e in logged), "a line")
    left = await store.takeEndings("mail", 10, LEASE)
    assert len(left) == 2
    assert taken[0].eventID not in [entry.eventID for entry in left]


@pytest_twisted.ensureDeferred
async def test_dismissedLeaveNothing(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    Of an observer that was dismissed nothing is left, also not what was written at the
    same time, and of the others all is.
    """
    store = make()
    await store.enrol("mail")
    await store.enrol("audit")
    for record in await created(store, 5):
        await store.deleteSession(record.sid)
    journal = f"{store._schema.quoted}.journal"
    await store.dismiss("mail")
    assert postgres.ask(f"SELECT count(*) FROM {journal}") == [(5,)]
    columns = [
        name
        for (name,) in postgres.ask(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
            journal,
        )
        if name not in ("observer", "id")
    ]
    names = ", ".join(columns)
    postgres.ask(f"INSERT INTO {journal} (observer, {names}) SELECT 1, {names} FROM {journal}")
    assert postgres.ask(f"SELECT count(*) FROM {journal}") == [(10,)]
    await store.claimExpired(1)
    await until(lambda: postgres.ask(f"SELECT count(*) FROM {journal}") == [(5,)], "they are gone")
    assert len(await takeAll(store, "audit")) == 5


@pytest_twisted.ensureDeferred
async def test_damaged(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A damaged entry is put aside, and keeps nobody from the others.
    """
    store = make()
    await store.enrol("mail")
    records = await created(store, 3)
    for record in records:
        await store.deleteSession(record.sid)
    schema = store._schema.quoted
    postgres.ask(f"UPDATE {schema}.journal SET attributes = '[]' WHERE sid = %s", records[1].sid)
    entries = await store.takeEndings("mail", 10, LEASE)
    assert [entry.record for entry in entries] == [records[0], records[2]]
    assert postgres.ask(f"SELECT sid FROM {schema}.quarantine") == [(records[1].sid,)]
    assert postgres.ask(f"SELECT count(*) FROM {schema}.journal") == [(2,)]


@pytest_twisted.ensureDeferred
async def test_endsAreForgotten(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    At a site that runs for long and where nothing ever expires, ends are forgotten all the
    same.
    """
    clock = Clock()
    store = make()
    sweeper = Sweeper(store, clock, lambda ending: None)
    sweeper.start()
    schema = store._schema.quoted
    try:
        for _ in range(3):
            records = await created(store, 30)
            await outcomes(*(store.deleteSession(record.sid) for record in records))
            postgres.ask(f"UPDATE {schema}.ended SET endedAt = endedAt - 3601")

            def isEmpty() -> bool:
                clock.advance(1)
                return bool(postgres.ask(f"SELECT count(*) FROM {schema}.ended") == [(0,)])

            await until(isEmpty, "the ends are forgotten")
    finally:
        await sweeper.stop()
