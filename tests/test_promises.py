"""
The table of the promises: that it is complete, and true of the tests that there are.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs
import pytest
from promise import STORES, Promise
from promised import PROMISES
from promises import FIGURES, PAGE, allNames, lastRun, matching, namesOf, nodeOf, note, pageOf
from reports import casesOf

FIGURED = json.loads(FIGURES.read_text())

REFRESH = "run the commands at the top of tests/promises.py"


def collected(names: Collection[str]) -> set[str]:
    """
    The cases that pytest finds in the modules of tests.
    """
    modules = sorted({nodeOf(name).partition("::")[0] for name in names})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *modules],
        cwd=PAGE.parent.parent,
        check=False,
        timeout=240,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^tests/test_(\w+)\.py(::.*)$", done.stdout, re.MULTILINE)
    return {module + rest for module, rest in found}


def troubles(promise: Promise, known: Collection[str]) -> list[str]:
    """
    What is wrong with an entry of the table.
    """
    found = [f"{name} does not exist" for name in namesOf(promise) if not matching([name], known)]
    if not promise.tests:
        found.append("nothing shows it")
    if not promise.controls:
        found.append("nothing shows that a breach would be noticed")
    said = {*promise.stores, *promise.without}
    found += [f"nothing is said of {store}" for store in STORES if store not in said]
    found += [f"no figures of {run}" for run in promise.runs if run not in FIGURED["runs"]]
    return found


def test_true() -> None:
    """
    Each test of the table exists; each promise has one, on every store, and a control; the
    long runs have figures.
    """
    known = collected(allNames())
    assert {promise.number: troubles(promise, known) for promise in PROMISES} == {
        promise.number: [] for promise in PROMISES
    }


def test_complete() -> None:
    """
    All promises of the design are in the table, by the words that it has for them.
    """
    assert [promise.number for promise in PROMISES] == [f"P{n}" for n in range(1, 15)]
    design = (PAGE.parent / "design.rst").read_text()
    for promise in PROMISES:
        beginning = re.split(r"[;,:]| for more", promise.text)[0]
        assert f"{promise.number}\n    {beginning}" in design


def test_noted() -> None:
    """
    All tests of the table have passed when they were noted, so that every control was found
    out.
    """
    cases = FIGURED["cases"]
    assert [name for name in allNames() if not matching([name], cases)] == [], REFRESH
    assert [name for name, case in cases.items() if case["outcome"] != "passed"] == []


def test_found() -> None:
    """
    Each test that the page on testing names is there.
    """
    names = re.findall(r"``(\w+(?:::\w+)*::test_\w+)``", (PAGE.parent / "testing.rst").read_text())
    known = collected(names)
    assert len(names) > 20
    assert [name for name in names if not matching([name], known)] == []


def test_page() -> None:
    """
    The page is what the table and the figures make of it.
    """
    assert PAGE.read_text() == pageOf(FIGURED), "run python tests/promises.py"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tests": ("gate::test_nothingLikeThis",)}, "gate::test_nothingLikeThis does not exist"),
        ({"tests": ("gate::test_it[tapes]",)}, "gate::test_it[tapes] does not exist"),
        ({"tests": ()}, "nothing shows it"),
        ({"controls": ()}, "nothing shows that a breach would be noticed"),
        ({"stores": {}}, "nothing is said of sqlite"),
        ({"runs": ("marathon",)}, "no figures of marathon"),
    ],
)
def test_control(changes: Any, said: str) -> None:
    """
    An entry that is not true, or not whole, is noticed.
    """
    known = {*namesOf(PROMISES[0]), "gate::test_it[disks]"}
    assert troubles(PROMISES[0], known) == []
    assert said in troubles(attrs.evolve(PROMISES[0], **changes), known)


REPORT = """\
<testsuites><testsuite name="pytest" timestamp="2026-11-21T10:00:00+00:00">
<testcase classname="tests.test_trouble.TestTrouble" name="test_down"/>
<testcase classname="tests.test_gate" name="test_control[a-b]"><properties>
<property name="figures" value="9 tries, seed 1"/></properties></testcase>
<testcase classname="tests.test_gate" name="test_other"><failure/></testcase>
<testcase classname="tests.test_gate" name="test_lazy"><skipped/></testcase>
<testcase classname="tests.test_gate" name="test_control[c]"><error/></testcase>
</testsuite></testsuites>
"""


def test_report(tmp_path: Path) -> None:
    """
    What pytest reports is noted by the names of the table, with what a test says of its
    chances; and is told of them.
    """
    report = tmp_path / "run.xml"
    report.write_text(REPORT)
    assert {name: case["outcome"] for name, case in casesOf(report).items()} == {
        "trouble::TestTrouble::test_down": "passed",
        "gate::test_control[a-b]": "passed",
        "gate::test_other": "failed",
        "gate::test_lazy": "skipped",
        "gate::test_control[c]": "failed",
    }
    said = lastRun(["gate::test_control"], casesOf(report))
    assert said == "1 of 2 passed; test_control[a-b]: 9 tries, seed 1"


def test_merged(tmp_path: Path) -> None:
    """
    A report of some tests leaves what was noted of others, and brings in nothing that is
    not in the table.
    """
    report = tmp_path / "run.xml"
    report.write_text(REPORT)
    old = {"outcome": "passed", "date": "2026-01-01"}
    gone = {"gate::test_everyPath": old, "gate::test_ofLastYear": old}
    figures = {"cases": {**gone, "trouble::TestTrouble::test_down": old}}
    note(report, figures)
    cases = figures["cases"]
    assert set(cases) == {
        "gate::test_everyPath",
        "gate::test_control[a-b]",
        "gate::test_control[c]",
        "trouble::TestTrouble::test_down",
    }
    assert cases["gate::test_everyPath"] == old
    assert cases["trouble::TestTrouble::test_down"]["date"] == "2026-11-21"
