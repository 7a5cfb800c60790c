"""
Makes the page of the promises, C{docs/promises.rst}, of the table in L{promised} and of what
the tests in it came to, which is kept in C{docs/promises.json}::

    python -m pytest --junitxml=run.xml $(python tests/promises.py --tests)
    python tests/promises.py --run run.xml

The first line runs the tests that are named in the table; a report of all tests will do as
well, and one of a few brings these up to date.  What long runs came to is noted there by
L{long}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from promise import STORES, Promise
from promised import PROMISES
from reports import casesOf

DOCS: Final = Path(__file__).parent.parent / "docs"
FIGURES: Final = DOCS / "promises.json"
PAGE: Final = DOCS / "promises.rst"

HEAD: Final = """\
The promises
============

What is promised, the tests that show it, and those in which something is broken on purpose and
has to be found out.  This page is made by ``tests/promises.py``, of the table in
``tests/promised.py`` and of a report of pytest's; ``tests/test_promises.py`` sees that it is
complete and that each test exists.

``gate::test_control`` is ``test_control`` in ``tests/test_gate.py``, in all its cases; brackets
name one of them.

"""

NONE: Final = "\N{EN DASH}"
CONTROLS: Final = "**broken on purpose**"

Cases = dict[str, dict[str, Any]]


def pageOf(figures: dict[str, Any]) -> str:
    """
    The page.
    """
    cases = figures["cases"]
    parts = [HEAD, summary(cases), longRuns(figures["runs"])]
    parts += [section(promise, cases) for promise in PROMISES]
    return "".join(parts)[:-1]


def summary(cases: Cases) -> str:
    """
    How many cases were tried of each promise on each store.
    """
    passed = [case for case in cases.values() if case["outcome"] == "passed"]
    dates = sorted({case["date"] for case in passed}) or ["never"]
    lines = [
        f"Last run: {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}; "
        f"{len(passed):,} cases passed, {len(cases) - len(passed):,} did not.",
        "",
        *table("7 21 13 9 9 9 9 9 10 12", ("", "promise", "any store", *STORES, "broken, found")),
    ]
    for promise in PROMISES:
        counts = [tried(promise.stores.get(store, ()), cases) for store in STORES]
        link = f":ref:`{promise.number} <promise-{promise.number.lower()}>`"
        controls = tried(promise.controls, cases)
        lines += row(link, promise.text, tried(promise.tests, cases), *counts, controls)
    return "\n".join([*lines, "", ""])


def tried(names: Iterable[str], cases: Cases) -> str:
    """
    How many cases of these tests have passed, and of how many if that is not all.
    """
    found = [cases[name] for name in matching(names, cases)]
    passed = sum(case["outcome"] == "passed" for case in found)
    if not found:
        return NONE
    return str(passed) if passed == len(found) else f"{passed} of {len(found)}"


def matching(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """
    The cases that are meant by names in the table.
    """
    wanted = tuple(names)
    return [case for case in known if case in wanted or case.partition("[")[0] in wanted]


def longRuns(runs: dict[str, Any]) -> str:
    """
    The figures of the long runs.
    """
    lines = ["Long runs", "---------", "", "All of them: ``python tests/long.py``.", ""]
    lines += table("16 42 42", ("run", "command", "came to"))
    for name, tries in runs.items():
        for run in tries:
            lines += row(f"*{name}*", f"``{run['command']}``", run["result"])
    return "\n".join([*lines, "", ""])


def section(promise: Promise, cases: Cases) -> str:
    """
    What is to be said of one promise.
    """
    title = f"{promise.number}: {promise.text}"
    lines = [f".. _promise-{promise.number.lower()}:", "", title, "-" * len(title), ""]
    lines += table("12 56 32", ("store", "shown by", "last run"))
    lines += row("any", named(promise.tests), lastRun(promise.tests, cases))
    for store in STORES:
        if store in promise.stores:
            tests = promise.stores[store]
            lines += row(store, named(tests), lastRun(tests, cases))
        elif store in promise.without:
            lines += row(store, promise.without[store], NONE)
    lines += row(CONTROLS, named(promise.controls), lastRun(promise.controls, cases, "found"))
    if promise.runs:
        lines += row("long runs", ", ".join(f"*{name}*" for name in promise.runs), "see above")
    return "\n".join([*lines, "", ""])


def lastRun(names: Iterable[str], cases: Cases, word: str = "passed") -> str:
    """
    What tests came to when they were run last, with what those that go by chance say of it.
    """
    found = {name: cases[name] for name in matching(names, cases)}
    said = [
        f"{name.partition('::')[2]}: {case['figures']}"
        for name, case in found.items()
        if "figures" in case
    ]
    return "; ".join([f"{tried(names, cases)} {word}", *said])


def table(widths: str, heads: Iterable[str]) -> list[str]:
    """
    The beginning of a table.
    """
    options = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    return [*options, *row(*heads)]


def row(*cells: str) -> list[str]:
    """
    A row of a table.
    """
    first, *others = (f" {cell}" if cell else "" for cell in cells)
    return [f"   * -{first}", *(f"     -{cell}" for cell in others)]


def named(tests: Iterable[str]) -> str:
    """
    The names of tests.
    """
    return ", ".join(f"``{test}``" for test in tests)


def namesOf(promise: Promise) -> list[str]:
    """
    All tests that the table has of a promise.
    """
    stores = [name for names in promise.stores.values() for name in names]
    return [*promise.tests, *stores, *promise.controls]


def allNames() -> list[str]:
    """
    All tests that are in the table.
    """
    return list(dict.fromkeys(name for promise in PROMISES for name in namesOf(promise)))


def nodeOf(name: str) -> str:
    """
    What pytest calls a test of the table.
    """
    module, _, rest = name.partition("::")
    return f"tests/test_{module}.py::{rest}"


def write(figures: dict[str, Any]) -> None:
    """
    Keep the figures, and make the page of them.
    """
    FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(pageOf(figures))


def note(report: Path, figures: dict[str, Any]) -> None:
    """
    Note what a report says of the tests in the table, and forget those that are there no
    more.
    """
    names = allNames()
    cases = {**figures["cases"], **casesOf(report)}
    figures["cases"] = {name: cases[name] for name in sorted(matching(names, cases))}


def main() -> int:
    """
    The command.
    """
    parser = argparse.ArgumentParser(description="Make docs/promises.rst.")
    parser.add_argument("--tests", action="store_true", help="print the tests of the table")
    parser.add_argument("--run", type=Path, help="the XML of a run of tests")
    options = parser.parse_args()
    if options.tests:
        print(*map(nodeOf, allNames()), sep="\n")
        return 0
    figures = json.loads(FIGURES.read_text())
    if options.run is not None:
        note(options.run, figures)
    write(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
