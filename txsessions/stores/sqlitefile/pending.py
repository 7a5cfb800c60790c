"""
What a transaction writes of many sessions in one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any, Final

MOST: Final = 16
"""
How many rows one statement writes at the most: it looks through all of them for each.  It
is prepared once for each number of rows.
"""


class Pending:
    """
    Changes of rows, which are written together.

    For each statement that a thread executes it lets go of the interpreter, and gets it
    back when the reactor does not need it: that takes many times as long as to write a
    row.

    @ivar _execute: Executes a statement in the transaction.
    @ivar _contents: Moments, versions and attributes, by the numbers of rows.
    @ivar _touches: Moments, of rows where nothing else changes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute: Final = connection.execute
        self._contents: Final[dict[int, tuple[float, int, bytes]]] = {}
        self._touches: Final[dict[int, float]] = {}

    def content(self, row: int, lastModified: float, version: int, attributes: bytes) -> None:
        """
        Write another content.
        """
        self._contents[row] = (lastModified, version, attributes)
        self._touches.pop(row, None)

    def touch(self, row: int, lastModified: float) -> None:
        """
        Write a touch.
        """
        content = self._contents.get(row)
        if content is None:
            self._touches[row] = lastModified
        else:
            self._contents[row] = (lastModified, *content[1:])

    def write(self) -> None:
        """
        Write all of them.
        """
        if self._contents:
            rows = [(row, *content) for row, content in self._contents.items()]
            self._contents.clear()
            self._together(contentsOf, rows)
        if self._touches:
            touches = list(self._touches.items())
            self._touches.clear()
            self._together(touchesOf, touches)

    def _together(self, statementOf: Callable[[int], str], rows: list[tuple[Any, ...]]) -> None:
        """
        Write some rows.
        """
        for start in range(0, len(rows), MOST):
            some = rows[start : start + MOST]
            self._execute(statementOf(len(some)), [value for row in some for value in row])


@cache
def contentsOf(count: int) -> str:
    """
    The statement that writes the contents of so many rows.  (C{UPDATE} with C{FROM} is
    shorter, and SQLite has it since 3.33 only.)
    """
    return f"""
        WITH new (id, lastModified, version, attributes) AS ({_values(4, count)})
        UPDATE session SET (lastModified, version, attributes) = (
            SELECT lastModified, version, CAST(attributes AS TEXT) FROM new
            WHERE new.id = session.id
        )
        WHERE id IN (SELECT id FROM new)
    """


@cache
def touchesOf(count: int) -> str:
    """
    The statement that writes touches of so many rows.
    """
    return f"""
        WITH new (id, lastModified) AS ({_values(2, count)})
        UPDATE session
        SET lastModified = (SELECT lastModified FROM new WHERE new.id = session.id)
        WHERE id IN (SELECT id FROM new)
    """


def _values(columns: int, count: int) -> str:
    """
    Parameters for so many rows.
    """
    row = ", ".join("?" * columns)
    return "VALUES " + ", ".join([f"({row})"] * count)
