"""
What several processes do to the same sessions, in many orders of the commands of
Redis and of the transactions of PostgreSQL, on real servers.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from explored import SCENARIOS, TouchAndSweep, fits
from servers import RedisServer
from test_explorer_stores import orders
from twisted.internet.defer import Deferred

from txsessions.record import Change
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.redis import RedisStore
from txsessions.testing.explorer import InterleavingFailed, Scenario, explore
from txsessions.testing.shared import SharedPostgres, SharedRedis

LONG = bool(os.environ.get("TXSESSIONS_EXPLORE"))
"""
Whether all is explored, however long it takes, and not what a few seconds allow.
"""

LIMIT = 5000 if LONG else 40
"""
How many runs there are of each scenario at the most.  Those that wait in line at Redis for
each other can do so in very many orders.
"""


@pytest_twisted.async_yield_fixture(scope="module")
async def redis(tmp_path_factory: Any) -> AsyncIterator[RedisServer]:
    """
    A Redis for all tests of this module.
    """
    server = RedisServer(Path(tmp_path_factory.mktemp("redis")))
    await server.start()
    yield server
    await server.kill()


@pytest_twisted.async_yield_fixture
async def onRedis(redis: RedisServer) -> AsyncIterator[Callable[..., SharedRedis]]:
    """
    Makes what is shared by processes on Redis, and closes it.
    """
    made: list[SharedRedis] = []

    def make(kind: type[RedisStore] = RedisStore) -> SharedRedis:
        made.append(SharedRedis(lambda: kind(port=redis.port)))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest_twisted.async_yield_fixture
async def onPostgres(make: Callable[..., PostgresStore]) -> AsyncIterator[Any]:
    """
    Makes what is shared by processes on PostgreSQL, and closes it.
    """
    made: list[SharedPostgres] = []

    def share(kind: type[PostgresStore] = PostgresStore) -> SharedPostgres:
        made.append(SharedPostgres(lambda: make(kind, timeout=10.0)))
        return made[-1]

    yield share
    for each in made:
        await each.close()


def unhurried(name: str) -> type[Scenario]:
    """
    A scenario, in which a deadline is not near that is not to come: the server's
    time goes on, however long a run takes.
    """
    kind = SCENARIOS[name]
    if issubclass(kind, TouchAndSweep):
        return type(kind.__name__, (kind,), {"left": 60 * kind.left})
    return kind


class Indifferent:
    """
    Does not care which token a change is for: broken on purpose.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        return super().saveSession(attrs.evolve(change, expectedVerifier=None))  # type: ignore[misc, no-any-return]


class IndifferentRedis(Indifferent, RedisStore):
    """
    One on Redis.
    """


class IndifferentPostgres(Indifferent, PostgresStore):
    """
    One on PostgreSQL.
    """


@pytest.mark.parametrize("name", SCENARIOS)
@pytest_twisted.ensureDeferred
async def test_redis(name: str, onRedis: Callable[..., SharedRedis], record_property: Any) -> None:
    """
    On Redis the orders of scripts and commands come out right.
    """
    if not fits(name, RedisStore):
        pytest.skip("this store does not know owners")
    found = await explore(unhurried(name), onRedis(), limit=LIMIT)
    record_property("figures", orders(found))
    assert found.count >= 2


@pytest.mark.parametrize("name", SCENARIOS)
@pytest_twisted.ensureDeferred
async def test_postgres(
    name: str, onPostgres: Callable[..., SharedPostgres], record_property: Any
) -> None:
    """
    On PostgreSQL the orders of transactions come out right.
    """
    if not fits(name, PostgresStore):
        pytest.skip("this store does not know owners")
    found = await explore(unhurried(name), onPostgres(), limit=LIMIT)
    record_property("figures", orders(found))
    assert found.count >= 2


@pytest_twisted.ensureDeferred
async def test_redisControl(onRedis: Callable[..., SharedRedis]) -> None:
    """
    A store on Redis that is broken on purpose is found out.
    """
    with pytest.raises(InterleavingFailed, match="2 log-ins"):
        await explore(SCENARIOS["two tabs"], onRedis(IndifferentRedis))


@pytest_twisted.ensureDeferred
async def test_postgresControl(onPostgres: Callable[..., SharedPostgres]) -> None:
    """
    A store on PostgreSQL that is broken on purpose is found out.
    """
    with pytest.raises(InterleavingFailed, match="2 log-ins"):
        await explore(SCENARIOS["two tabs"], onPostgres(IndifferentPostgres))
