"""
The journal of endings: who is to be told, and of what.

What ends sessions writes it (L{txsessions.stores.postgresserver.ending}).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from ..journal import MAXIMUM, RETENTION, JournalEntry
from ..servertime import ServerTime
from .ending import COLUMNS
from .kind import FLOAT, INTEGER, TEXT, TEXTS, Row, readFloat, readInteger, readText
from .line import Steps
from .operations import FORGOTTEN
from .queries import Queries
from .row import REASON, Damaged, fromRow
from .statement import ANY, LAST, Asked, Unit

ENROL: Final = """
    INSERT INTO {schema}.observer (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
"""

DISMISS: Final = "DELETE FROM {schema}.observer WHERE name = $1 RETURNING id"

OWN: Final = "observer + 0 = (SELECT id FROM {schema}.observer WHERE name = $1)"
"""
Whose an entry is, so written that no index is used for it: where the entries are
known, the server is not to look through all that the observer has.
"""

TAKE: Final = f"""
    WITH moment AS MATERIALIZED (SELECT {{schema}}.present() AS now),
    free AS MATERIALIZED (
        SELECT event FROM {{schema}}.journal
        WHERE observer = (SELECT id FROM {{schema}}.observer WHERE name = $1)
            AND leasedUntil <= (SELECT now FROM moment)
        ORDER BY observer, id LIMIT $2
        FOR UPDATE SKIP LOCKED
    ),
    taken AS (
        UPDATE {{schema}}.journal
        SET leasedUntil = (SELECT now FROM moment) + $3, attempt = attempt + 1
        WHERE event = ANY (ARRAY (SELECT event FROM free)) AND {OWN}
        RETURNING {COLUMNS}, reason, event, endedAt, attempt, id
    )
    SELECT * FROM taken ORDER BY id
"""

ACKNOWLEDGE: Final = f"""
    WITH told AS MATERIALIZED (
        SELECT event FROM {{schema}}.journal WHERE event = ANY ($2) AND {OWN}
        ORDER BY event
        FOR UPDATE
    )
    DELETE FROM {{schema}}.journal
    WHERE event = ANY (ARRAY (SELECT event FROM told)) AND {OWN}
"""

PUT_ASIDE: Final = f"""
    WITH gone AS (
        DELETE FROM {{schema}}.journal WHERE event = $2 AND {OWN} RETURNING journal.*
    )
    INSERT INTO {{schema}}.quarantine (sid, content) SELECT sid, to_jsonb(gone) FROM gone
"""

ROUNDS: Final = 3
"""
In how many transactions entries are dropped, one after the other: each takes a
twentieth of a second, and more are dropped with each claim than come with it.
"""

SLICES: Final = 200
SAMPLE: Final = 50
"""
In how many places it is looked how dense the entries of an observer are, and at
how many numbers in each: so many rows take the server some milliseconds, which to
count a million of them does not.
"""

TRIM: Final = f"""
    WITH RECURSIVE listed AS (
        SELECT min(observer) AS observer FROM {{schema}}.journal
        UNION ALL
        SELECT (SELECT min(observer) FROM {{schema}}.journal WHERE observer > listed.observer)
        FROM listed WHERE listed.observer IS NOT NULL
    ),
    bounds AS MATERIALIZED (
        SELECT listed.observer, name, low, started, (
            SELECT max(id) FROM {{schema}}.journal WHERE observer = listed.observer
        ) AS high
        FROM listed LEFT JOIN {{schema}}.observer ON id = listed.observer CROSS JOIN LATERAL (
            SELECT journal.id AS low, endedAt AS started FROM {{schema}}.journal
            WHERE observer = listed.observer ORDER BY observer, journal.id LIMIT 1
        ) AS first
    ),
    slice AS MATERIALIZED (
        SELECT observer, start, (
            SELECT count(*) FROM {{schema}}.journal
            WHERE observer = bounds.observer AND id >= start AND id < start + least(width, {SAMPLE})
        ) * width / least(width, {SAMPLE}) AS held
        FROM bounds
        CROSS JOIN LATERAL (SELECT (high - low) / {SLICES} + 1 AS width) AS one
        CROSS JOIN LATERAL (
            SELECT low + number * width AS start FROM generate_series(0, {SLICES} - 1) AS number
        ) AS each
        WHERE high - low >= $1 AND start <= high
    ),
    total AS MATERIALIZED (
        SELECT observer, start,
            sum(held) OVER (PARTITION BY observer ORDER BY start DESC) > $1 AS isTooMuch
        FROM slice
    ),
    edge AS MATERIALIZED (
        SELECT observer, name, low, started, (
            SELECT max(start) FROM total WHERE total.observer = bounds.observer AND isTooMuch
        ) AS last
        FROM bounds
    ),
    moment AS MATERIALIZED (SELECT {{schema}}.present() - $2 AS oldest),
    old AS MATERIALIZED (
        SELECT edge.observer, event, name FROM edge CROSS JOIN moment CROSS JOIN LATERAL (
            SELECT id, event, endedAt FROM {{schema}}.journal WHERE observer = edge.observer
            ORDER BY observer, id LIMIT $3
        ) AS entry
        WHERE (name IS NULL OR low <= last OR started <= oldest)
            AND (name IS NULL OR id <= last OR endedAt <= oldest)
        LIMIT $3
    ),
    locked AS MATERIALIZED (
        SELECT journal.observer, journal.event, name FROM old JOIN {{schema}}.journal
            ON journal.event = old.event AND journal.observer + 0 = old.observer
        FOR UPDATE OF journal SKIP LOCKED
    ),
    gone AS (
        DELETE FROM {{schema}}.journal USING locked
        WHERE journal.event = locked.event AND journal.observer + 0 = locked.observer
        RETURNING name
    )
    SELECT name, count(*) FROM gone GROUP BY name
"""
"""
What is too old, or too much, or was meant for somebody who has been dismissed.

Between the first and the last entry of an observer are no fewer numbers than
entries; only where these are too many it is looked how many entries there are, by
samples.
"""

INTERVAL: Final = 10.0
"""
How often a process looks for what has to be dropped, in seconds, as long as it
finds little.
"""

EVENT: Final = 10
ENDED_AT: Final = 11
ATTEMPT: Final = 12
"""
What a row of the journal has after the columns of the record, and the reason.
"""


class Journal:
    """
    The operations on the journal in the tables of one schema.

    @ivar _report: Called with the C{sid} of a damaged entry that was put aside.
    @ivar _dropped: Called with the name of an observer, and how many endings
        were dropped that it was not told of.
    @ivar _maximum: How many are held for one observer at the most.
    @ivar _due: When it is time to look for what has to be dropped, in seconds.
    """

    def __init__(
        self,
        queries: Queries,
        serverTime: ServerTime,
        report: Callable[[str], object],
        dropped: Callable[[str, int], object],
        maximum: int = MAXIMUM,
    ) -> None:
        self._time = serverTime
        self._report = report
        self._dropped = dropped
        self._maximum = maximum
        self._due = 0.0
        self._enrol = queries.add(ENROL, TEXT)
        self._dismiss = queries.add(DISMISS, TEXT)
        self._take = queries.add(TAKE, TEXT, INTEGER, FLOAT)
        self._acknowledge = queries.add(ACKNOWLEDGE, TEXT, TEXTS)
        self._putAside = queries.add(PUT_ASIDE, TEXT, TEXT)
        self._trim = queries.add(TRIM, INTEGER, FLOAT, INTEGER)

    def enrol(self, observer: str) -> Steps[None]:
        """
        See L{ISessionJournal.enrol<txsessions.interfaces.ISessionJournal.enrol>}.
        """
        yield self._alone(observer, self._enrol(observer))

    def dismiss(self, observer: str) -> Steps[None]:
        """
        See L{ISessionJournal.dismiss
        <txsessions.interfaces.ISessionJournal.dismiss>}.

        What is there is for nobody then.  As with all such entries, what is
        too much to be forgotten at once goes with the sweeps.
        """
        yield self._alone(observer, self._dismiss(observer))
        yield from self.trim()

    def take(self, observer: str, limit: int, lease: float) -> Steps[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings
        <txsessions.interfaces.ISessionJournal.takeEndings>}.
        """
        (rows,) = yield Unit(LAST, [self._take(observer, limit, lease)])
        entries = []
        for row in rows:
            try:
                entries.append(self._entry(row))
            except Damaged:
                yield Unit(ANY, [self._putAside(observer, readText(row[EVENT] or b""))])
                self._report(readText(row[0] or b""))
        return entries

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Steps[None]:
        """
        See L{ISessionJournal.acknowledge
        <txsessions.interfaces.ISessionJournal.acknowledge>}.
        """
        yield self._alone(observer, self._acknowledge(observer, eventIDs))

    def tidy(self) -> Steps[None]:
        """
        Drop what has to be dropped, if nobody has looked for that just now.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + INTERVAL
        if (yield from self.trim()):
            self._due = now

    def trim(self) -> Steps[bool]:
        """
        Drop what is too old or too much, or is for nobody.

        @return: Whether there may be more of it.
        """
        for _ in range(ROUNDS):
            (rows,) = yield Unit(LAST, [self._trim(self._maximum, RETENTION, FORGOTTEN)])
            for name, count in rows:
                assert count is not None
                if name is not None:
                    self._dropped(readText(name), readInteger(count))
            if sum(readInteger(count or b"") for _, count in rows) < FORGOTTEN:
                return False
        return True

    def _alone(self, observer: str, ask: Asked) -> Unit:
        """
        A unit that may wait for others of the observer.
        """
        return Unit(f"observer {observer}", [ask], isAlone=True)

    def _entry(self, row: Row) -> JournalEntry:
        """
        The entry in a row.
        """
        reason, event, endedAt, attempt = row[REASON : ATTEMPT + 1]
        assert reason is not None and event is not None
        assert endedAt is not None and attempt is not None
        return JournalEntry(
            readText(event),
            fromRow(row, self._time),
            readText(reason),
            self._time.fromServer(readFloat(endedAt)),
            readInteger(attempt),
        )
