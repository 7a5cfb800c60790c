"""
What several processes do to the same sessions, in every order of the steps of
every store.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from explored import SCENARIOS, fits
from exploredcontrols import CONTROLS
from twisted.internet.defer import Deferred

from txsessions.record import Change
from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import resultOf
from txsessions.testing.explorer import Exploration, InterleavingFailed, explore
from txsessions.testing.shared import GatedShard, SharedDirectory, SharedFile, SharedMemory

LONG = bool(os.environ.get("TXSESSIONS_EXPLORE"))
"""
Whether all is explored, however long it takes, and not what a few seconds allow.
"""


def orders(found: Exploration) -> str:
    """
    How many orders were tried.
    """
    return f"{'all' if found.isComplete else 'the first'} {found.count:,} orders"


@pytest.mark.parametrize("name", SCENARIOS)
def test_memory(name: str, record_property: Any) -> None:
    """
    In memory all orders come out right.
    """
    if not fits(name, MemoryStore):
        pytest.skip("this store does not know owners")
    found = resultOf(explore(SCENARIOS[name], SharedMemory()))
    record_property("figures", orders(found))
    assert found.isComplete and found.count >= 2


@pytest.mark.parametrize("control", CONTROLS)
def test_control(control: str) -> None:
    """
    A store that is broken on purpose is found out, and the order that the story
    tells of finds it out again.
    """
    name, broken = CONTROLS[control]
    if not fits(name, MemoryStore):
        pytest.skip("this store does not know owners")
    with pytest.raises(InterleavingFailed) as caught:
        resultOf(explore(SCENARIOS[name], SharedMemory(broken)))
    with pytest.raises(InterleavingFailed) as again:
        resultOf(explore(SCENARIOS[name], SharedMemory(broken), choices=caught.value.choices))
    assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("name", SCENARIOS)
def test_sqlite(name: str, tmp_path: Path, record_property: Any) -> None:
    """
    On a SQLite file that processes share all orders of their transactions come
    out right.
    """
    if not fits(name, SQLiteStore):
        pytest.skip("this store does not know owners")
    found = resultOf(explore(SCENARIOS[name], SharedFile(tmp_path), limit=None if LONG else 150))
    record_property("figures", orders(found))
    assert found.count >= 2 and (found.isComplete or not LONG)


@pytest.mark.parametrize("name", SCENARIOS)
def test_json(name: str, tmp_path: Path, record_property: Any) -> None:
    """
    In a directory that processes share orders of their operations on files come
    out right.
    """
    if not fits(name, JSONStore):
        pytest.skip("this store does not know owners")
    data: Any = SharedDirectory(tmp_path)
    found = resultOf(explore(SCENARIOS[name], data, limit=None if LONG else 25))
    record_property("figures", orders(found))
    assert found.count >= 2 and (found.isComplete or not LONG)
    chance = resultOf(explore(SCENARIOS[name], data, runs=1000 if LONG else 10, seed=1))
    assert chance.count == (1000 if LONG else 10)


class IndifferentSQLite(SQLiteStore):
    """
    Does not care which token a change is for: broken on purpose.
    """

    def saveSession(self, change: Change) -> Deferred[int]:
        return super().saveSession(attrs.evolve(change, expectedVerifier=None))


class UnlockedShard(GatedShard):
    """
    Lets several change the same files at the same time: broken on purpose.
    """

    def lock(self) -> None:
        self.isLocked = True
        self._used.add(self._path)


def test_sqliteControl(tmp_path: Path) -> None:
    """
    A store in a SQLite file that is broken on purpose is found out.
    """
    with pytest.raises(InterleavingFailed, match="2 log-ins"):
        resultOf(explore(SCENARIOS["two tabs"], SharedFile(tmp_path, IndifferentSQLite)))


def test_jsonControl(tmp_path: Path) -> None:
    """
    A store in files whose lock keeps nobody out is found out.
    """
    data = SharedDirectory(tmp_path, openShard=UnlockedShard)
    with pytest.raises(InterleavingFailed, match="a key is lost") as caught:
        resultOf(explore(SCENARIOS["three writers"], data, shorten=20))
    assert "request a saves the session (a=1) [replace a file]" in str(caught.value)
