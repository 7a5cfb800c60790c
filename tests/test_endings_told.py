"""
Tests for what durable observers are told, whichever processes die: the short form of
L{endings}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from endings import Plan, Trial

STORES = ["sqlite:sessions.db", "json:sessions", "redis", "redis-cluster", "postgres"]


async def tried(directory: Path, store: str, part: str, **others: Any) -> Trial:
    """
    A trial that is over.
    """
    plan = Plan(
        store,
        **{
            "sessions": 200,
            "workers": 2,
            "window": 2.0,
            "interval": 1.0,
            "timeout": 1.5,
            "lease": 2.0,
            "delay": 0.01,
            **others,
        },
    )
    trial = Trial(plan, directory)
    await trial.run([part])
    print(f"seed {plan.seed}")
    return trial


@pytest.mark.parametrize("part", ["expire", "downtime", "mixed"])
@pytest.mark.parametrize("store", STORES)
@pytest_twisted.ensureDeferred
async def test_told(tmp_path: Path, store: str, part: str, record_property: Any) -> None:
    """
    A durable observer is told of each ending, with what was last in the session:
    of those that fall due while workers are killed, of those that fell due while
    everything was stopped, and of log-outs, evictions and what was cleared; of none
    too early, and of no more twice than what the killed workers held.
    """
    trial = await tried(tmp_path, store, part)
    figures = trial.figures[part]
    times = f"{figures['kills']} kills, seed {trial.plan.seed}"
    record_property("figures", f"{figures['told']} endings, {times}")
    assert trial.troubles == []
    assert trial.figures[part]["told"] == 200
    assert (trial.figures[part]["kills"] > 0) == (part != "downtime")


@pytest_twisted.ensureDeferred
async def test_silentStore(tmp_path: Path) -> None:
    """
    The same finds a store that does not write down what a sweep ends.
    """
    trial = await tried(tmp_path, "careless.SilentStore:sessions.db", "downtime", sessions=20)
    assert any("were not told" in trouble for trouble in trial.troubles)


@pytest_twisted.ensureDeferred
async def test_hastyCourier(tmp_path: Path) -> None:
    """
    The same finds couriers that acknowledge before they tell.
    """
    trial = await tried(tmp_path, "sqlite:sessions.db", "expire", isHasty=True, delay=0.2)
    assert any("were not told" in trouble for trouble in trial.troubles)
