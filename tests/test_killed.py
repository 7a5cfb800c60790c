"""
Tests for what is left when processes are killed, frozen or asked to end under load:
the short form of L{killed}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from killed import Plan, Trial


async def tried(directory: Path, store: str, note: Any = None, **others: Any) -> Trial:
    """
    A trial that is over.

    @param note: How to say in the report how much was tried: C{record_property}.
    """
    plan = Plan(store, **{"kills": 2, "sessions": 10, "visitors": 60, "longest": 0.6, **others})
    trial = Trial(plan, directory)
    await trial.run()
    print(f"seed {plan.seed}")
    if note is not None:
        times = f"{plan.fault} {plan.kills} times, seed {plan.seed}"
        note("figures", f"{trial.crowd.compared:,} acknowledged, {times}")
    return trial


def assertKept(trial: Trial) -> None:
    """
    See that nothing was lost of what there was.
    """
    assert trial.troubles == []
    assert trial.crowd.compared > 10


@pytest.mark.parametrize("store", ["sqlite:sessions.db", "json:sessions"])
@pytest_twisted.ensureDeferred
async def test_killedServer(tmp_path: Path, store: str, record_property: Any) -> None:
    """
    What a web server acknowledged is there after it was killed, and each cookie
    opens its session.
    """
    trial = await tried(tmp_path, store, record_property)
    assertKept(trial)
    assert trial.crowd.account.unknown > 0


@pytest.mark.parametrize("store, kills", [("redis", 2), ("postgres", 2), ("postgres-hasty", 1)])
@pytest_twisted.ensureDeferred
async def test_killedStore(tmp_path: Path, store: str, kills: int, record_property: Any) -> None:
    """
    What was acknowledged is there after the server of the store was killed, and
    the web server goes on without a restart; in the meantime it answers 503, and
    loses no connection.
    """
    trial = await tried(tmp_path, store, record_property, target="store", kills=kills)
    assertKept(trial)
    assert trial.crowd.account.refused > 0


@pytest.mark.parametrize(
    "store, target, frozen", [("sqlite:sessions.db", "web", 0.5), ("redis", "store", 3.0)]
)
@pytest_twisted.ensureDeferred
async def test_frozen(tmp_path: Path, store: str, target: str, frozen: float) -> None:
    """
    A process that stands still for a while makes nobody lose anything.
    """
    trial = await tried(tmp_path, store, target=target, fault="freeze", kills=1, frozen=frozen)
    assertKept(trial)
    assert trial.crowd.account.unknown == 0


@pytest_twisted.ensureDeferred
async def test_terminated(tmp_path: Path, record_property: Any) -> None:
    """
    A web server that is asked to end under load ends in time, and what it
    acknowledged is there.
    """
    how = {"fault": "terminate", "rate": 200}
    assertKept(await tried(tmp_path, "sqlite:sessions.db", record_property, **how))


@pytest.mark.parametrize("store", ["careless.HastyStore:sessions.db", "memory"])
@pytest_twisted.ensureDeferred
async def test_hastyStore(tmp_path: Path, store: str) -> None:
    """
    The same finds a store that acknowledges what is not durable.
    """
    trial = await tried(tmp_path, store, kills=1)
    assert trial.troubles != []


@pytest_twisted.ensureDeferred
async def test_forgetfulServer(tmp_path: Path) -> None:
    """
    The same finds a Redis that writes nothing to the disk.
    """
    trial = await tried(tmp_path, "redis-forgetful", target="store", kills=1)
    assert any("with a new cookie" in trouble for trouble in trial.troubles)
