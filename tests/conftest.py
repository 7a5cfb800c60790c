"""
What all tests share.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, settings
from scenes import scenes
from strictness import noTroubleLeft, unhandled  # noqa: F401  # fixtures
from twisted.logger import globalLogBeginner

# How long one example takes depends on what else the machine does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Until a log begins Twisted keeps the last events, and the garbage of a test with them.
globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has it ignored in what it runs in the background, and so has all that this starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest_twisted.async_yield_fixture
async def run() -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    """
    Starts a server of L{servers}, gives it, and ends it with the test.
    """
    started = []

    async def runServer(server: Any) -> Any:
        started.append(server)
        await server.start()
        return server

    yield runServer
    for server in reversed(started):
        await server.kill()


@pytest_twisted.async_yield_fixture(scope="module")
async def postgres() -> AsyncIterator[Any]:
    """
    A PostgreSQL server for all tests of a module.
    """
    from postgresserver import PostgresServer

    server = PostgresServer()
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
        server.remove()


@pytest_twisted.async_yield_fixture
async def make(postgres: Any) -> AsyncIterator[Callable[..., Any]]:
    """
    Makes stores on the PostgreSQL server, in a schema of the test's own.
    """
    from postgresload import TIMEOUT

    from txsessions.stores.postgres import PostgresStore

    made: list[Any] = []
    schema = f"test {os.urandom(4).hex()}"

    def makeStore(kind: Callable[..., Any] = PostgresStore, **keywords: Any) -> Any:
        given = {"schema": schema, "timeout": TIMEOUT, **keywords}
        made.append(kind(**postgres.keywords(**given)))
        return made[-1]

    yield makeStore
    for store in made:
        await store.close()
    postgres.ask(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    Where a file of SQLite's is, or is to be.
    """
    return tmp_path / "sessions.db"


@pytest.fixture
def scene() -> Iterator[Callable[..., Any]]:
    """
    Makes sites with everything that a test of them needs: L{scenes.Scene}.
    """
    yield from scenes()
