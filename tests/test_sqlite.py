"""
Tests for L{txsessions.stores.sqlite}.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    DurableJournalContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)


class TestSQLiteStore(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    DurableJournalContract,
    NoticesContract,
    AdministrationContract,
    ConnectedContract,
    DurabilityContract,
    AvailabilityContract,
    CorruptionContract,
):
    """
    A store in an SQLite file keeps what every store promises.
    """

    noticeDelay = 1.5

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Any) -> None:
        """
        A directory for each test.
        """
        self.directory = tmp_path / "place"
        self.directory.mkdir()

    def makeStore(self) -> SQLiteStore:
        """
        An empty store.
        """
        return SQLiteStore(self.directory / "sessions.db", clock=self.clock)

    async def concurrentStore(self, store: SQLiteStore) -> SQLiteStore:
        """
        A second store on the same file, with a thread and a connection of its
        own.
        """
        return self.makeStore()

    async def reopen(self, store: SQLiteStore) -> SQLiteStore:
        """
        Another store on the same file.
        """
        await store.close()
        return self.makeStore()

    async def breakStore(self, store: SQLiteStore) -> None:
        """
        Take the directory away.
        """
        await store.close()
        os.rename(self.directory, f"{self.directory}.away")

    async def mendStore(self, store: SQLiteStore) -> None:
        """
        Put the directory back.
        """
        os.rename(f"{self.directory}.away", self.directory)

    async def damageSession(self, store: SQLiteStore, sid: str) -> None:
        """
        Cut the attributes short.
        """
        with closing(sqlite3.connect(self.directory / "sessions.db")) as connection, connection:
            connection.execute("UPDATE session SET attributes = '{' WHERE sid = ?", (sid,))
