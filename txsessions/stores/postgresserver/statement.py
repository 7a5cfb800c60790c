"""
What can be asked of a server: queries that it has prepared, and what is to be
done at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import attrs
from psycopg.pq import Format
from psycopg.pq.abc import PGconn

from .kind import Kind, Value


class Statement(Protocol):
    """
    One thing to ask.
    """

    def send(self, connection: PGconn) -> None:
        """
        Put it on its way.
        """


@attrs.frozen
class Query:
    """
    A query that is prepared once for each connection and asked many times.

    @ivar name: Its name on the server.
    @ivar text: The SQL, with its parameters as C{$1} and so on.
    @ivar kinds: The types of the parameters.
    @ivar formats: Their formats.
    """

    name: bytes
    text: str
    kinds: tuple[Kind, ...] = ()
    formats: list[Format] = attrs.field(init=False, repr=False, eq=False)

    @formats.default
    def _formats(self) -> list[Format]:
        """
        Each in its binary format.
        """
        return [Format.BINARY] * len(self.kinds)

    def __call__(self, *values: Any) -> Asked:
        """
        The query with values for its parameters.
        """
        return Asked(
            self,
            [
                None if value is None else kind.write(value)
                for kind, value in zip(self.kinds, values, strict=True)
            ],
        )

    def ask(self, values: list[Value]) -> Asked:
        """
        The query with values that are in their binary format.
        """
        return Asked(self, values)

    def send(self, connection: PGconn) -> None:
        """
        Have it prepared.
        """
        kinds = [kind.oid for kind in self.kinds]
        connection.send_prepare(self.name, self.text.encode(), kinds)


BINARY: Final = Format.BINARY


@attrs.frozen
class Asked:
    """
    A prepared query with its values.
    """

    query: Query
    values: list[Value] = attrs.field(repr=False)

    def send(self, connection: PGconn) -> None:
        """
        See L{Statement.send}.
        """
        query = self.query
        connection.send_query_prepared(query.name, self.values, query.formats, BINARY)


@attrs.frozen
class Lookup:
    """
    A query for at most one row, which can be asked for many rows at once.

    @ivar sid: Whose row that is, which its first column says.
    @ivar one: The query for it.
    @ivar many: The same for an array of such handles.
    """

    sid: str
    one: Query
    many: Query

    def send(self, connection: PGconn) -> None:
        """
        See L{Statement.send}.
        """
        self.one(self.sid).send(connection)


@attrs.frozen
class Command:
    """
    SQL that is done once.
    """

    text: str

    def send(self, connection: PGconn) -> None:
        """
        See L{Statement.send}.
        """
        connection.send_query_params(self.text.encode(), None, result_format=Format.BINARY)


@attrs.frozen
class Unit:
    """
    Statements that are done together or not at all.

    @ivar key: Units that are done in one transaction are done in the order of
        their keys, so that two transactions do not wait for each other; it is
        the session whose rows they lock.
    @ivar statements: At least one.
    @ivar isAlone: Whether it has a transaction to itself: it may wait for what
        is not in that order, and must hold nothing while it does.  C{key} is
        what it may wait for then.
    """

    key: str
    statements: Sequence[Statement]
    isAlone: bool = False


ANY: str = ""
"""
The key of units that lock nothing.
"""

LAST: str = "\U0010ffff"
"""
The key of units that wait for nobody's lock and hold many: they come last, when
the others have all theirs.
"""
