"""
Tests for the short form of C{benchmarks/micro.py}.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from processes import Process

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "micro.py"


def test_micro(tmp_path: Path) -> None:
    """
    It says of each step, and of a whole request with each kind of session, what it costs.
    """
    # The best of several: in one, the machine may have stopped.
    command = [sys.executable, str(BENCHMARK), "--rounds=10", "--milliseconds=1"]
    with Process(command, tmp_path) as process:
        assert process.wait() == 0
        costs = dict(re.findall(r"^  (\S.*?) +(\d+\.\d\d)$", process.output, re.MULTILINE))
    assert len(costs) == 22
    assert float(costs["no session"]) < float(costs["count, memory"])
    assert float(costs["parse a token"]) < float(costs["count, encrypted"])
