"""
Tests for sessions whose store is set back to an earlier state, as a fail-over to
a replica that lags behind does, or a backup.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from twisted.internet.task import Clock
from twisted.web.resource import Resource

import txsessions
from txsessions.stores.memory import MemoryStore


def increment(data: MutableMapping[str, Any]) -> int:
    """
    Count.
    """
    data["n"] = data.get("n", 0) + 1
    return data["n"]


def test_modify() -> None:
    """
    C{modify} goes on from what the store has, in a process that knew more.
    """
    store = MemoryStore()
    site = txsessions.Site(Resource(), sessionStore=store, reactor=Clock())
    session = site.makeSession()
    results: list[Any] = []
    session.modify(increment).addBoth(results.append)
    before = store._records[session.sid]
    for _ in range(3):
        session.modify(increment).addBoth(results.append)
    store._records[session.sid] = before
    for _ in range(2):
        session.modify(increment).addBoth(results.append)
    assert results == [1, 2, 3, 4, 2, 3]
    assert session.data["n"] == 3
