"""
Tests for L{txsessions.stores.postgres}: what every store promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from postgresserver import PostgresServer
from servers import until

from txsessions.errors import SessionError
from txsessions.stores.postgres import PostgresStore
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

SKEW = 12345.678901
"""
How far the server's time is ahead of that of the tests, in seconds.
"""


TABLES = ("session", "ended", "quarantine", "fence", "observer", "journal")
"""
The tables in which sessions leave something.
"""


class TestPostgresStore(
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
    A store on a server keeps what every store promises, by the server's time.
    """

    # How long a notice may take on a machine that does much else.
    noticeDelay = 1.0

    @pytest.fixture(autouse=True)
    def place(self, postgres: PostgresServer) -> Iterator[None]:
        """
        Empty tables on the server for each test.
        """
        self.server = postgres
        yield
        postgres.ask(f"TRUNCATE {', '.join(f'contract.{table}' for table in TABLES)}")

    def open(self, **keywords: Any) -> PostgresStore:
        """
        A handle.
        """
        return PostgresStore(
            **self.server.keywords(), schema="contract", clock=self.clock, **keywords
        )

    async def makeStore(self) -> PostgresStore:
        """
        See L{Contract.makeStore}.
        """
        if not self.server.ask("SELECT to_regnamespace('contract')")[0][0]:
            store = self.open()
            await store.setup()
            await store.close()
            self.server.ask("CREATE TABLE contract.clock AS SELECT 0.0::float8 AS now")
            self.server.ask(
                "CREATE OR REPLACE FUNCTION contract.present() RETURNS double precision "
                "LANGUAGE sql VOLATILE AS 'SELECT now FROM contract.clock'"
            )
        self.setServerTime()
        return self.open()

    def setServerTime(self) -> None:
        """
        Let the server's time go with the clock.
        """
        self.server.ask("UPDATE contract.clock SET now = %s", self.clock.seconds() + SKEW)

    async def advance(self, seconds: float) -> None:
        """
        See L{Contract.advance}.
        """
        await super().advance(seconds)
        self.setServerTime()

    async def concurrentStore(self, store: PostgresStore) -> PostgresStore:
        """
        See L{Contract.concurrentStore}.
        """
        return self.open()

    async def reopen(self, store: PostgresStore) -> PostgresStore:
        """
        See L{Contract.reopen}.
        """
        await store.close()
        return self.open()

    async def breakStore(self, store: PostgresStore) -> None:
        """
        See L{Contract.breakStore}.
        """
        await self.server.kill()

    async def mendStore(self, store: PostgresStore) -> None:
        """
        See L{Contract.mendStore}.
        """
        await self.server.start()

        async def answers() -> bool:
            try:
                # Both of its connections.
                for number in range(8):
                    await store.hasSession(f"{number:032x}")
            except SessionError:
                return False
            return True

        await until(answers, "the store answers")

    async def damageSession(self, store: PostgresStore, sid: str) -> None:
        """
        See L{Contract.damageSession}.
        """
        self.server.ask(
            "UPDATE contract.session SET attributes = '{\"data:a\": 1}' WHERE sid = %s", sid
        )
