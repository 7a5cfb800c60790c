"""
The page of a report on single steps and on the operations of stores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tables import machineText, number, table, title

GENERATED = ".. Written by benchmarks/micro.py and benchmarks/stores.py: change these.\n"


def writeSteps(directory: Path) -> None:
    """
    Write C{steps.rst} of the raw figures that are in a directory.
    """
    parts = [GENERATED, title("Steps", "=")]
    for name, write in (("micro", _micro), ("stores", _stores)):
        path = directory / f"{name}.json"
        if path.exists():
            raw = json.loads(path.read_text())
            parts += [*write(raw), machineText(raw)]
    (directory / "steps.rst").write_text("\n".join(parts))


def _micro(raw: dict[str, Any]) -> Iterator[str]:
    """
    The pure floor.
    """
    yield title("Single steps")
    yield "Microseconds of the processor, the best of many rounds.\n"
    for group, costs in raw["groups"].items():
        yield table([group, "µs"], [[name, number(cost, 2)] for name, cost in costs.items()])


def _stores(raw: dict[str, Any]) -> Iterator[str]:
    """
    The stores.
    """
    yield title("Operations of stores")
    yield (
        f"On a session with 250 bytes of data: how long one takes that is alone, how many there "
        f"are in a second with {raw['together']} under way, and what each costs this process.\n"
    )
    rows = [
        [
            store,
            operation,
            number(1e6 * each["alone"]),
            number(1 / each["together"]),
            number(1e6 * each["cpu"]),
        ]
        for store, operations in raw["stores"].items()
        for operation, each in operations.items()
    ]
    yield table(["store", "operation", "alone, µs", "together, /s", "CPU, µs"], rows)
