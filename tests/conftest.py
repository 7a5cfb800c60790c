"""
What all tests share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_twisted


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
