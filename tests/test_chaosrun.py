"""
Tests for the chaos run: its short form, on stores that are right and on some that are
not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from servers import findBinary
from twisted.internet import reactor

from txsessions.testing.chaos import checker, summary
from txsessions.testing.chaos.command import picture
from txsessions.testing.chaos.fault import (
    KILL_WORKER,
    SERVER_FAULTS,
    STEP_CLOCK,
    WORKER_FAULTS,
    plan,
)
from txsessions.testing.chaos.run import Plan, Run

HERE = Path(__file__).parent


async def ran(directory: Path, store: str, seconds: float, seed: int, **others: Any) -> Run:
    """
    A run that is over.
    """
    given = Plan(store, seconds, seed, **{"workers": 2, "clients": 16, "rate": 150, **others})
    run = Run(given, directory, reactor)
    await run.run()
    print(summary.text(run))
    return run


def figures(run: Run) -> str:
    """
    How much that was.
    """
    writes, faults = run.site.figures.writes, len(run.mischief.done)
    return f"{writes:,} writes, {faults} faults, seed {run.plan.seed}"


@pytest_twisted.ensureDeferred
async def test_file(tmp_path: Path, record_property: Any) -> None:
    """
    Workers that share a file lose nothing when they are killed and frozen, revive
    nothing, and tell all endings; the summary and the picture say so.
    """
    run = await ran(tmp_path, "sqlite:sessions.db", 8, seed=9)
    record_property("figures", figures(run))
    assert run.anomalies == []
    content = json.loads(json.dumps(summary.content(run)))
    assert content["faults"][KILL_WORKER] > 0 and content["faults"][STEP_CLOCK] > 0
    assert content["acknowledged"]["writes"] > 50 and content["ended"] == content["told"] > 0
    assert content["upper bound"] == 3 / run.site.figures.writes
    assert picture(run).count('class="mark"') == len(run.mischief.done)


@pytest_twisted.ensureDeferred
async def test_server(tmp_path: Path, record_property: Any) -> None:
    """
    Neither do they when the server of the store is killed and frozen as well, and the
    network fails; in the meantime they answer 503.
    """
    findBinary("redis-server", "valkey-server")
    run = await ran(tmp_path, "redis", 12, seed=6)
    record_property("figures", figures(run))
    assert run.anomalies == []
    assert {each.kind for each in run.mischief.done} & set(SERVER_FAULTS)
    assert run.site.figures.outcomes["503"] > 0


@pytest.mark.parametrize(
    "name, kind", [("WholeStore", checker.MISSING), ("BlindStore", checker.COUNT)]
)
@pytest_twisted.ensureDeferred
async def test_carelessStore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """
    The same finds a store that saves whole sessions, and one that does not look
    whether somebody else was faster.
    """
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    for attempt in range(5):  # two who meet are a matter of chance
        place = tmp_path / str(attempt)
        place.mkdir()
        run = await ran(place, f"careless.{name}:sessions.db", 5, seed=7 + attempt, rate=600)
        if kind in {each.kind for each in run.anomalies}:
            assert "ANOMALIES" in summary.text(run)
            return
    pytest.fail("nothing of that kind was ever noticed")


@pytest_twisted.ensureDeferred
async def test_jumpyStore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And it finds a process that believes the clock on the wall: sessions vanish when
    that is set.
    """
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    run = await ran(tmp_path, "careless.JumpyStore:sessions.db", 5, seed=4)
    assert checker.VANISHED in {each.kind for each in run.anomalies}


class TestPlan:
    """
    The plan of the faults.
    """

    def test_seed(self) -> None:
        """
        The same seed gives the same plan, and another one another.
        """
        first, again, other = (plan(Random(seed), 60, 4, True) for seed in (1, 1, 2))
        assert first == again != other

    def test_all(self) -> None:
        """
        A minute has faults of all kinds, one after the other on each side, which are over
        in time; and without a server of ours only the workers are hit.
        """
        lanes = plan(Random(3), 60, 4, True)
        for lane, kinds in zip(lanes, [WORKER_FAULTS, SERVER_FAULTS], strict=True):
            assert {each.kind for each in lane} == set(kinds)
            ends = [0.0, *(each.start + each.duration for each in lane)]
            assert all(end < each.start for end, each in zip(ends, lane, strict=False))
            assert ends[-1] <= 60
        (only,) = plan(Random(3), 60, 4, False)
        assert {each.kind for each in only} == set(WORKER_FAULTS)


class TestCommand:
    """
    The command line.
    """

    def said(self, *arguments: str) -> tuple[int, str, str]:
        """
        Its status, and what it says.
        """
        command = [sys.executable, "-m", "txsessions.testing.chaos", *arguments]
        done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    @pytest.mark.parametrize(
        "arguments, text",
        [
            (["--minutes", "0"], "--minutes has to be more than 0"),
            (["--store", "nothing"], "--store nothing: say redis or postgres"),
            (["--store", "memory:"], "processes cannot share the store memory"),
            (["--keep", "."], "--keep . exists; say a new directory"),
            (["--plot", "nowhere/plot.svg"], "--plot nowhere/plot.svg: there is no such directory"),
        ],
        ids=["minutes", "no store", "unshared", "kept", "plot"],
    )
    def test_wrong(self, arguments: list[str], text: str) -> None:
        """
        What cannot be done is told in one line, with the status 2.
        """
        status, out, errors = self.said("--quiet", *arguments)
        assert (status, out) == (2, "")
        assert text in errors and "Traceback" not in errors
