"""
What lets owners in, and puts them out.

Each operation locks the owner first, in a statement of its own, so that the next
one sees all that others have done before; then it locks the rows that it is
about, in the order of their C{sid}.  It is alone in its transaction, so that it
holds nothing else while it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from ...errors import SessionEnded, TooManySessions
from ...lifetime import EVICTED, REVOKED
from ...limit import REFUSE, SessionLimit
from ...record import Change
from ..claim import Ending, LogIn
from ..remembrance import RETENTION
from ..servertime import ServerTime
from .ending import TOLD, ending
from .kind import BYTES, FLOAT, INTEGER, TEXT, TEXTS, TRUTH, Value, readInteger, readText, readTruth
from .line import Steps
from .operations import FORGOTTEN, ROUNDS, Operations
from .pipeline import Rows
from .queries import APPLIES, CHANGE, CHANGED, Queries
from .row import endingIn, toSave
from .schema import Schema
from .statement import LAST, Asked, Unit

LOCK: Final = "SELECT pg_advisory_xact_lock($1)"

SINCE: Final = "coalesce({schema}.authenticatedAt(attributes), created - $18)"
"""
When a session logged in, as L{txsessions.limit.loggedInAt} has it.  That is noted
by the clock of a process, and when it began by the server's: $18 is by how much
the latter is ahead.
"""

LOG_IN: Final = f"""
    WITH concerned AS MATERIALIZED (
        SELECT sid, sessionKey, {{schema}}.isSound(attributes) AS isSound,
            {SINCE} AS since, created,
            ({APPLIES}) AS applies
        FROM {{schema}}.session
        WHERE sid = ANY (ARRAY (
            SELECT $1 UNION ALL SELECT sid FROM {{schema}}.session WHERE sessionKey = $8))
        ORDER BY sid
        FOR UPDATE
    ),
    target AS MATERIALIZED (
        SELECT EXISTS (
            SELECT FROM {{schema}}.fence WHERE owner = $14 AND $15 < moment - 0.000001
        ) AS isLate
        FROM concerned WHERE sid = $1 AND applies
    ),
    other AS MATERIALIZED (
        SELECT sid, row_number() OVER (ORDER BY since, created, sid) - count(*) OVER () AS place
        FROM concerned WHERE sid <> $1 AND sessionKey = $8 AND isSound
    ),
    refused AS MATERIALIZED (
        SELECT FROM target WHERE $17 AND NOT isLate AND (SELECT count(*) FROM other) >= $16
    ),
    ending AS (
        SELECT sid FROM other, target WHERE NOT isLate AND NOT $17 AND place + $16 <= 1
        UNION ALL SELECT $1 FROM target WHERE isLate
    ),
    {ending(f"CASE WHEN sid = $1 THEN '{REVOKED}' ELSE '{EVICTED}' END")},
    changed AS (
        UPDATE {{schema}}.session SET {CHANGED}
        WHERE sid = ANY (ARRAY (
            SELECT $1 FROM target WHERE NOT isLate AND NOT EXISTS (SELECT FROM refused)))
        RETURNING version
    )
    SELECT last.*, (SELECT version FROM changed), (SELECT isLate FROM target),
        EXISTS (SELECT FROM refused), {TOLD}
    FROM (SELECT) AS always LEFT JOIN last ON true
    ORDER BY {SINCE}, created, sid
"""
"""
There is always a row, which has no C{sid} when nothing was ended.  A time that was
translated may have lost its last bits.
"""

END: Final = f"""
    WITH concerned AS MATERIALIZED (
        SELECT sid, sessionKey FROM {{schema}}.session
        WHERE sid = ANY (ARRAY (
            SELECT sid FROM {{schema}}.session WHERE sessionKey = $1 AND ($3 IS NULL OR sid <> $3)))
        ORDER BY sid LIMIT $5
        FOR UPDATE
    ),
    fenced AS (
        INSERT INTO {{schema}}.fence (owner, moment) VALUES ($4, {{schema}}.present())
        ON CONFLICT (owner) DO UPDATE SET moment = greatest(fence.moment, excluded.moment)
    ),
    ending AS (SELECT sid FROM concerned WHERE sessionKey = $1),
    {ending("$2")}
    SELECT *, {TOLD} FROM last ORDER BY created, sid
"""

REST: Final = """
    SELECT sid FROM {schema}.session WHERE sessionKey = $1 AND ($2 IS NULL OR sid <> $2)
"""

END_SOME: Final = f"""
    WITH concerned AS MATERIALIZED (
        SELECT sid, sessionKey FROM {{schema}}.session WHERE sid = ANY ($3) ORDER BY sid FOR UPDATE
    ),
    ending AS (SELECT sid FROM concerned WHERE sessionKey = $1),
    {ending("$2")}
    SELECT *, {TOLD} FROM last ORDER BY created, sid
"""

FORGET: Final = """
    WITH old AS MATERIALIZED (
        SELECT owner FROM {schema}.fence WHERE moment <= (SELECT {schema}.present()) - $1
        ORDER BY moment LIMIT $2
        FOR UPDATE SKIP LOCKED
    ),
    gone AS (
        DELETE FROM {schema}.fence WHERE owner = ANY (ARRAY (SELECT owner FROM old)) RETURNING 1
    )
    SELECT count(*) FROM gone
"""

STRIDE: Final = 1000
"""
How many sessions of an owner are ended in one transaction at the most, so that
nobody else waits for long.
"""

UNLIMITED: Final = 2**62
"""
More sessions than anybody has.
"""

VERSION: Final = 10
IS_LATE: Final = 11
IS_REFUSED: Final = 12
"""
What a row of a log-in has after the columns of the record, and the reason.
"""


class Owners:
    """
    The operations on owners, in the tables of one schema.

    @ivar _operations: Those on sessions.
    @ivar _report: Called with the C{sid} of a damaged record that was put
        aside without anybody being told.
    """

    def __init__(
        self,
        schema: Schema,
        queries: Queries,
        time: ServerTime,
        operations: Operations,
        report: Callable[[str], object],
    ) -> None:
        self._schema = schema
        self._time = time
        self._operations = operations
        self._report = report
        self._lock = queries.add(LOCK, INTEGER)
        self._logIn = queries.add(LOG_IN, *CHANGE, BYTES, FLOAT, INTEGER, TRUTH, FLOAT)
        self._end = queries.add(END, TEXT, TEXT, TEXT, BYTES, INTEGER)
        self._rest = queries.add(REST, TEXT, TEXT)
        self._endSome = queries.add(END_SOME, TEXT, TEXT, TEXTS)
        self._forget = queries.add(FORGET, FLOAT, INTEGER)

    def logIn(self, change: Change, owner: str, limit: SessionLimit | None) -> Steps[LogIn]:
        """
        See L{ISessionOwners.logInSession
        <txsessions.interfaces.ISessionOwners.logInSession>}.

        @param owner: Who that is.
        """
        ask = self._logIn(*toSave(change, self._time), *self._admission(change, owner, limit))
        (*_, rows) = yield self._alone(owner, ask)
        first = rows[0]
        if first[VERSION] is not None:
            return LogIn(_integer(first[VERSION]), tuple(self._endings(rows)))
        if limit is not None and _truth(first[IS_REFUSED]):
            raise TooManySessions(limit.maximum)
        if _truth(first[IS_LATE]):
            raise SessionEnded(change.sid, REVOKED)
        return (yield from self._operations.explain(change))

    def end(
        self, owner: str, reason: str, exceptFor: str | None
    ) -> Steps[tuple[list[Ending], list[str]]]:
        """
        End L{STRIDE} sessions of an owner, and let no log-in follow that is
        older than this.

        @return: The endings, and the C{sid}s of those that are still to be
            ended.
        """
        end = self._end(owner, reason, exceptFor, _digest(owner), STRIDE)
        *_, rows, rest = yield self._alone(owner, end, self._rest(owner, exceptFor))
        return self._endings(rows), [readText(row[0] or b"") for row in rest]

    def endSome(self, owner: str, reason: str, sids: Sequence[str]) -> Steps[list[Ending]]:
        """
        End those of these sessions that still have that owner.
        """
        (*_, rows) = yield self._alone(owner, self._endSome(owner, reason, sids))
        return self._endings(rows)

    def forget(self) -> Steps[None]:
        """
        Forget when the sessions of owners were ended, where that was long ago.
        """
        for _ in range(ROUNDS):
            (rows,) = yield Unit(LAST, [self._forget(RETENTION, FORGOTTEN)])
            if _integer(rows[0][0]) < FORGOTTEN:
                return

    def _alone(self, owner: str, *asked: Asked) -> Unit:
        """
        A unit that has the owner to itself.
        """
        lock = self._lock(self._schema.ownerLock(_digest(owner)))
        return Unit(f"owner {owner}", [lock, *asked], isAlone=True)

    def _admission(
        self, change: Change, owner: str, limit: SessionLimit | None
    ) -> Sequence[object]:
        """
        What settles whether somebody is let in, as parameters.
        """
        moment = change.authenticatedAt
        return (
            _digest(owner),
            None if moment is None else self._time.toServer(moment),
            UNLIMITED if limit is None else limit.maximum,
            limit is not None and limit.onExceed == REFUSE,
            self._time.toServer(0.0),
        )

    def _endings(self, rows: Rows) -> list[Ending]:
        """
        The endings in rows.
        """
        return [e for row in rows if row[0] for e in endingIn(row, self._time, self._report)]


def _digest(owner: str) -> bytes:
    """
    What stands for an owner, however long his name is.
    """
    return sha256(owner.encode("utf-8", "surrogatepass")).digest()


def _integer(value: Value) -> int:
    """
    An integer.
    """
    assert value is not None
    return readInteger(value)


def _truth(value: Value) -> bool:
    """
    A truth; C{NULL} is none.
    """
    return value is not None and readTruth(value)
