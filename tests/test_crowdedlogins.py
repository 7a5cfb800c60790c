"""
Tests for many log-ins of one user in two processes: L{crowdedlogins}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from crowdedlogins import Plan, run

STORES = ["sqlite:sessions.db", "json:sessions", "redis", "postgres"]


@pytest.mark.parametrize("store", STORES)
@pytest_twisted.ensureDeferred
async def test_cap(tmp_path: Path, store: str, record_property: Any) -> None:
    """
    Of 100 log-ins of one user in two processes never more than three sessions are alive.
    """
    record_property("figures", f"{Plan(store).logins} log-ins")
    assert await run(Plan(store), tmp_path) == []


@pytest.mark.parametrize("store", STORES)
@pytest_twisted.ensureDeferred
async def test_clear(tmp_path: Path, store: str) -> None:
    """
    When all sessions of a user are ended, while he logs in 100 times and others save in two
    processes, all that began before are dead, and stay so.
    """
    assert await run(Plan(store, clear=True), tmp_path) == []


@pytest_twisted.ensureDeferred
async def test_carelessCap(tmp_path: Path) -> None:
    """
    The same finds a store that counts the sessions of a user before it lets one more in.
    """
    assert await run(Plan("careless.CountingFirst:sessions.db"), tmp_path) != []
