"""
What the server says when it does not do what it was asked, and what that means.

Only the state is told, not the text: it may quote what is stored.
"""

from __future__ import annotations

from typing import Final

from psycopg import errors
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from ...errors import StoreTimedOut, StoreUnavailable, StoreUnusable

SPENT: Final = frozenset(
    {
        "25006",  # read-only: the server has become a standby
        "26000",  # no such prepared statement: somebody has reset the connection
        "0A000",  # a cached plan must not change its result type
        "57P01",  # an administrator ends the connection
        "57P02",  # another process of the server has crashed
        "57P03",  # the server starts or stops
        "57P05",  # it was idle for too long
    }
)
"""
After one of these the connection is not used again.
"""

LATE: Final = frozenset({"55P03", "57014"})
"""
The server has given up waiting for a lock, or for the end of the statement.
"""

ADVICE: Final = {
    "42501": "the user of the connection lacks a privilege; grant it",
    "42P01": "a table is missing; run the setup of the store",
    "3F000": "the schema is missing; run the setup of the store",
    "42883": "a function is missing; run the setup of the store",
}
"""
What only somebody can mend.
"""


class Refusal(StoreUnavailable):
    """
    The server has answered, and has not done what it was asked.

    @ivar state: The C{SQLSTATE}, five characters.
    """

    state = ""


def refusal(result: PGresult) -> StoreUnavailable:
    """
    The error for a result that is one.
    """
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"XX000").decode("ascii", "replace")
    if state in LATE:
        return StoreTimedOut(f"PostgreSQL gave up on a statement: {_name(state)} ({state})")
    error = Refusal(f"PostgreSQL refused a statement: {_name(state)} ({state})")
    error.state = state
    return error


def advised(error: Exception) -> Exception:
    """
    The error as whoever asked gets it: one that only somebody can mend says
    what to do.
    """
    if isinstance(error, Refusal) and error.state in ADVICE:
        return StoreUnusable(f"{error}: {ADVICE[error.state]}")
    return error


def _name(state: str) -> str:
    """
    What the state is called.
    """
    try:
        return errors.lookup(state).__name__
    except KeyError:
        return "Error"
