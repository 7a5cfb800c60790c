"""
Tests for L{txsessions.stores.postgres}: many processes at once, and stores that
are broken on purpose.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest_twisted
from postgreschild import NAME
from postgresload import isWaiting, newRecord, outcomes
from postgresserver import PostgresServer
from servers import until

from txsessions.errors import SessionNotFound
from txsessions.record import Change, Record
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.operations import Operations
from txsessions.stores.postgresserver.row import toRow, toSave
from txsessions.stores.postgresserver.statement import ANY, Unit

PROCESSES = 3
TIMES = 60


async def counted(postgres: PostgresServer, store: PostgresStore, task: str) -> int:
    """
    Let processes count up the same number at the same time; to where they got.
    """
    record = newRecord(attributes={NAME: b"0"})
    await store.createSession(record)
    child = Path(__file__).with_name("postgreschild.py")
    keywords = json.dumps(postgres.keywords(schema=store._schema.name))
    children = [
        subprocess.Popen(
            [sys.executable, str(child), task, record.sid, str(TIMES), keywords],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in children:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in children:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in children:
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            assert output.count(b"\n") == TIMES
    finally:
        for process in children:
            if process.poll() is None:
                process.kill()
            process.communicate()
    loaded = await store.loadSession(record.sid)
    assert loaded is not None
    return int(loaded.attributes[NAME])


@pytest_twisted.ensureDeferred
async def test_increments(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    As many increments as processes make, on fresh data each, are there in the end.
    """
    assert await counted(postgres, make(), "increment") == PROCESSES * TIMES


@pytest_twisted.ensureDeferred
async def test_uncheckedIncrements(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    The same without an expected version loses some.
    """
    assert await counted(postgres, make(), "overwrite") < PROCESSES * TIMES


class Overwriting(Operations):
    """
    Saves as a store does that writes back what it has read.
    """

    def save(self, change: Change) -> Any:
        """
        Read, merge, write.
        """
        record = yield from self.load(change.sid, None)
        if record is None:
            raise SessionNotFound(change.sid)
        whole = Change(change.sid, set={**record.attributes, **change.set})
        (rows,) = yield Unit(change.sid, [self._queries.save(*toSave(whole, self._time))])
        return len(rows)


def overwriting(**keywords: Any) -> PostgresStore:
    """
    A store that writes back what it has read.
    """
    store = PostgresStore(**keywords)
    queries = store._queries
    text = queries.save.text.replace("(attributes || $9) - $10", "$9")
    broken = attrs.evolve(queries.save, text=text)
    queries.all[queries.all.index(queries.save)] = broken
    queries.save = broken
    store._operations = Overwriting(queries, store._time, store._putAside)
    return store


async def kept(one: PostgresStore, other: PostgresStore) -> int:
    """
    Save many attributes of one session at the same time through two stores; how
    many of a hundred are there in the end.
    """
    record = newRecord()
    await one.createSession(record)
    for first in range(0, 100, 10):
        changes = [
            Change(record.sid, set={f"data:{number}": b"1"}) for number in range(first, first + 10)
        ]
        await outcomes(
            *((one, other)[n % 2].saveSession(change) for n, change in enumerate(changes))
        )
    loaded = await one.loadSession(record.sid)
    assert loaded is not None
    return len(loaded.attributes)


@pytest_twisted.ensureDeferred
async def test_noLostKeys(make: Callable[..., PostgresStore]) -> None:
    """
    Saves of different attributes at the same time all survive.
    """
    assert await kept(make(), make()) == 100


@pytest_twisted.ensureDeferred
async def test_lostKeys(make: Callable[..., PostgresStore]) -> None:
    """
    In a store that writes back what it has read, they do not.
    """
    assert await kept(make(overwriting), make(overwriting)) < 100


class Reviving(Operations):
    """
    Creates sessions as a store does that looks for an end only before.
    """

    def create(self, record: Record) -> Any:
        """
        Insert it, unless an end is remembered already.
        """
        sid = record.sid
        create = self._queries.create(*toRow(record, self._time))
        ended, inserted = yield Unit(sid, [self._queries.reason(sid), create])
        return bool(inserted) and not ended


async def revived(store: PostgresStore, postgres: PostgresServer) -> bool:
    """
    Create a session while an end of the same one is being committed; whether it
    lives in the end.
    """
    import psycopg

    record = newRecord()
    assert await store.createSession(record) is True
    queries = store._queries
    with psycopg.connect(**postgres.keywords()) as other:
        other.execute(f"PREPARE d(text, text) AS {queries.delete.text}")  # type: ignore[arg-type]
        other.execute(f"EXECUTE d('{record.sid}', 'logout')")  # type: ignore[arg-type]
        creating = store.createSession(record)
        await until(lambda: isWaiting(postgres), "the insertion waits for the deletion")
        other.commit()
    (created,) = await outcomes(creating)
    (there,) = await outcomes(store.hasSession(record.sid))
    assert created is there
    return bool(there)


@pytest_twisted.ensureDeferred
async def test_createWhileEnding(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    A session that is created anew while it is being ended stays dead.
    """
    assert await revived(make(), postgres) is False


@pytest_twisted.ensureDeferred
async def test_createWhileEndingUnchecked(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    Where the end is not looked for once more, it comes back.
    """

    def reviving(**keywords: Any) -> PostgresStore:
        store = PostgresStore(**keywords)
        store._operations = Reviving(store._queries, store._time, store._putAside)
        return store

    assert await revived(make(reviving), postgres) is True


class Unordered(Operations):
    """
    Saves in the order in which they come.
    """

    def save(self, change: Change) -> Any:
        """
        Save without a key.
        """
        (rows,) = yield Unit(ANY, [self._queries.save(*toSave(change, self._time))])
        return len(rows)


def unordered(**keywords: Any) -> PostgresStore:
    """
    A store that saves in the order in which it is asked.
    """
    store = PostgresStore(**keywords)
    store._operations = Unordered(store._queries, store._time, store._putAside)
    return store


async def circles(
    one: PostgresStore, other: PostgresStore, postgres: PostgresServer, rounds: int
) -> int:
    """
    Change the same sessions in opposite order at the same time, in batches; how
    often the server found that they waited for each other in a circle, up to
    the first time.
    """

    def count() -> int:
        output = (postgres.directory / "output").read_text()
        return output.count("deadlock detected") + output.count("due to lock timeout")

    before = count()
    records = [newRecord() for _ in range(60)]
    assert await outcomes(*map(one.createSession, records)) == [True] * 60
    changes = [Change(record.sid, set={"data:a": b"1"}) for record in records]
    for _ in range(rounds):
        answers = await outcomes(
            *map(one.saveSession, changes), *map(other.saveSession, reversed(changes))
        )
        assert [answer for answer in answers if not isinstance(answer, int)] == []
        if count() > before:
            break
    return count() - before


@pytest_twisted.ensureDeferred
async def test_noCircles(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Batches that change the same sessions never wait for each other in a circle.
    """
    assert await circles(make(), make(), postgres, 50) == 0


@pytest_twisted.ensureDeferred
async def test_circles(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Batches that are not put in order do, and each is done all the same.
    """
    assert await circles(make(unordered), make(unordered), postgres, 1000) > 0
