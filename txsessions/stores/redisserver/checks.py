"""
What is looked at before a store is used.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from ...errors import StoreUnusable

MINIMUM_VERSION: Final = (6, 0)
"""
The oldest server whose scripts and users do what is needed.
"""

_log = Logger()


def check(infos: list[bytes], isCluster: bool, where: Any) -> None:
    """
    Look at what each master says of itself.

    @param infos: The replies to C{INFO}.
    @param isCluster: Whether it is used as a Cluster.
    @param where: What the server is called.
    @raise StoreUnusable: Sessions could not be kept there.
    """
    for info in infos:
        facts = _facts(info)
        _checkServer(facts, isCluster, where)
        _checkMemory(facts, where)
        if facts.get("aof_enabled") == "0":
            _log.warn(
                "{where} keeps no append-only file: sessions that it has acknowledged are lost "
                "when it ends unexpectedly; set appendonly yes",
                where=str(where),
            )


def _checkServer(facts: dict[str, str], isCluster: bool, where: Any) -> None:
    """
    Its version, and what kind of server it is.
    """
    version = facts.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < MINIMUM_VERSION:
        needed = ".".join(map(str, MINIMUM_VERSION))
        raise StoreUnusable(f"{where} has version {version or '?'}; {needed} or later is needed")
    if facts.get("redis_mode") == "cluster" and not isCluster:
        raise StoreUnusable(f"{where} is a node of a Cluster; give it as nodes=, not as host=")
    if facts.get("redis_mode") == "sentinel":
        raise StoreUnusable(f"{where} is a Sentinel; give it as sentinels=, not as host=")


def _checkMemory(facts: dict[str, str], where: Any) -> None:
    """
    Whether it throws sessions away when its memory is full.
    """
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
        raise StoreUnusable(
            f"{where} throws sessions away when its memory is full (maxmemory-policy {policy}); "
            "set maxmemory-policy noeviction, or use a server of their own"
        )


def _facts(info: bytes) -> dict[str, str]:
    """
    The reply to C{INFO} by name.
    """
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
