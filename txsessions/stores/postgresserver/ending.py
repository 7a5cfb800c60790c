"""
How SQL ends sessions, whoever asks for it: by a log-out, a sweep, a log-in.

Whatever ends a session does all of this in one statement: it takes the row away,
remembers the end, writes it down for each observer that is enrolled, and gives
notice of it.
"""

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    "sid, verifier, created, lastModified, sessionTimeout, absoluteTimeout, sessionKey, "
    "attributes, version"
)
"""
The columns of a record, in the order in which L{txsessions.stores.postgresserver.row}
reads them.
"""

NOTICE: Final = 40
"""
How many endings are in one notice, each with 32 letters for the handle and at the
most 40 for the reason, of four bytes at the worst: PostgreSQL carries 8000 bytes.
"""

TOLD: Final = "(SELECT count(*) FROM told)"
"""
What a statement has to select, or no notice is given: PostgreSQL leaves out a
query that nobody reads.
"""


NOTIFY_ONE: Final = """
    SELECT pg_notify('{channel}', sid || ' ' || left(reason, 40)) FROM gone WHERE isSound
"""
NOTIFY_SEVERAL: Final = f"""
    SELECT pg_notify('{{channel}}', string_agg(sid || ' ' || left(reason, 40), E'\\n'))
    FROM (
        SELECT sid, reason, row_number() OVER () / {NOTICE} AS part FROM gone WHERE isSound
    ) AS numbered
    GROUP BY part
"""


def ending(reason: str, notify: str = NOTIFY_SEVERAL) -> str:
    """
    SQL that ends the sessions whose C{sid} are in C{ending}, and whose rows are
    locked.  What is damaged is put aside and has not ended.

    @param reason: Why, as an expression on the row.
    @param notify: L{NOTIFY_ONE} where there is never more than one: that costs
        half as much then.
    """
    return f"""
        gone AS (
            DELETE FROM {{schema}}.session WHERE sid = ANY (ARRAY (SELECT sid FROM ending))
            RETURNING *, {reason} AS reason, {{schema}}.isSound(attributes) AS isSound,
                {{schema}}.present() AS endedAt
        ),
        aside AS (
            INSERT INTO {{schema}}.quarantine (sid, content)
            SELECT sid, to_jsonb(gone) FROM gone WHERE NOT isSound
        ),
        remembered AS (
            INSERT INTO {{schema}}.ended (sid, reason, endedAt)
            SELECT sid, reason, endedAt FROM gone WHERE isSound
            ON CONFLICT (sid) DO UPDATE SET reason = excluded.reason, endedAt = excluded.endedAt
        ),
        noted AS (
            INSERT INTO {{schema}}.journal (observer, event, {COLUMNS}, reason, endedAt)
            SELECT observer.id, sid || '-' || to_hex(round(endedAt * 1000000)::bigint),
                {COLUMNS}, reason, endedAt
            FROM {{schema}}.observer CROSS JOIN gone WHERE isSound
        ),
        told AS ({notify}),
        last AS (SELECT {COLUMNS}, reason FROM gone)
    """
