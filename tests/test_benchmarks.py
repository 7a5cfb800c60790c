"""
Tests for the short forms of the benchmarks that write the report on speed, and for how they
calculate.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

PATIENCE = 400
"""
How long the short form may take on a busy machine, in seconds.
"""

needsWrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def run(program: str, *arguments: str) -> str:
    """
    Run a benchmark to its end.

    @return: What it has printed.
    """
    command = [sys.executable, str(BENCHMARKS / f"{program}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def raw(directory: Path, name: str) -> Any:
    """
    The raw figures that were written.
    """
    return json.loads((directory / f"{name}.json").read_text())


@needsWrk
def test_report(tmp_path: Path) -> None:
    """
    The short form measures ours on each store beside stock and the raw floors, and writes a
    report with pictures.
    """
    run("report", "--short", "--out", str(tmp_path))
    figures = raw(tmp_path, "requests")
    measured = {each["name"]: each["rounds"]["0"]["32"] for each in figures["variants"]}
    assert {"bare", "stock", "memory", "memory-reading", "sqlite", "json"} <= set(measured)
    assert len(measured) + len(figures["failed"]) == 12
    for each in measured.values():
        assert each["requests"] > 0 and each["cpu"] > 0 and each["p50"] <= each["p99"]
    page = (tmp_path / "requests.rst").read_text()
    assert "raw floor of SQLite" in page and figures["machine"]["processor"] in page
    for picture in ("tax.svg", "rate.svg"):
        assert ElementTree.parse(tmp_path / picture).getroot().tag.endswith("svg")


@needsWrk
def test_scale(tmp_path: Path) -> None:
    """
    The short form of the run on scale does all of its parts.
    """
    run("scale", "--short", "--out", str(tmp_path))
    figures = raw(tmp_path, "scale")
    assert figures["failed"] == {}
    assert figures["live"]["ours"]["bytes"] > 0 and figures["live"]["stock"]["rate"] > 0
    assert figures["endings"]["ours"]["total"] >= 0
    assert figures["cold"]["ready"] > figures["cold"]["bare"] / 2
    assert figures["clock"]["ours"] > 0
    # What a thousand sessions show is no promise for a million.
    assert "**no**" not in (tmp_path / "targets.txt").read_text()
    assert ElementTree.parse(tmp_path / "growth-sqlite.svg").getroot().tag.endswith("svg")


def test_stores(tmp_path: Path) -> None:
    """
    Each operation of each store that can be had has its cost.
    """
    printed = run("stores", "--sessions", "100", "--out", str(tmp_path))
    figures = raw(tmp_path, "stores")
    assert {"memory", "sqlite", "json"} <= set(figures["stores"])
    assert len(figures["stores"]) + len(figures["missing"]) == 5
    for name, operations in figures["stores"].items():
        assert name in printed and name in (tmp_path / "steps.rst").read_text()
        assert all(each["cpu"] > 0 for each in operations.values()) and len(operations) == 4


def variant(name: str, kind: str, bare: str, *rates: float) -> dict[str, Any]:
    """
    The raw figures of something that had so many requests per second in each round.
    """
    facts = {"p50": 0.001, "p99": 0.002, "cpu": 1e-4, "server": 0.0, "stall": 0.001}
    rounds = {str(number): {"32": {"rate": rate, **facts}} for number, rate in enumerate(rates)}
    return {"name": name, "title": name, "kind": kind, "bare": bare, "rounds": rounds}


def test_ratios(tmp_path: Path) -> None:
    """
    Taxes and ratios are those within each round, however the machine changes in between, and
    their median says whether a target was reached.
    """
    figures = {
        "machine": {},
        "others": 0.0,
        "took": 60.0,
        "plan": {"sessions": [32], "rounds": 3, "peerRounds": 1, "seconds": 1},
        "failed": {"somebody": "is not installed"},
        "variants": [
            variant("bare", "bare", "bare", 1000, 100, 2000),
            variant("redis", "ours", "bare", 900, 80, 1700),
            variant("floor-redis", "floor", "bare", 1000, 80, 1700),
            variant("x-bare", "peer", "x-bare", 500),
            variant("x-redis", "peer", "x-bare", 100),
        ],
    }
    (tmp_path / "requests.json").write_text(json.dumps(figures))
    printed = run("report", "--draw", "--out", str(tmp_path))
    assert "15.0" in printed  # Of 10, 20 and 15 percent.
    page = (tmp_path / "requests.rst").read_text()
    assert "15 (10 to 20)" in page and "80 (80 to 80)" in page
    assert "somebody: is not installed" in page
    targets = " ".join((tmp_path / "targets.txt").read_text().split())
    assert "1.00 (0.90 to 1.00) yes" in targets
    assert "9.00 (9.00 to 9.00): x-redis" in targets


def test_failed(tmp_path: Path) -> None:
    """
    A target that was missed says so.
    """
    figures = {
        "plan": {"sessions": [32], "rounds": 1, "peerRounds": 1, "seconds": 1},
        "machine": {},
        "others": 0.0,
        "took": 1.0,
        "failed": {},
        "variants": [
            variant("bare", "bare", "bare", 1000),
            variant("stock", "stock", "bare", 900),
            variant("memory", "ours", "bare", 700),
        ],
    }
    (tmp_path / "requests.json").write_text(json.dumps(figures))
    run("report", "--draw", "--out", str(tmp_path))
    assert "**no**" in (tmp_path / "targets.txt").read_text()
