"""
What the page on testing shows of the explorer and of the state machine.
"""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from textwrap import dedent
from typing import Any

from explored import ThreeWriters
from test_docs import DOCS, block, run

from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf
from txsessions.testing.explorer import explore

EXAMPLE = DOCS.parent / "examples" / "interleavings.py"


def test_example() -> None:
    """
    The example prints what the page says.
    """
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=True
    )
    page = (DOCS / "testing.rst").read_text()
    shown = page.partition(".. code-block:: text\n")[2].partition("\nA ``Scenario``")[0]
    assert done.stdout == dedent(shown).strip() + "\n"


class MyStore(MemoryStore):
    """
    A store of somebody's own.
    """

    kept: dict[Path, MemoryStore] = {}

    def __init__(self, path: Any = None, clock: Any = None) -> None:
        super().__init__(clock)
        if path is not None:
            vars(self).update(vars(self.kept.setdefault(path, MemoryStore(clock))))


def test_ownData() -> None:
    """
    One class lets a store of one's own be explored.
    """
    removed: list[Any] = []

    def remove(path: Any) -> None:
        removed.append(path)
        MyStore.kept.pop(path, None)

    shared = run(block("testing", "SharedMine"), MyStore=MyStore, remove=remove)["SharedMine"]
    shared.path = Path("mine")
    found = resultOf(explore(ThreeWriters, shared()))
    assert found.isComplete and len(removed) == found.count + found.cut


def test_ownMachine() -> None:
    """
    One class holds a store of one's own against the model.
    """
    case: type[unittest.TestCase] = run(block("testing", "MyMachine"), MyStore=MyStore)[
        "TestMyStore"
    ]
    result = unittest.TestResult()
    case("runTest").run(result)
    assert result.testsRun == 1 and result.wasSuccessful(), result.failures + result.errors
