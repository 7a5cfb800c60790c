"""
What can be asked of a server: queries that it has prepared, and what is to be
done at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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
    """

    name: bytes
    text: str
    kinds: tuple[Kind, ...] = ()

    def __call__(self, *values: Any) -> Asked:
        """
        The query with values for its parameters.
        """
        return Asked(
            self.name,
            [
                None if value is None else kind.write(value)
                for kind, value in zip(self.kinds, values, strict=True)
            ],
        )

    def send(self, connection: PGconn) -> None:
        """
        Have it prepared.
        """
        kinds = [kind.oid for kind in self.kinds]
        connection.send_prepare(self.name, self.text.encode(), kinds)


@attrs.frozen
class Asked:
    """
    A prepared query with its values.
    """

    name: bytes
    values: list[Value] = attrs.field(repr=False)

    def send(self, connection: PGconn) -> None:
        """
        See L{Statement.send}.
        """
        formats = [Format.BINARY] * len(self.values)
        connection.send_query_prepared(self.name, self.values, formats, Format.BINARY)


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
