"""
Tests for L{txsessions.stores.encrypting}: what every store promises, around stores of all kinds.
"""

from __future__ import annotations

import os
from inspect import isawaitable
from typing import Any

import test_postgres
import test_redis_store
import test_sqlite
from zope.interface import providedBy

from txsessions.keys import KeyRing
from txsessions.stores.encrypting import EncryptingStore
from txsessions.stores.memory import MemoryStore
from txsessions.testing.contract import (
    AdministrationContract,
    IndexContract,
    JournalContract,
    KeyContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)

RING = KeyRing(os.urandom(32), os.urandom(32))


async def encrypting(store: Any) -> EncryptingStore:
    """
    An encrypting store around what a hook gives, which may be one already.
    """
    while isawaitable(store):
        store = await store
    return store if isinstance(store, EncryptingStore) else EncryptingStore(store, RING)


def inside(store: Any) -> Any:
    """
    The store inside, which a hook may have already.
    """
    return store.store if isinstance(store, EncryptingStore) else store


class EncryptedContract(KeyContract):
    """
    The contract of a store, kept by an encrypting store around it.
    """

    async def makeStore(self) -> EncryptingStore:
        """
        See L{Contract.makeStore}.
        """
        return await encrypting(super().makeStore())

    async def concurrentStore(self, store: EncryptingStore) -> EncryptingStore:
        """
        See L{Contract.concurrentStore}.
        """
        return await encrypting(super().concurrentStore(store.store))

    async def reopen(self, store: EncryptingStore) -> EncryptingStore:
        """
        See L{Contract.reopen}.
        """
        return await encrypting(super().reopen(store.store))

    async def breakStore(self, store: EncryptingStore) -> None:
        """
        See L{Contract.breakStore}.
        """
        await super().breakStore(inside(store))

    async def mendStore(self, store: EncryptingStore) -> None:
        """
        See L{Contract.mendStore}.
        """
        await super().mendStore(inside(store))

    async def damageSession(self, store: EncryptingStore, sid: str) -> None:
        """
        See L{Contract.damageSession}.
        """
        await super().damageSession(store.store, sid)

    async def withAnotherKey(self, store: EncryptingStore) -> EncryptingStore:
        """
        See L{Contract.withAnotherKey}.
        """
        return EncryptingStore(store.store, os.urandom(32))


class InMemory(
    StoreContract,
    SweepContract,
    IndexContract,
    AdministrationContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
):
    """
    The contract of a store in memory.
    """

    def makeStore(self) -> Any:
        """
        See L{Contract.makeStore}.
        """
        return MemoryStore(self.clock)


class TestInMemory(EncryptedContract, InMemory):
    """
    Around a store in memory.
    """


class TestInSQLite(EncryptedContract, test_sqlite.TestSQLiteStore):
    """
    Around a store in a file.
    """


server = test_redis_store.server
"""
The fixture of those tests.
"""


class TestInRedis(EncryptedContract, test_redis_store.TestOneServer):
    """
    Around a store on a server whose scripts read records.
    """


class TestInPostgres(EncryptedContract, test_postgres.TestPostgresStore):
    """
    Around a store on a server that takes JSON apart and puts it together.
    """


def test_providesTheSame() -> None:
    """
    It provides what the store inside provides.
    """
    store = MemoryStore()
    assert list(providedBy(EncryptingStore(store, RING))) == list(providedBy(store))
