"""
Tests for L{long}: the one command for all long runs.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import long
import pytest
from long import ROOT, RUNS, Run
from promised import PROMISES


def test_all() -> None:
    """
    It does what the promises have figures of, and no two runs are the same; what it starts is
    there.
    """
    assert {run.key for run in RUNS} == {key for promise in PROMISES for key in promise.runs}
    assert len({run.command for run in RUNS}) == len(RUNS)
    words = [word for run in RUNS for word in shlex.split(run.command)]
    scripts = [word for word in words if word.startswith("tests/")]
    assert scripts and all((ROOT / script).is_file() for script in scripts)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """
    It says what it would do.
    """
    assert long.main(["--list", "--only", "chaos"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("chaos: python -m ") for line in lines)


@pytest.fixture
def figures() -> dict[str, Any]:
    """
    What is known so far.
    """
    return {"runs": {"floods": [{"command": "an old one", "result": "dry"}]}}


def runOf(code: str, said: str = ".") -> Run:
    """
    A run that is short.
    """
    return Run("floods", f"NAME=anna python -c {shlex.quote(code)}", said)


def test_noted(figures: dict[str, Any]) -> None:
    """
    Of what it prints the lines that matter are noted, for the command; what is done no more
    is forgotten.
    """
    run = runOf("import os; print('noise'); print('0 lost of', os.environ['NAME'])", "lost")
    status, output = run.perform()
    assert (status, run.result(output)) == (0, "0 lost of anna")
    long.note(figures, run, run.result(output), [run])
    assert figures["runs"]["floods"] == [{"command": run.command, "result": "0 lost of anna"}]


def test_failed(figures: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    What finds something is told, with what it says, and not noted.
    """
    run = runOf("print('3 lost'); raise SystemExit(1)")
    assert long.perform(run, figures) is False
    assert "3 lost" in capsys.readouterr().out
    assert figures["runs"]["floods"] == [{"command": "an old one", "result": "dry"}]


def test_where() -> None:
    """
    Pictures go where the documentation has them.
    """
    pages = "".join(path.read_text() for path in (ROOT / "docs").glob("*.rst"))
    for run in RUNS:
        if run.key == "chaos":
            plot = Path(shlex.split(run.command)[-1])
            assert plot.name in pages and (ROOT / plot).is_file()
