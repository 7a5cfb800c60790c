"""
Reads what C{pytest --junitxml} writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

FIGURES = "figures"
"""
The property by which a test that goes by chance says what it has tried, with its seed.
"""


def casesOf(report: Path) -> dict[str, dict[str, Any]]:
    """
    What all tests of a run came to, by names as L{promised} has them, with the brackets of
    the case.
    """
    found = {}
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        date = suite.attrib["timestamp"][:10]
        for case in suite.iter("testcase"):
            facts = {"outcome": outcomeOf(case), "date": date}
            for each in case.iter("property"):
                if each.attrib["name"] == FIGURES:
                    facts["figures"] = each.attrib["value"]
            found[nameOf(case)] = facts
    return found


def nameOf(case: ElementTree.Element) -> str:
    """
    What the table calls a test.
    """
    _, _, path = f".{case.attrib['classname']}".partition(".test_")
    return "::".join([*path.split("."), case.attrib["name"]])


def outcomeOf(case: ElementTree.Element) -> str:
    """
    What it came to.
    """
    for outcome in ("failure", "error", "skipped"):
        if case.find(outcome) is not None:
            return "skipped" if outcome == "skipped" else "failed"
    return "passed"
