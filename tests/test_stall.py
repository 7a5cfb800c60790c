"""
Tests for how long very many endings hold the reactor: the short form of
C{benchmarks/stall.py}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from processes import Process

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "stall.py"


def busy(variant: str, directory: Path) -> float:
    """
    How long a process worked in one turn of the reactor at the most, in seconds,
    when 10,000 sessions expired at once.
    """
    command = [sys.executable, str(BENCHMARK), "--one", "--sessions=10000", variant]
    with Process(command, directory) as process:
        assert process.wait() == 0
        return float(json.loads(process.output)["busy"])


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> float:
    """
    How long those of stock Twisted hold it.
    """
    return busy("stock", tmp_path_factory.mktemp("stock"))


@pytest.mark.parametrize("variant", ["live", "both", "stored"])
def test_stall(variant: str, tmp_path: Path, stock: float) -> None:
    """
    They hold it for less than 50 milliseconds, and for much less than those of
    stock Twisted.
    """
    ours = busy(variant, tmp_path)
    assert ours < 0.05
    assert ours < stock / 2
