"""
Tests for L{txsessions.subject} and L{txsessions.courier} over every store, with real time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from listening import Listener
from servers import RedisServer
from twisted.internet import reactor
from twisted.internet.task import deferLater

from txsessions.lifetime import IDLE, LOGOUT
from txsessions.ownid import ownIDOf
from txsessions.stores import StoreStorage, openStore
from txsessions.subject import SessionSubject

ID = -5577006791947779410

TRIES = 500


async def until(condition: Callable[[], Any]) -> None:
    """
    Wait for something, for some seconds at the most.
    """
    for _ in range(TRIES):
        if condition():
            return
        await deferLater(reactor, 0.02)  # type: ignore[arg-type]  # the reactor
    raise AssertionError("it did not come")


class EverywherePromises:
    """
    What holds on every store.  The fixture C{stores} gives two on the same sessions.
    """

    @pytest_twisted.ensureDeferred
    async def test_told(self, stores: Any) -> None:
        """
        The observers of the subject that ends a session hear of it, and so does a durable one in
        another, by the caller's own id and with the same facts; expiry as well; each once.
        """
        one, other = (SessionSubject(StoreStorage(store, 1.0), reactor) for store in stores)  # type: ignore[arg-type]  # the reactor
        here, there, durable = Listener(), Listener(), Listener()
        one.subscribe(here)
        other.subscribe(there)
        other.subscribe(durable, name="mailer")
        for subject in (one, other):
            subject.start()
        courier = other._couriers._couriers[0]
        await until(lambda: courier._isEnrolled)
        assert await one.createSession(ID) is True
        assert await other.hasSession(ID) is True
        assert await one.destroySession(ID) is True
        await until(lambda: durable.heard)
        assert await one.createSession(b"quiet") is True
        await until(lambda: len(durable.heard) == 2)
        await one.stop()
        await other.stop()
        assert [(e.type, e.sessionID, e.reason) for e in durable.heard] == [
            ("destroyed", ID, LOGOUT),
            ("destroyed", b"quiet", IDLE),
        ]
        begun = [("created", ID), ("destroyed", ID), ("created", b"quiet")]
        assert [(e.type, e.sessionID) for e in here.heard[:3]] == begun
        # Whichever of the two has ended it.
        (quiet,) = here.heard[3:] + there.heard
        assert (quiet.sessionID, quiet.reason) == (b"quiet", IDLE)
        assert [e.sid for e in durable.heard] == [here.heard[1].sid, here.heard[2].sid]
        assert ownIDOf(durable.heard[0]._record) == ID


class TestInMemory(EverywherePromises):
    """
    On a store in memory.
    """

    @pytest.fixture
    def stores(self) -> Any:
        """
        One store, twice.
        """
        return [openStore("memory")] * 2


class TestInFiles(EverywherePromises):
    """
    On stores in files.
    """

    @pytest_twisted.async_yield_fixture(params=["json:{}/j", "sqlite:{}/s"])
    async def stores(self, request: Any, tmp_path: Path) -> AsyncIterator[Any]:
        """
        Two stores on the same files.
        """
        stores = [openStore(request.param.format(tmp_path)) for _ in range(2)]
        for store in stores:
            await store.setup()
        yield stores
        for store in stores:
            await store.close()


class TestInRedis(EverywherePromises):
    """
    On a Redis.
    """

    @pytest_twisted.async_yield_fixture
    async def stores(self, run: Any, tmp_path: Path) -> AsyncIterator[Any]:
        """
        Two stores on the same server.
        """
        server = await run(RedisServer(tmp_path))
        stores = [openStore(f"redis:host=127.0.0.1:port={server.port}") for _ in range(2)]
        yield stores
        for store in stores:
            await store.close()


class TestInPostgres(EverywherePromises):
    """
    On a PostgreSQL.
    """

    @pytest_twisted.async_yield_fixture
    async def stores(self, make: Any) -> AsyncIterator[Any]:
        """
        Two stores on the same server.
        """
        stores = [make(), make()]
        await stores[0].setup()
        yield stores
