"""
Tests for L{txsessions.stores.postgresserver.address}, and for what is told of it.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from postgresload import newRecord
from postgresserver import PostgresServer
from twisted.logger import globalLogPublisher, textFileLogObserver

from txsessions.errors import StoreUnavailable
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver.address import DEFAULTS, parse

SECRET = "s3cret w'rd\\"


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """
    All that is logged, by Twisted and by others.
    """
    text = io.StringIO()
    observer = textFileLogObserver(text)
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    globalLogPublisher.addObserver(observer)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)
    globalLogPublisher.removeObserver(observer)


def test_keywords() -> None:
    """
    An address may be a connection string, a URI, keywords, or some of each, of which the
    keywords count.
    """
    wanted = {"host": "db", "port": "5433", "user": "web", "dbname": "site"}
    for dsn, keywords in (
        ("host=db port=5433 user=web dbname=site", {}),
        ("postgresql://web@db:5433/site", {}),
        ("", {"host": "db", "port": 5433, "user": "web", "dbname": "site"}),
        ("host=other port=1 user=web", {"host": "db", "port": "5433", "dbname": "site"}),
    ):
        address = parse(dsn, keywords)
        assert wanted.items() <= address.parameters.items()
        assert address.label == "PostgreSQL at db:5433"


def test_defaults() -> None:
    """
    Whoever says nothing of it gets a connection that is known to be dead in time, and
    whoever does gets what he says.
    """
    assert DEFAULTS.items() <= parse("", {}).parameters.items()
    assert parse("", {}).label == "PostgreSQL"
    given = parse("connect_timeout=7 target_session_attrs=any", {"keepalives_idle": 60})
    chosen = {name: given.parameters[name] for name in ("connect_timeout", "keepalives_idle")}
    assert chosen == {"connect_timeout": "7", "keepalives_idle": "60"}
    assert given.parameters["target_session_attrs"] == "any"


@pytest.mark.parametrize(
    ("dsn", "keywords"),
    [
        (f"host=db password={SECRET} x", {}),
        ("host=db s3cret", {}),
        ("postgresql://web:s3cret@word@db/site", {}),
        ("postgresql://web:s3cret/word@db/site", {}),
        ("postgresql://web:1234/s3cret@db/site", {}),
        ("postgresql://web:s3cret%@db/site", {}),
        ("s3cret=1", {}),
        ("", {"s3cret": "1"}),
        ("", {"port": "s3cret"}),
        ("", {"host": "s3cret@db"}),
        ("", {"host": "a\0s3cret"}),
        ("", {"host": "db port=1 password=s3cret"}),
        ("", {"dbname": "site password = s3cret"}),
        ("host=db user='web password=s3cret'", {}),
    ],
)
def test_misunderstood(dsn: str, keywords: dict[str, Any]) -> None:
    """
    What is no address is refused at once, and nothing of it is repeated: any part may be
    a piece of a password.
    """
    with pytest.raises(ValueError) as caught:
        PostgresStore(dsn, **keywords)
    assert "s3cret" not in str(caught.value)
    assert "libpq" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_options() -> None:
    """
    What is no keyword of libpq may stand in a value, and anything in a password.
    """
    options = "-c search_path=web -c statement_timeout=5s"
    given = parse("", {"options": options, "password": f"a host={SECRET}"})
    assert given.parameters["options"] == options


def test_masked() -> None:
    """
    Text of libpq is shown in one line, and without secrets.
    """
    address = parse("", {"password": SECRET, "sslpassword": "other"})
    assert address.masked(f"it\nis  {SECRET} and other") == "it is *** and ***"
    assert SECRET not in repr(address)


@pytest_twisted.ensureDeferred
async def test_wrongPassword(postgres: PostgresServer, told: io.StringIO) -> None:
    """
    A password is shown nowhere: not in repr, not in an error, not in a log, wrong or
    right.
    """
    role = f"guarded{os.urandom(4).hex()}"
    right = f"{SECRET}right"
    quoted = right.replace("'", "''")
    postgres.ask(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{quoted}'")
    await postgres.guard(role)
    texts = []
    for password in (f"{SECRET}wrong", right):
        store = PostgresStore(**postgres.keywords(user=role, password=password), schema=role)
        texts += [repr(store), str(store), f"{store}"]
        try:
            assert await store.hasSession("0" * 32) is False
        except StoreUnavailable as e:
            assert password != right
            assert "password authentication failed" in str(e)
            assert "\n" not in str(e)
            texts += [str(e), repr(e)]
        else:
            assert password == right
        await store.close()
    whole = "".join(texts) + told.getvalue()
    assert "s3cret" not in whole
    postgres.ask(f"DROP OWNED BY {role} CASCADE")
    postgres.ask(f"DROP ROLE {role}")


@pytest_twisted.ensureDeferred
async def test_noSuchHost(told: io.StringIO) -> None:
    """
    A host that is not found is an error that names it, and nothing else.
    """
    store = PostgresStore("postgresql://web:s3cret@nowhere.invalid/site")
    with pytest.raises(StoreUnavailable) as caught:
        await store.hasSession("0" * 32)
    assert "PostgreSQL at nowhere.invalid cannot be reached" in str(caught.value)
    assert "s3cret" not in str(caught.value) + told.getvalue()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_valuesAreNotTold(postgres: PostgresServer, told: io.StringIO) -> None:
    """
    When the server refuses a statement, its text, which may quote what is stored, is not
    shown.
    """
    schema = f"x{os.urandom(4).hex()}"
    store = PostgresStore(**postgres.keywords(), schema=schema)
    await store.setup()
    postgres.ask(f"ALTER TABLE {schema}.session ADD CHECK (attributes::text NOT LIKE '%%s3cret%%')")
    with pytest.raises(StoreUnavailable) as caught:
        await store.createSession(newRecord(attributes={"data:a": b'"s3cret"'}))
    assert "CheckViolation (23514)" in str(caught.value)
    assert "s3cret" not in str(caught.value) + told.getvalue()
    await store.close()
    postgres.ask(f"DROP SCHEMA {schema} CASCADE")


@pytest_twisted.ensureDeferred
async def test_socket(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server may be reached by a socket of its host, and be the second of two hosts.
    """
    for host, port in (
        (str(postgres.directory), str(postgres.port)),
        ("127.0.0.1,127.0.0.1", f"1,{postgres.port}"),
    ):
        store = make(host=host, port=port)
        record = newRecord()
        assert await store.createSession(record) is True
        assert await store.loadSession(record.sid) == record
