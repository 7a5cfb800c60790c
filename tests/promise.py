"""
A promise, and how the tests of one are called on each store.
"""

from __future__ import annotations

from typing import Final

import attrs

STORES: Final = ("memory", "sqlite", "json", "redis", "cluster", "postgres")

CONTRACTS: Final = {
    "memory": "contract::TestMemoryStore",
    "sqlite": "sqlite::TestSQLiteStore",
    "json": "json::TestJSONStore",
    "redis": "redis_store::TestOneServer",
    "cluster": "redis_store::TestCluster",
    "postgres": "postgres::TestPostgresStore",
}
"""
The suite of each store.
"""

OUTSIDE: Final = ("sqlite", "json", "redis", "cluster", "postgres")
"""
The stores with something outside of the process, which may fail.
"""

WORKERS: Final = {
    "sqlite": "sqlite:sessions.db",
    "json": "json:sessions",
    "redis": "redis",
    "postgres": "postgres",
}
"""
What stores are called where web servers are started with them.
"""


@attrs.frozen
class Promise:
    """
    A promise.

    @ivar number: Such as C{"P1"}.
    @ivar text: What is promised.
    @ivar tests: What shows it whatever the store.
    @ivar stores: What shows it on each store, if it depends on that.
    @ivar controls: What shows that it would be noticed if it were broken.
    @ivar without: Stores of which it says nothing, and why.
    @ivar runs: The keys of long runs that tried it.
    """

    number: str
    text: str
    tests: tuple[str, ...]
    controls: tuple[str, ...]
    stores: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    runs: tuple[str, ...] = ()
    without: dict[str, str] = attrs.field(factory=dict)


def onEach(stores: tuple[str, ...], *names: str) -> dict[str, tuple[str, ...]]:
    """
    Tests of the suite, on each of these stores.
    """
    return {store: tuple(f"{CONTRACTS[store]}::{name}" for name in names) for store in stores}


def withWorkers(name: str) -> dict[str, tuple[str, ...]]:
    """
    A test with web servers, on each store that they can share.
    """
    return {store: (f"{name}[{text}]",) for store, text in WORKERS.items()}


def told() -> dict[str, tuple[str, ...]]:
    """
    What is told of endings: to durable observers by processes that are killed, and to
    callbacks in another process.
    """
    texts = {**WORKERS, "cluster": "redis-cluster"}
    return {
        store: (
            *(f"endings_told::test_told[{text}-{part}]" for part in ENDED),
            *(f"cluster::test_callback[{text}-{way}]" for way in WAYS),
        )
        for store, text in texts.items()
    }


def together(*parts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """
    All of these, store by store.
    """
    return {
        store: tuple(name for part in parts for name in part.get(store, ()))
        for store in STORES
        if any(store in part for part in parts)
    }


def explored(scenario: str) -> dict[str, tuple[str, ...]]:
    """
    A scenario, in every order of its steps.
    """
    return {
        **{store: (f"explorer_stores::test_{store}[{scenario}]",) for store in STORES[:3]},
        **{s: (f"explorer_servers::test_{s}[{scenario}]",) for s in ("redis", "postgres")},
    }


MACHINES: Final = {
    "memory": ("machine::test_memory",),
    "sqlite": ("machine::test_files[SQLiteStore-12]",),
    "json": ("machine::test_files[JSONStore-3]",),
    "redis": ("machine::test_redis",),
    "postgres": ("machine::test_postgres",),
}
"""
Each store against the model.
"""

ENDED: Final = ("expire", "downtime", "mixed")
WAYS: Final = ("logOut", "clear", "sweep")
"""
How sessions end there.
"""

CHAOS: Final = {
    "sqlite": ("chaosrun::test_file",),
    "redis": ("chaosrun::test_server",),
}
"""
The short form of the chaos run.
"""

NEVER_FAILS: Final = {"memory": "nothing outside of the process"}
