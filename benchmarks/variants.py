"""
What is measured: ours on every store, and what it is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from machine import interpreter

OURS: Final = "ours"
FLOOR: Final = "floor"
STOCK: Final = "stock"
BARE: Final = "bare"
PEER: Final = "peer"


@attrs.frozen
class Variant:
    """
    A server with one kind of session.

    @ivar name: Names it in the raw figures and on the command line.
    @ivar title: What a report calls it.
    @ivar kind: One of the constants of this module.
    @ivar command: How it is started: C{PORT}, C{DIRECTORY}, C{REDIS} (a port), C{STORE} (a
        text that opens one), and C{ADDRESS} (of a database) stand for what they say.
    @ivar bare: The name of the same server without a session.
    @ivar server: C{"redis"} or C{"postgres"}, if it needs one.
    @ivar isSlow: Whether it would take minutes to begin many sessions.
    """

    name: str
    title: str
    kind: str
    command: Sequence[str] = attrs.field(repr=False)
    bare: str = "bare"
    server: str = ""
    isSlow: bool = False

    @property
    def isBare(self) -> bool:
        """
        Whether it has no sessions.
        """
        return self.bare == self.name

    @property
    def isMetered(self) -> bool:
        """
        Whether its process has a meter.
        """
        return self.kind != PEER


def _served(
    name: str,
    title: str,
    kind: str = OURS,
    place: str = "DIRECTORY",
    *,
    server: str = "",
    isSlow: bool = False,
) -> Variant:
    """
    One that C{served.py} knows.
    """
    command = [*interpreter("served"), "--meter", name, "PORT", place]
    return Variant(name, title, kind, command, server=server, isSlow=isSlow)


OWN: Final = (
    _served("bare", "twisted.web, no session", BARE),
    _served("stock", "stock getSession(), a component", STOCK),
    _served("memory", "memory"),
    _served("memory-reading", "memory, reading only"),
    _served("sqlite", "SQLite"),
    _served("sqlite-reading", "SQLite, reading only"),
    _served("floor-sqlite", "raw floor of SQLite", FLOOR, "DIRECTORY/floor.db"),
    _served("json", "JSON files", isSlow=True),
    _served("redis", "Redis", OURS, "STORE", server="redis"),
    _served("floor-redis", "raw floor of Redis", FLOOR, "REDIS", server="redis"),
    _served("postgres", "PostgreSQL", OURS, "STORE", server="postgres"),
    _served("floor-postgres", "raw floor of PostgreSQL", FLOOR, "ADDRESS", server="postgres"),
)
"""
Without peers, in the order in which a report has them.
"""

FLOORS: Final = {
    "memory": "stock",
    "memory-reading": "stock",
    "sqlite": "floor-sqlite",
    "redis": "floor-redis",
    "postgres": "floor-postgres",
}
"""
What each of ours is held against.
"""
