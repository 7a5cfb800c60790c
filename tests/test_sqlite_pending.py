"""
Tests for L{txsessions.stores.sqlitefile.pending}.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsessions.stores.sqlitefile.pending import MOST, Pending

ROWS = 3 * MOST


def filled() -> sqlite3.Connection:
    """
    A table with what is written here, and one column more.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE session (id INTEGER PRIMARY KEY, lastModified REAL, version INTEGER, "
        "attributes TEXT, deadline REAL)"
    )
    rows = [(number, 0.0, 1, "{}", 9.0) for number in range(ROWS)]
    connection.executemany("INSERT INTO session VALUES (?, ?, ?, ?, ?)", rows)
    return connection


def rowsOf(connection: sqlite3.Connection) -> list[Any]:
    """
    What is in it.
    """
    return connection.execute(
        "SELECT *, typeof(lastModified), typeof(version), typeof(attributes) FROM session"
    ).fetchall()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """
    A connection to that table.
    """
    with closing(filled()) as connection:
        yield connection


STEPS = st.lists(
    st.tuples(
        st.integers(0, ROWS - 1),
        st.floats(0, 1e9),
        st.none() | st.tuples(st.integers(2, 9), st.sampled_from(["{}", '{"a":"ü"}'])),
        st.integers(0, 9),
    ),
    max_size=100,
)


@given(STEPS)
def test_model(steps: list[Any]) -> None:
    """
    What is written in the end is what single statements would have written, whenever
    some of it is written.
    """
    with closing(filled()) as together, closing(filled()) as single:
        pending = Pending(together)
        for row, moment, content, whenever in steps:
            single.execute("UPDATE session SET lastModified = ? WHERE id = ?", (moment, row))
            if content is None:
                pending.touch(row, moment)
            else:
                version, text = content
                pending.content(row, moment, version, text.encode())
                single.execute(
                    "UPDATE session SET version = ?, attributes = ? WHERE id = ?",
                    (version, text, row),
                )
            if not whenever:
                pending.write()
        pending.write()
        assert rowsOf(together) == rowsOf(single)


def test_statements(connection: sqlite3.Connection) -> None:
    """
    There is one statement for many rows, and none when nothing is left to be written.
    """
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    pending = Pending(connection)
    for row in range(2 * MOST + 1):
        pending.content(row, 1.0, 2, b"{}")
    pending.touch(ROWS - 1, 1.0)
    for _ in range(2):
        pending.write()
        assert len(statements) == 4
