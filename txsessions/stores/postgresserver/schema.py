"""
The schema of the database: its tables and functions, and how it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ...errors import StoreUnusable
from .kind import readInteger
from .line import Steps
from .refusal import Refusal
from .statement import ANY, Command, Unit

MAXIMUM_NAME: Final = 63
"""
PostgreSQL cuts off longer names, in bytes.
"""

MISSING: Final = frozenset({"3F000", "42P01"})
"""
There is no such schema, or no such table.
"""

OVERTAKEN: Final = "TX001"
"""
The state by which a migration says that another process was faster.
"""

TRIES: Final = 5
"""
How often to look again after another process was faster.  Each time the version
has gone up by one.
"""

FIRST: Final = (
    # Half of a page stays free, so that a row finds room for its next version
    # beside it, and the indexes need not be touched.
    """
    CREATE TABLE {schema}.session (
        sid text COLLATE "C" PRIMARY KEY,
        verifier bytea NOT NULL,
        created double precision NOT NULL,
        lastModified double precision NOT NULL,
        sessionTimeout double precision NOT NULL,
        absoluteTimeout double precision,
        sessionKey text COLLATE "C",
        attributes jsonb NOT NULL,
        version bigint NOT NULL,
        due double precision NOT NULL
    ) WITH (fillfactor = 60)
    """,
    # To compress big attributes takes longer than all else together.
    "ALTER TABLE {schema}.session ALTER COLUMN attributes SET STORAGE EXTERNAL",
    # due is never later than the session's deadline: a touch leaves it as it
    # is, which saves the index, and a sweep that comes upon it mends it.
    "CREATE INDEX session_by_due ON {schema}.session (due)",
    # A hash, since an owner may be longer than a tree can hold.
    "CREATE INDEX session_by_key ON {schema}.session USING hash (sessionKey)",
    """
    CREATE TABLE {schema}.ended (
        sid text COLLATE "C" PRIMARY KEY,
        reason text NOT NULL,
        endedAt double precision NOT NULL
    )
    """,
    "CREATE INDEX ended_by_time ON {schema}.ended (endedAt)",
    """
    CREATE TABLE {schema}.quarantine (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        putAside timestamptz NOT NULL DEFAULT clock_timestamp(),
        sid text NOT NULL,
        content jsonb NOT NULL
    )
    """,
    """
    CREATE FUNCTION {schema}.present() RETURNS double precision LANGUAGE sql VOLATILE
    AS 'SELECT extract(epoch FROM clock_timestamp())::double precision'
    """,
    """
    CREATE FUNCTION {schema}.deadline(
        created double precision, lastModified double precision,
        sessionTimeout double precision, absoluteTimeout double precision
    ) RETURNS double precision LANGUAGE sql IMMUTABLE
    AS 'SELECT least($2 + $3, $1 + $4)'
    """,
    """
    CREATE FUNCTION {schema}.isSound(attributes jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
    AS $$ SELECT jsonb_typeof($1) = 'object'
        AND NOT jsonb_path_exists($1, '$.* ? (@.type() != "string")') $$
    """,
)
"""
What makes version 1 of an empty schema.
"""

SECOND: Final = (
    # An owner may be longer than an index can hold, so it is the digest of one.
    """
    CREATE TABLE {schema}.fence (owner bytea PRIMARY KEY, moment double precision NOT NULL)
    """,
    "CREATE INDEX fence_by_time ON {schema}.fence (moment)",
    # Whoever is enrolled anew has another id: what was written down for the
    # one before is not for him.
    """
    CREATE TABLE {schema}.observer (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE
    )
    """,
    # Half of a page stays free, so that a lease finds room beside the row.
    """
    CREATE TABLE {schema}.journal (
        observer bigint NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        event text COLLATE "C" NOT NULL,
        sid text COLLATE "C" NOT NULL,
        verifier bytea NOT NULL,
        created double precision NOT NULL,
        lastModified double precision NOT NULL,
        sessionTimeout double precision NOT NULL,
        absoluteTimeout double precision,
        sessionKey text COLLATE "C",
        attributes jsonb NOT NULL,
        version bigint NOT NULL,
        reason text NOT NULL,
        endedAt double precision NOT NULL,
        leasedUntil double precision NOT NULL DEFAULT '-infinity',
        attempt bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (event, observer)
    ) WITH (fillfactor = 50)
    """,
    "ALTER TABLE {schema}.journal ALTER COLUMN attributes SET STORAGE EXTERNAL",
    "CREATE INDEX journal_by_order ON {schema}.journal (observer, id)",
    # Nothing that an attribute may say makes it fail: what is no time as
    # txsessions.record writes one is none.
    """
    CREATE FUNCTION {schema}.authenticatedAt(attributes jsonb) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE WHEN $1 ->> 'fact:authenticatedAt'
            ~ '^-?[0-9]{{1,17}}([.][0-9]{{1,20}})?(e[+-]?[0-9]{{1,2}})?$'
        THEN ($1 ->> 'fact:authenticatedAt')::double precision END $$
    """,
)
"""
What makes version 2 of version 1: log-ins that come too late, and the journal.
"""

MIGRATIONS: Final[Sequence[Sequence[str]]] = (FIRST, SECOND)
"""
What makes each version of the one before it.
"""


class Schema:
    """
    The tables of the store, in a schema of their own.

    Processes that start at the same time make it once: one of them holds an
    advisory lock, and the others see then that it is done.

    @ivar quoted: Its name as SQL has it.
    @ivar channel: Where notice is given of what ends.
    """

    def __init__(self, name: str, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        """
        @raise ValueError: PostgreSQL cannot have a schema of that name.
        """
        if not 0 < len(name.encode("utf-8", "replace")) <= MAXIMUM_NAME or "\0" in name:
            raise ValueError(f"the name of a schema has 1 to {MAXIMUM_NAME} bytes")
        self.name = name
        self.quoted = '"' + name.replace('"', '""') + '"'
        # A channel is the whole database's, and its name no longer than a schema's.
        self.channel = f"txsessions_{_number(b'channel', name) & 0xFFFFFFFFFFFFFFFF:016x}"
        self._migrations = migrations

    def ensure(self) -> Steps[None]:
        """
        The steps that make it what it has to be.

        They fail with L{StoreUnusable} when it is newer, or may not be made.
        """
        for _ in range(TRIES + len(self._migrations)):
            version = yield from self._version()
            if version == len(self._migrations):
                return
            if version > len(self._migrations):
                raise StoreUnusable(
                    f"the schema {self.name} has version {version}, and this txsessions knows "
                    f"version {len(self._migrations)}: install the newer txsessions"
                )
            yield from self._migrate(version)
        raise StoreUnusable(f"the schema {self.name} is not what its version says; restore it")

    def _version(self) -> Steps[int]:
        """
        Which version there is; 0 for none.
        """
        try:
            (rows,) = yield Unit(
                ANY, [Command(f"SELECT version::bigint FROM {self.quoted}.version")]
            )
        except Refusal as e:
            if e.state not in MISSING:
                raise
            return 0
        return readInteger(rows[0][0] or b"") if rows else 0

    def _migrate(self, version: int) -> Steps[None]:
        """
        Make the version after this one, unless somebody else does.
        """
        texts = [
            # As long as a statement may take: others may have something to do.
            "SET LOCAL lock_timeout = 0",
            f"SELECT pg_advisory_xact_lock({self._lock()})",
            self._begin(version),
            *(text.format(schema=self.quoted) for text in self._migrations[version]),
            f"UPDATE {self.quoted}.version SET version = {version + 1}",
        ]
        try:
            yield Unit(ANY, [Command(text) for text in texts])
        except Refusal as e:
            if e.state != OVERTAKEN:
                raise self._advised(e) from None

    def _begin(self, version: int) -> str:
        """
        SQL that sees, under the lock, whether there is still something to do;
        and makes the schema, where there is none.  (C{IF NOT EXISTS} would ask
        for a privilege that is not needed where it exists.)
        """
        table = f"{self.quoted}.version"
        if version:
            seen = f"(SELECT version FROM {table}) <> {version}"
            make = ""
        else:
            seen = f"to_regclass('{table.replace(chr(39), chr(39) * 2)}') IS NOT NULL"
            make = f"""
                IF to_regnamespace('{self.quoted.replace(chr(39), chr(39) * 2)}') IS NULL THEN
                    CREATE SCHEMA {self.quoted};
                END IF;
                CREATE TABLE {table} (version integer NOT NULL);
                INSERT INTO {table} VALUES (0);
            """
        return f"""
            DO $migration$ BEGIN
                IF {seen} THEN
                    RAISE EXCEPTION 'another process was faster' USING ERRCODE = '{OVERTAKEN}';
                END IF;
                {make}
            END $migration$
        """

    def ownerLock(self, owner: bytes) -> int:
        """
        The number of the advisory lock of an owner.

        @param owner: A digest of his.
        """
        return _number(b"owner" + owner, self.name)

    def _lock(self) -> int:
        """
        The number of the advisory lock of the schema itself.
        """
        return _number(b"schema", self.name)

    def _advised(self, error: Refusal) -> StoreUnusable:
        """
        The error for a migration that was refused.
        """
        return StoreUnusable(
            f"the schema {self.name} cannot be made ({error}); let somebody run the setup of "
            "the store who may, or grant CREATE on the database and the schema"
        )


def _number(purpose: bytes, name: str) -> int:
    """
    A number that means this for a schema of this name, and nothing else.
    """
    text = b"txsessions %s\0%s" % (purpose, name.encode("utf-8", "replace"))
    return int.from_bytes(sha256(text).digest()[:8], "big", signed=True)
