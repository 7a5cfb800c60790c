"""
What a store asks of its tables.

Each query is one atomic step.  What it decides, it decides on rows that it has
locked, as they are then.
"""

from __future__ import annotations

from typing import Final

from .ending import COLUMNS, NOTIFY_ONE, TOLD, ending
from .kind import BYTES, FLOAT, INTEGER, JSONB, TEXT, TEXTS, TRUTH, Kind
from .schema import Schema
from .statement import Query

DEADLINE: Final = "{schema}.deadline(created, lastModified, sessionTimeout, absoluteTimeout)"

LAPSE: Final = """
    CASE WHEN created + absoluteTimeout < lastModified + sessionTimeout
        THEN 'expired-absolute' ELSE 'expired-idle' END
"""
"""
Why a session ends whose deadline has passed: L{txsessions.lifetime.endReason}.
"""


LOAD: Final = f"SELECT {COLUMNS} FROM {{schema}}.session WHERE sid = $1"

LOAD_MANY: Final = f"SELECT {COLUMNS} FROM {{schema}}.session WHERE sid = ANY ($1)"

HAS: Final = "SELECT 1 FROM {schema}.session WHERE sid = $1"

REASON: Final = "SELECT reason FROM {schema}.ended WHERE sid = $1"

CREATE: Final = f"""
    INSERT INTO {{schema}}.session ({COLUMNS}, due)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {{schema}}.deadline($3, $4, $5, $6))
    ON CONFLICT (sid) DO NOTHING RETURNING 1
"""

WITHDRAW: Final = """
    DELETE FROM {schema}.session
    WHERE sid = $1 AND EXISTS (SELECT FROM {schema}.ended WHERE sid = $1) RETURNING 1
"""
"""
Comes after L{CREATE} in the same transaction: if that had to wait for the end of
a session of the same handle, it is only now that this end can be seen.
"""

CHANGED: Final = """
        verifier = coalesce($3, verifier),
        lastModified = greatest(lastModified, $2),
        sessionTimeout = coalesce($4, sessionTimeout),
        absoluteTimeout = CASE WHEN $5 THEN $6 ELSE absoluteTimeout END,
        sessionKey = CASE WHEN $7 THEN $8 ELSE sessionKey END,
        attributes = CASE WHEN $9 IS NULL THEN attributes ELSE (attributes || $9) - $10 END,
        version = version + $11,
        due = least(due, {schema}.deadline(
            created, greatest(lastModified, $2), coalesce($4, sessionTimeout),
            CASE WHEN $5 THEN $6 ELSE absoluteTimeout END))
"""
"""
What a change makes of a row.
"""

APPLIES: Final = f"""
        ($2 IS NULL OR $2 < {DEADLINE})
        AND ($12 IS NULL OR version = $12)
        AND ($13 IS NULL OR verifier = $13)
        AND {{schema}}.isSound(attributes)
"""
"""
Whether a change can be made of a row.
"""

CHANGE: Final = (
    *(TEXT, FLOAT, BYTES, FLOAT, TRUTH, FLOAT, TRUTH, TEXT, JSONB, TEXTS, INTEGER),
    *(INTEGER, BYTES),
)
"""
The types of the parameters of a change, as L{txsessions.stores.postgresserver.row}
gives them.
"""

SAVE: Final = f"""
    UPDATE {{schema}}.session SET {CHANGED} WHERE sid = $1 AND {APPLIES} RETURNING version
"""
"""
L{txsessions.record.apply} in SQL.  Without a row it was not made; why not is
asked afterwards.
"""

DELETE: Final = f"""
    WITH ending AS MATERIALIZED (
        SELECT sid FROM {{schema}}.session WHERE sid = $1 FOR UPDATE
    ), {ending("$2", NOTIFY_ONE)}
    SELECT *, {TOLD} FROM last
"""

PUT_ASIDE: Final = """
    WITH gone AS (
        DELETE FROM {schema}.session WHERE sid = $1 AND NOT {schema}.isSound(attributes)
        RETURNING session.*
    )
    INSERT INTO {schema}.quarantine (sid, content) SELECT sid, to_jsonb(gone) FROM gone
"""

CLAIM: Final = f"""
    WITH moment AS MATERIALIZED (SELECT {{schema}}.present() AS now),
    candidate AS MATERIALIZED (
        SELECT sid, {DEADLINE} <= (SELECT now FROM moment) AS isOver FROM {{schema}}.session
        WHERE due <= (SELECT now FROM moment)
        ORDER BY due LIMIT $1
        FOR UPDATE SKIP LOCKED
    ),
    moved AS (
        UPDATE {{schema}}.session SET due = {DEADLINE}
        WHERE sid = ANY (ARRAY (SELECT sid FROM candidate WHERE NOT isOver))
    ),
    ending AS (SELECT sid FROM candidate WHERE isOver), {ending(LAPSE)}
    SELECT last.*, (SELECT count(*) FROM candidate), (SELECT now FROM moment), {TOLD}
    FROM moment LEFT JOIN last ON true
    ORDER BY {DEADLINE}
"""
"""
There is always a row, which has no C{sid} when nothing was claimed.
"""

EARLIEST: Final = "SELECT min(due) FROM {schema}.session"

FORGET: Final = """
    WITH old AS MATERIALIZED (
        SELECT sid FROM {schema}.ended WHERE endedAt <= (SELECT {schema}.present()) - $1
        ORDER BY endedAt LIMIT $2
        FOR UPDATE SKIP LOCKED
    ),
    gone AS (
        DELETE FROM {schema}.ended WHERE sid = ANY (ARRAY (SELECT sid FROM old)) RETURNING 1
    )
    SELECT count(*) FROM gone
"""

FIND: Final = (
    f"SELECT {COLUMNS} FROM {{schema}}.session WHERE sessionKey = $1 ORDER BY created, sid"
)

PAGE: Final = f"SELECT {COLUMNS} FROM {{schema}}.session WHERE sid > $1 ORDER BY sid LIMIT $2"

DELETE_OLD: Final = f"""
    WITH page AS MATERIALIZED (
        SELECT sid FROM {{schema}}.session WHERE sid > $1 ORDER BY sid LIMIT $2
    ),
    ending AS MATERIALIZED (
        SELECT sid FROM {{schema}}.session
        WHERE sid = ANY (ARRAY (SELECT sid FROM page)) AND lastModified <= $3
        FOR UPDATE SKIP LOCKED
    ), {ending("'expired-idle'")}
    SELECT (SELECT count(*) FROM gone WHERE isSound), (SELECT max(sid) FROM page), {TOLD}
"""

PRESENT: Final = "SELECT {schema}.present()"


class Queries:
    """
    The queries on the tables of one schema.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.all: list[Query] = []
        self.load = self.add(LOAD, TEXT)
        self.loadMany = self.add(LOAD_MANY, TEXTS)
        self.has = self.add(HAS, TEXT)
        self.reason = self.add(REASON, TEXT)
        self.create = self.add(
            CREATE, TEXT, BYTES, FLOAT, FLOAT, FLOAT, FLOAT, TEXT, JSONB, INTEGER
        )
        self.withdraw = self.add(WITHDRAW, TEXT)
        self.save = self.add(SAVE, *CHANGE)
        self.delete = self.add(DELETE, TEXT, TEXT)
        self.putAside = self.add(PUT_ASIDE, TEXT)
        self.claim = self.add(CLAIM, INTEGER)
        self.earliest = self.add(EARLIEST)
        self.forget = self.add(FORGET, FLOAT, INTEGER)
        self.find = self.add(FIND, TEXT)
        self.page = self.add(PAGE, TEXT, INTEGER)
        self.deleteOld = self.add(DELETE_OLD, TEXT, INTEGER, FLOAT)
        self.present = self.add(PRESENT)

    def add(self, text: str, *kinds: Kind) -> Query:
        """
        A further query of this schema.
        """
        text = text.replace("{schema}", self._schema.quoted)
        text = text.replace("{channel}", self._schema.channel)
        query = Query(b"txsessions_%d" % len(self.all), text, kinds)
        self.all.append(query)
        return query
