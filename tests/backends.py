"""
Stores for the proofs under real load, with the server that each needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgresserver import PostgresServer
from servers import RedisCluster, RedisServer, ServerProcess

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""
A Redis that has written what it acknowledges.
"""


def redis(directory: Path, *options: str) -> tuple[ServerProcess, str]:
    """
    A private Redis.
    """
    server = RedisServer(directory, *options)
    return server, f"redis:host=127.0.0.1:port={server.port}"


def redisCluster(directory: Path, *options: str) -> tuple[RedisCluster, str]:
    """
    A private Redis Cluster.
    """
    server = RedisCluster(directory, *options)
    nodes = ",".join(rf"127.0.0.1\:{node.port}" for node in server.nodes)
    return server, f"redis:nodes={nodes}"


def postgres(*options: str) -> tuple[ServerProcess, str]:
    """
    A private PostgreSQL.
    """
    server = PostgresServer(*options)
    words = ":".join(f"{name}={value}" for name, value in server.keywords().items())
    return server, f"postgres:{words}"


BACKENDS: dict[str, Callable[[Path], tuple[Any, str]]] = {
    "redis": lambda directory: redis(directory, *DURABLE),
    "redis-cluster": lambda directory: redisCluster(directory, *DURABLE),
    "postgres": lambda directory: postgres(),
    # Broken on purpose: it forgets all that it has acknowledged.
    "redis-forgetful": redis,
    # It would acknowledge what a crash takes away, if nobody insisted.
    "postgres-hasty": lambda directory: postgres("synchronous_commit=off", "wal_writer_delay=10s"),
}
"""
Those with a server.
"""


def backend(text: str, directory: Path) -> tuple[Any, str]:
    """
    The server of a store, if it has one, and what C{--store} is given.

    @param text: C{"redis"}, C{"postgres"} …; or a store without a server, as
        C{--store} has it.
    @param directory: Where the server keeps its files.
    """
    make = BACKENDS.get(text)
    return (None, text) if make is None else make(directory)
