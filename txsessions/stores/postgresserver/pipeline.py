"""
One connection to a server, in libpq's pipeline mode: many statements go out at
once, and their results come back in the same order.

It waits for nothing without limit, and a connection on which anything is not as
expected is closed and never used again, so that no result is ever taken for
that of another statement.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, TypeAlias

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from ...errors import StoreTimedOut, StoreUnavailable
from .kind import Row
from .lookups import Arrangement
from .refusal import SPENT, Refusal, refusal
from .statement import Unit

Rows: TypeAlias = list[Row]

Outcome: TypeAlias = list[Rows] | StoreUnavailable
"""
What came of a unit: the rows of each of its statements, or why it was not done.
"""

DONE: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


class Pipeline:
    """
    A connection in pipeline mode.  For one thread.

    Units that are run together are done in one transaction, which costs one
    commit.  Where one of them is refused, and all with it, they are done again
    one by one.

    @ivar trouble: Why it had to be closed in the middle of something; C{None}
        if it had not.
    @ivar _connection: The connection, which is closed when it is C{None}.
    @ivar _timeout: How long a transaction may take, in seconds.
    @ivar _isSpent: Whether the server has said that this connection is no good
        any more.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: StoreUnavailable | None = None
        self._connection: psycopg.Connection | None = connection
        self._timeout = timeout
        self._monotonic = monotonic
        self._isSpent = False
        self._poll = select.poll()
        self._descriptor = connection.pgconn.socket
        self._poll.register(self._descriptor, select.POLLIN)
        connection.pgconn.enter_pipeline_mode()

    def close(self) -> None:
        """
        Close the connection.  A second call does nothing.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def isUsable(self) -> bool:
        """
        Whether the connection is there, as far as can be known without asking
        the server.  What a server says unasked is a farewell; after anything
        else it costs little to connect anew.
        """
        if self._connection is not None and self._poll.poll(0):
            self.close()
        return self._connection is not None

    def run(self, units: Sequence[Unit]) -> list[Outcome]:
        """
        Do these units.

        @return: The outcome of each, in the same order.  A unit that has one is
            done, and durable; what has a L{Refusal} is not done; after a
            L{StoreTimedOut} or another L{StoreUnavailable} it may be or not.
        """
        end = self._monotonic() + self._timeout
        outcomes: list[Outcome] = []
        for isAlone, some in groupby(units, key=lambda unit: unit.isAlone):
            if isAlone:
                outcomes += self._oneByOne(list(some), end)
            else:
                outcomes += self._inOrder(list(some), end)
            if self._isSpent:
                self.close()
        return outcomes

    def _inOrder(self, units: Sequence[Unit], end: float) -> list[Outcome]:
        """
        Do units in the order of their keys.
        """
        if self._monotonic() > end:
            return [_notTried()] * len(units)
        places = sorted(range(len(units)), key=lambda place: units[place].key)
        ordered = [units[place] for place in places]
        outcomes = self._together(ordered)
        if len(units) > 1 and isinstance(outcomes[0], StoreUnavailable) and not self._isSpent:
            end = max(end, self._monotonic() + self._timeout)
            outcomes = self._oneByOne(ordered, end) if self._connection else outcomes
        inOrder: list[Outcome] = [[]] * len(units)
        for place, outcome in zip(places, outcomes, strict=True):
            inOrder[place] = outcome
        return inOrder

    def _oneByOne(self, units: Sequence[Unit], end: float) -> list[Outcome]:
        """
        Do units each in a transaction of its own.

        Where one has waited too long, the others of its key are not tried, and
        neither is any after C{end}, in seconds.
        """
        outcomes: list[Outcome] = []
        late: dict[str, StoreUnavailable] = {}
        for unit in units:
            outcome: Outcome
            if unit.key in late:
                outcome = late[unit.key]
            elif self._connection is None or self._monotonic() > end:
                outcome = _notTried()
            else:
                (outcome,) = self._together([unit])
            if isinstance(outcome, StoreTimedOut):
                late[unit.key] = outcome
            outcomes.append(outcome)
        return outcomes

    def _together(self, units: Sequence[Unit]) -> list[Outcome]:
        """
        Do units in one transaction.
        """
        if self._connection is None:
            return [self.trouble or _lost()] * len(units)
        pgconn = self._connection.pgconn
        end = self._monotonic() + self._timeout
        arrangement = Arrangement(units)
        statements = arrangement.statements()
        try:
            for statement in statements:
                statement.send(pgconn)
            pgconn.pipeline_sync()
            self._flush(pgconn, end)
            rows = self._receive(pgconn, len(statements), end)
        except StoreUnavailable as e:
            self.trouble = e
        except psycopg.Error:
            self.trouble = _lost()
        else:
            if isinstance(rows, StoreUnavailable):
                return [rows] * len(units)
            return [*arrangement.outcomes(rows)]
        self.close()
        return [self.trouble] * len(units)

    def _receive(self, pgconn: PGconn, count: int, end: float) -> list[Rows] | StoreUnavailable:
        """
        Take the results of so many statements, up to the end of their
        transaction.

        @return: The rows of each; or why nothing was done.
        """
        rows: list[Rows] = []
        refused: StoreUnavailable | None = None
        while (result := self._next(pgconn, end)).status != ExecStatus.PIPELINE_SYNC:
            if result.status in DONE:
                rows.append(_rowsOf(result))
            elif result.status == ExecStatus.FATAL_ERROR and refused is None:
                refused = refusal(result)
                self._isSpent |= isinstance(refused, Refusal) and refused.state in SPENT
        if refused is None and len(rows) != count:
            raise StoreUnavailable("PostgreSQL answered something else than it was asked")
        return rows if refused is None else refused

    def _next(self, pgconn: PGconn, end: float) -> PGresult:
        """
        Wait for the next result.
        """
        for _ in range(2):
            # Between the results of two statements there is one None.
            while pgconn.is_busy():
                self._wait(select.POLLIN, end)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:
                return result
        raise _lost()

    def _flush(self, pgconn: PGconn, end: float) -> None:
        """
        Send all.  What comes meanwhile is read, or both sides would wait.
        """
        while pgconn.flush():
            if self._wait(select.POLLIN | select.POLLOUT, end) & select.POLLIN:
                pgconn.consume_input()

    def _wait(self, events: int, end: float) -> int:
        """
        Wait until one of the events is there.

        @raise StoreTimedOut: It came not in time.
        """
        self._poll.modify(self._descriptor, events)
        ready = self._poll.poll(max(0.0, end - self._monotonic()) * 1000)
        if events != select.POLLIN:
            self._poll.modify(self._descriptor, select.POLLIN)
        if not ready:
            raise StoreTimedOut(f"PostgreSQL did not answer for {self._timeout:g} seconds")
        return ready[0][1]


def _notTried() -> StoreTimedOut:
    """
    The error when there is no time left.
    """
    return StoreTimedOut("PostgreSQL was too slow; the statement was not tried")


def _lost() -> StoreUnavailable:
    """
    The error when a connection has ended.
    """
    return StoreUnavailable("the connection to PostgreSQL was lost; try again")


def _rowsOf(result: PGresult) -> Rows:
    """
    The rows of a result.
    """
    columns = range(result.nfields)
    return [
        tuple([result.get_value(row, column) for column in columns])
        for row in range(result.ntuples)
    ]
