"""
What comes first on a new connection.
"""

from __future__ import annotations

from typing import Final

from ...errors import StoreUnavailable
from .line import Steps
from .operations import Operations
from .queries import Queries
from .schema import Schema
from .statement import ANY, Command, Unit

SETTINGS: Final = {
    # An answer is given when what it says is on the disk.
    "synchronous_commit": "on",
    # Each statement decides on what is there when it has its locks.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "search_path": "pg_catalog, pg_temp",
    # Every query is made for the order of an index, and what the planner knows
    # of a table is of yesterday when a million sessions have just come or gone.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # What is locked by a process that has gone without a word is free after
    # 25 seconds.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""
How the server is to work for us, whatever it does for others.
"""

STATEMENT: Final = 0.8
LOCK: Final = 0.2
"""
After which parts of our time-out the server gives up by itself on a statement,
and on a lock: so that there is time left to hear of it, and to try the others of
a batch.
"""


class Opening:
    """
    Makes a connection ready for operations.

    @ivar _number: The number of an advisory lock which the connection holds
        as long as the server knows it.
    """

    def __init__(
        self, schema: Schema, queries: Queries, operations: Operations, timeout: float, number: int
    ) -> None:
        self._schema = schema
        self._queries = queries
        self._operations = operations
        self._timeout = timeout
        self._number = number

    def steps(self) -> Steps[None]:
        """
        The steps.
        """
        yield Unit(ANY, [Command(self._settings())])
        yield from self._takeOver()
        yield from self._schema.ensure()
        yield Unit(ANY, self._queries.all)
        yield from self._operations.compareTimes()

    def _settings(self) -> str:
        """
        SQL that makes the settings.
        """
        limits = {
            "statement_timeout": f"{self._timeout * STATEMENT * 1000:.0f}ms",
            "lock_timeout": f"{self._timeout * LOCK * 1000:.0f}ms",
        }
        calls = (
            f"set_config('{name}', '{value}', false)"
            for name, value in {**SETTINGS, **limits}.items()
        )
        return f"SELECT {', '.join(calls)}"

    def _takeOver(self) -> Steps[None]:
        """
        Be sure that the connection before this one has come to its end.

        A statement whose answer we did not wait for may still be carried out;
        what is asked from now on must not be overtaken by it.  So each
        connection holds a lock, and the next one of the same thread ends the
        holder and waits for the lock.
        """
        number = self._number & 0xFFFFFFFFFFFFFFFF
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            f"AND classid = {number >> 32} AND objid = {number & 0xFFFFFFFF} AND objsubid = 1 "
            "AND granted AND pid <> pg_backend_pid()"
        )
        try:
            yield Unit(ANY, [Command(end)])
            yield Unit(ANY, [Command(f"SELECT pg_advisory_lock({self._number})")])
        except StoreUnavailable as e:
            raise StoreUnavailable(
                f"the last connection to PostgreSQL has not come to its end yet ({e})"
            ) from None
