"""
Tests for L{txsessions.stores.postgresserver.schema}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import pytest_twisted
from postgresload import newRecord
from postgresserver import PostgresServer
from twisted.internet import reactor
from twisted.internet.defer import DeferredList

from txsessions.errors import SessionEnded, StoreUnavailable, StoreUnusable
from txsessions.record import Change, Record
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.opening import SETTINGS
from txsessions.stores.postgresserver.schema import MAXIMUM_NAME, MIGRATIONS, Schema
from txsessions.stores.postgresserver.statement import Query

FURTHER = ("ALTER TABLE {schema}.session ADD COLUMN another text",)
"""
A migration to a further version.
"""

PRESENT = len(MIGRATIONS)


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """
    The name of a schema that is not there yet.
    """
    name = f"x{os.urandom(4).hex()}'\"; --"
    yield name
    quoted = name.replace('"', '""')
    postgres.ask(f'DROP SCHEMA IF EXISTS "{quoted}" CASCADE')


async def setUp(*stores: PostgresStore) -> list[Any]:
    """
    Set up stores at the same time, and close them: what came of each.
    """
    ended = await DeferredList([store.setup() for store in stores], consumeErrors=True)
    for store in stores:
        await store.close()
    return [result if success else result.value for success, result in ended]


def many(postgres: PostgresServer, name: str) -> list[PostgresStore]:
    """
    As many stores as if fifty processes started at once.
    """
    return [PostgresStore(**postgres.keywords(), schema=name) for _ in range(50)]


@pytest_twisted.ensureDeferred
async def test_parallel(postgres: PostgresServer, name: str) -> None:
    """
    Fifty that start at once make the schema once, and none has an error.
    """
    stores = many(postgres, name)
    assert await setUp(*stores) == [None] * 50
    table = f"{stores[0]._schema.quoted}.version"
    assert postgres.ask(f"SELECT version FROM {table}") == [(PRESENT,)]


@pytest_twisted.ensureDeferred
async def test_parallelWithoutLock(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without the lock, the same shows errors.
    """
    monkeypatch.setattr(
        Schema, "_lock", lambda self: int.from_bytes(os.urandom(8), "big", signed=True)
    )
    quoted = Schema(name).quoted
    answers: list[Any] = []
    for _ in range(20):
        answers = await setUp(*many(postgres, name))
        if any(isinstance(answer, StoreUnavailable) for answer in answers):
            return
        postgres.ask(f"DROP SCHEMA {quoted} CASCADE")
    raise AssertionError(f"nobody was in the way of another: {answers}")


@pytest_twisted.ensureDeferred
async def test_parallelMigration(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Fifty of a newer version migrate the schema once, and what is there stays.
    """
    store = PostgresStore(**postgres.keywords(), schema=name)
    assert await setUp(store) == [None]
    table = f"{store._schema.quoted}.ended"
    postgres.ask(f"INSERT INTO {table} VALUES ('0', 'logout', 1)")
    stores = many(postgres, name)
    for newer in stores:
        newer._schema._migrations = (*MIGRATIONS, FURTHER)
    assert await setUp(*stores) == [None] * 50
    assert postgres.ask(f"SELECT sid FROM {table}") == [("0",)]
    version = f"{store._schema.quoted}.version"
    assert postgres.ask(f"SELECT version FROM {version}") == [(PRESENT + 1,)]


def makeFirst(postgres: PostgresServer, quoted: str) -> None:
    """
    Make version 1, with a session, and another one that has ended.
    """
    texts = [f"CREATE SCHEMA {quoted}", f"CREATE TABLE {quoted}.version AS SELECT 1 AS version"]
    texts += [text.format(schema=quoted) for text in MIGRATIONS[0]]
    for text in texts:
        postgres.ask(text)
    postgres.ask(
        f"INSERT INTO {quoted}.session VALUES (%s, %s, 1000, 2000, 1e12, NULL, %s, %s, 7, 1e12)",
        *("0" * 32, b"v" * 32, "anna", '{"data:a": "[1, 2]"}'),
    )
    ended = ("1" * 32, reactor.seconds())  # type: ignore[attr-defined]
    postgres.ask(f"INSERT INTO {quoted}.ended VALUES (%s, 'logout', %s)", *ended)


@pytest_twisted.ensureDeferred
async def test_firstVersion(postgres: PostgresServer, name: str) -> None:
    """
    Fifty stores that start on version 1 at once make it what it has to be, and go on
    with what is there.
    """
    makeFirst(postgres, Schema(name).quoted)
    stores = many(postgres, name)
    assert await setUp(*stores) == [None] * 50
    store = stores[0]
    assert postgres.ask(f"SELECT version FROM {store._schema.quoted}.version") == [(PRESENT,)]
    record = Record(
        *("0" * 32, b"v" * 32, 1000.0, 2000.0, 1e12, None, "anna", {"data:a": b"[1, 2]"}, 7)
    )
    assert await store.loadSession("0" * 32) == record
    with pytest.raises(SessionEnded):
        await store.loadSession("1" * 32)
    assert await store.saveSession(Change("0" * 32, set={"data:b": b"2"})) == 8
    await store.enrol("mail")
    (ending,) = await store.endSessions("anna")
    assert ending.record.attributes == {"data:a": b"[1, 2]", "data:b": b"2"}
    (entry,) = await store.takeEndings("mail", 10, 60.0)
    assert entry.record == ending.record
    await store.close()


@pytest_twisted.ensureDeferred
async def test_newer(postgres: PostgresServer, name: str) -> None:
    """
    A schema of a newer version is refused, and left as it is.
    """
    store = PostgresStore(**postgres.keywords(), schema=name)
    assert await setUp(store) == [None]
    table = f"{store._schema.quoted}.version"
    postgres.ask(f"UPDATE {table} SET version = {PRESENT + 1}")
    (answer,) = await setUp(store)
    assert isinstance(answer, StoreUnusable)
    assert "install the newer txsessions" in str(answer)
    with pytest.raises(StoreUnusable):
        await store.hasSession("0" * 32)
    await store.close()
    assert postgres.ask(f"SELECT version FROM {table}") == [(PRESENT + 1,)]


@pytest_twisted.ensureDeferred
async def test_firstUse(postgres: PostgresServer, name: str) -> None:
    """
    A store that nobody has set up makes its schema when it is first used.
    """
    store = PostgresStore(**postgres.keywords(), schema=name)
    assert await store.hasSession("0" * 32) is False
    await store.close()


@pytest_twisted.ensureDeferred
async def test_missingTables(postgres: PostgresServer, name: str) -> None:
    """
    A store whose tables were dropped says so, and its setup makes them again.
    """
    store = PostgresStore(**postgres.keywords(), schema=name)
    await store.setup()
    postgres.ask(f"DROP SCHEMA {store._schema.quoted} CASCADE")
    with pytest.raises(StoreUnusable, match="run the setup of the store"):
        await store.hasSession("0" * 32)
    await store.setup()
    assert await store.hasSession("0" * 32) is False
    await store.close()


@pytest_twisted.ensureDeferred
async def test_withoutPrivileges(postgres: PostgresServer, name: str) -> None:
    """
    Who may not make the schema is told what to do in one line; and may use one that
    others have made for him.
    """
    role = f"poor{os.urandom(4).hex()}"
    postgres.ask(f"CREATE ROLE {role} LOGIN")
    store = PostgresStore(**postgres.keywords(user=role), schema=name)
    (answer,) = await setUp(store)
    assert isinstance(answer, StoreUnusable)
    assert "grant CREATE" in str(answer)
    assert "\n" not in str(answer)
    schema = store._schema.quoted
    owner = PostgresStore(**postgres.keywords(), schema=name)
    assert await setUp(owner) == [None]
    (answer,) = await setUp(PostgresStore(**postgres.keywords(user=role), schema=name))
    assert isinstance(answer, StoreUnusable)
    assert "grant" in str(answer)
    postgres.ask(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    postgres.ask(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
    store = PostgresStore(**postgres.keywords(user=role), schema=name)
    assert await setUp(store) == [None]
    assert await store.hasSession("0" * 32) is False
    await store.close()
    postgres.ask(f"DROP OWNED BY {role}")
    postgres.ask(f"DROP ROLE {role}")


@pytest_twisted.ensureDeferred
async def test_schemaOfOthers(postgres: PostgresServer, name: str) -> None:
    """
    An empty schema that an administrator has made for a user will do.
    """
    role = f"poor{os.urandom(4).hex()}"
    postgres.ask(f"CREATE ROLE {role} LOGIN")
    store = PostgresStore(**postgres.keywords(user=role), schema=name)
    postgres.ask(f"CREATE SCHEMA {store._schema.quoted} AUTHORIZATION {role}")
    assert await setUp(store) == [None]
    postgres.ask(f"DROP OWNED BY {role}")
    postgres.ask(f"DROP ROLE {role}")


@pytest_twisted.ensureDeferred
async def test_otherEncoding(postgres: PostgresServer) -> None:
    """
    A database that cannot hold every text is refused.
    """
    postgres.ask("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    store = PostgresStore(**postgres.keywords(dbname="latin"))
    (answer,) = await setUp(store)
    assert isinstance(answer, StoreUnusable)
    assert "ENCODING 'UTF8'" in str(answer)
    postgres.ask("DROP DATABASE latin")


@pytest_twisted.ensureDeferred
async def test_durable(postgres: PostgresServer, name: str) -> None:
    """
    Whatever the server does for others, our commits wait for the disk.
    """
    postgres.ask("ALTER ROLE postgres SET synchronous_commit = off")
    store = PostgresStore(**postgres.keywords(), schema=name)
    try:
        await store.setup()
        schema = store._schema.quoted
        postgres.ask(
            f"CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "new.sessionKey = current_setting('synchronous_commit') || ' ' "
            "|| current_setting('transaction_isolation'); RETURN new; END $$"
        )
        postgres.ask(
            f"CREATE TRIGGER note BEFORE INSERT ON {schema}.session FOR EACH ROW "
            f"EXECUTE FUNCTION {schema}.note()"
        )
        record = newRecord()
        await store.createSession(record)
        loaded = await store.loadSession(record.sid)
        assert loaded is not None
        assert loaded.sessionKey == "on read committed"
    finally:
        postgres.ask("ALTER ROLE postgres RESET synchronous_commit")
        await store.close()


@pytest.mark.parametrize("name", ["", "a\0b", "x" * (MAXIMUM_NAME + 1)])
def test_badName(name: str) -> None:
    """
    A name that PostgreSQL cannot have is refused at once.
    """
    with pytest.raises(ValueError, match="the name of a schema"):
        PostgresStore(schema=name)


def plan(connection: psycopg.Connection, query: Query) -> str:
    """
    How the server goes about a query.
    """
    names, nulls = "", ""
    if query.kinds:
        types = connection.execute(
            "SELECT oid::regtype::text FROM unnest(%s::oid[]) WITH ORDINALITY AS a (oid, place) "
            "ORDER BY place",
            ([kind.oid for kind in query.kinds],),
        )
        names = f"({', '.join(name for (name,) in types.fetchall())})"
        nulls = f"({', '.join(['NULL'] * len(query.kinds))})"
    connection.execute(f"PREPARE q{names} AS {query.text}")  # type: ignore[arg-type]
    lines = connection.execute(f"EXPLAIN EXECUTE q{nulls}").fetchall()  # type: ignore[arg-type]
    connection.execute("DEALLOCATE q")
    return "\n".join(line for (line,) in lines)


@pytest_twisted.ensureDeferred
async def test_plans(postgres: PostgresServer, name: str) -> None:
    """
    No query reads or sorts a whole table, however wrong the server's idea of it is.
    """
    store = PostgresStore(**postgres.keywords(), schema=name)
    await store.setup()
    table = f"{store._schema.quoted}.session"
    # What was claimed is sorted, what was found, and what one owner has: little.
    queries, owners, journal = store._queries, store._owners, store._journal
    sorts = {
        queries.claim: 1,
        queries.find: 1,
        owners._logIn: 2,
        owners._end: 1,
        owners._endSome: 1,
    }
    sorts |= {journal._take: 1, journal._trim: 1}
    ways = ("Seq Scan", "Bitmap", "Join Filter", "Hash Join", "Merge Join")
    # An index that leads to many rows, of which few are meant.
    ways += ("Filter: (sid =", "Filter: (event =", "Filter: (owner =")
    with psycopg.connect(**postgres.keywords(), autocommit=True) as connection:
        connection.execute(f"VACUUM ANALYZE {table}")  # type: ignore[arg-type]
        connection.execute(
            f"INSERT INTO {table} SELECT i, '', i, i, 1, NULL, i, '{{}}', 1, i "  # type: ignore[arg-type]
            "FROM generate_series(1, 5000) AS i"
        )
        for setting, value in SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
        for query in store._queries.all:
            lines = plan(connection, query)
            for way in ways:
                # There are only a few observers, and a few hundred samples of each.
                isFew = query is journal._trim and way == "Join Filter"
                assert isFew or way not in lines, lines
            assert lines.count("Sort Key") == sorts.get(query, 0), lines
    await store.close()
