"""
Tests for web servers that share the sessions of one store: the short form of
L{workers}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from workers import Plan, run

PLAN = {"increments": 500, "rounds": 50, "endings": 20}


async def troubles(directory: Path, store: str) -> list[str]:
    """
    What two servers on one store do wrong.
    """
    return await run(Plan(store, **PLAN), directory)


@pytest.mark.parametrize("store", ["sqlite:sessions.db", "json:sessions", "redis", "postgres"])
@pytest_twisted.ensureDeferred
async def test_agreement(tmp_path: Path, store: str, record_property: Any) -> None:
    """
    N increments from many clients make N; writers of different keys keep all of
    them; and who logs out at one server is logged out at the other at once, also
    while that is answering a slow request, which gets its normal answer.
    """
    record_property("figures", ", ".join(f"{count} {name}" for name, count in PLAN.items()))
    assert await troubles(tmp_path, store) == []


@pytest.mark.parametrize(
    "name, trouble",
    [
        ("BlindStore", "increments make"),
        ("WholeStore", "writers of"),
        ("LonelyStore", "lives on"),
        ("TrustingStore", "lives on"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_carelessStore(tmp_path: Path, name: str, trouble: str) -> None:
    """
    The same finds a store that does not look whether somebody else was faster, one
    that saves whole sessions, and servers that trust what they have in memory.
    """
    found = await troubles(tmp_path, f"careless.{name}:sessions.db")
    assert any(trouble in text for text in found)
