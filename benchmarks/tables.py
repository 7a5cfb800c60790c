"""
Tables and facts in reStructuredText.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from machine import BUSY
from results import Spread

Cells = Sequence[str]

DASH: Final = "\u2013"
"""
Where there is no figure.
"""

MINUS: Final = "\u2212"


def table(head: Cells, rows: Sequence[Cells]) -> str:
    """
    A table.
    """
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)

    def line(cells: Cells) -> str:
        # An empty first cell would go on with the row before.
        shown = [cells[0] or "\\", *cells[1:]]
        return "  ".join(
            cell.ljust(width) for cell, width in zip(shown, widths, strict=True)
        ).rstrip()

    return "\n".join([rule, line(head), rule, *map(line, rows), rule, ""])


def title(text: str, rule: str = "-") -> str:
    """
    A title.
    """
    return f"{text}\n{rule * len(text)}\n"


WARNING: Final = """\
.. warning::

   Others used the machine at the same time.  These figures show what is measured, and hardly
   anything else.
"""


def machineText(raw: Mapping[str, Any]) -> str:
    """
    What it was measured on.
    """
    facts = dict(raw["machine"])
    first = [facts.pop(name, "") for name in ("date", "processor", "cores", "system")]
    date, processor, cores, system = first
    write = facts.pop("write to the disk", "")
    versions = ", ".join(f"{name} {version}" for name, version in facts.items())
    share = f"{100 * raw['others']:.0f} %"
    return (
        f"Measured {date} on {processor}, {cores} cores, {system}; {versions}.  A small write to "
        f"the disk that held the files took {write}.  Others used {share} of the "
        "processors when it began.\n" + (f"\n{WARNING}" if raw["others"] > BUSY else "")
    )


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """
    A figure; a dash if there is none.
    """
    return DASH if value is None else f"{value:,.{digits}f}{unit}"


def percent(spread: Spread | None, isWithSpread: bool = False) -> str:
    """
    A share.
    """
    if spread is None:
        return DASH
    middle = f"{100 * spread.middle:.0f}"
    if not isWithSpread:
        return middle
    return f"{middle} ({100 * spread.low:.0f} to {100 * spread.high:.0f})"


def ratio(spread: Spread | None) -> str:
    """
    A ratio with its spread.
    """
    if spread is None:
        return DASH
    return f"{spread.middle:.2f} ({spread.low:.2f} to {spread.high:.2f})"
