"""
How a connection is made.
"""

from __future__ import annotations

from typing import Final

import psycopg

from ...errors import StoreUnavailable, StoreUnusable
from .address import Address
from .pipeline import Pipeline

OLDEST: Final = 120000
"""
The oldest version of the server that will do: 12 gives back every floating point
number as it was given.
"""


def connect(address: Address) -> psycopg.Connection:
    """
    Connect to a server.  It waits for the time that C{connect_timeout} gives
    for each host, and for the names of hosts to be looked up.

    @raise StoreUnavailable: There is no connection.
    """
    try:
        return psycopg.Connection.connect(address.conninfo(), autocommit=True)
    except (psycopg.Error, OSError, UnicodeError) as e:
        # What libpq says is the only thing that says what is wrong.
        reason = address.masked(str(e))
        raise StoreUnavailable(f"{address.label} cannot be reached: {reason}") from None


def connectPipeline(address: Address, timeout: float) -> Pipeline:
    """
    The same, for a connection that carries operations.

    @param timeout: How long a transaction on the connection may take, in
        seconds.
    @raise StoreUnavailable: There is no connection.  L{StoreUnusable}: nor
        will there be one.
    """
    connection = connect(address)
    try:
        _check(connection, address)
        return Pipeline(connection, timeout)
    except BaseException:
        connection.close()
        raise


def _check(connection: psycopg.Connection, address: Address) -> None:
    """
    See whether the server will do.
    """
    version = connection.pgconn.server_version
    if version < OLDEST:
        raise StoreUnusable(
            f"{address.label} has version {version // 10000}; use one of "
            f"version {OLDEST // 10000} or newer"
        )
    encoding = connection.pgconn.parameter_status(b"server_encoding")
    if encoding != b"UTF8":
        raise StoreUnusable(
            f"{address.label}: the database cannot hold every text; "
            "use one that was made with ENCODING 'UTF8'"
        )
