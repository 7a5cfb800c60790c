"""
What raw figures say: medians, and ratios of what was measured in the same round.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Spread:
    """
    Some figures.

    @ivar middle: The median.
    """

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """
        That of some values.
        """
        return cls(statistics.median(values), min(values), max(values))


class Results:
    """
    The figures of one run.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.variants = {each["name"]: each for each in raw["variants"]}

    def has(self, *names: str) -> bool:
        """
        Whether these were measured.
        """
        return all(name in self.variants for name in names)

    def sessions(self) -> list[int]:
        """
        How many were in rotation.
        """
        return self.raw["plan"]["sessions"]

    def values(self, name: str, sessions: int, figure: str) -> dict[str, float]:
        """
        A figure by the number of the round.
        """
        rounds = self.variants[name]["rounds"] if name in self.variants else {}
        isBare = name in self.variants and self.variants[name]["bare"] == name
        found = {}
        for number, loads in rounds.items():
            # One without sessions is measured once.
            key = next(iter(loads)) if isBare else str(sessions)
            if figure in loads.get(key, {}):
                found[number] = loads[key][figure]
        return found

    def spread(self, name: str, sessions: int, figure: str = "rate") -> Spread | None:
        """
        A figure over all rounds; C{None} if it was not measured.
        """
        values = self.values(name, sessions, figure)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, name: str, other: str, sessions: int) -> Spread | None:
        """
        Requests per second of one, divided by those of another one in the same round.
        """
        some, others = (self.values(each, sessions, "rate") for each in (name, other))
        ratios = [some[number] / others[number] for number in some if number in others]
        return Spread.of(ratios) if ratios else None

    def tax(self, name: str, sessions: int) -> Spread | None:
        """
        The session tax; C{None} for one without sessions.
        """
        bare = self.variants[name]["bare"] if name in self.variants else name
        ratio = None if bare == name else self.ratio(name, bare, sessions)
        return None if ratio is None else Spread(1 - ratio.middle, 1 - ratio.high, 1 - ratio.low)

    def peers(self, ending: str = "") -> list[str]:
        """
        The peers that keep sessions, those whose name ends so.
        """
        return [
            name
            for name, each in self.variants.items()
            if each["kind"] == "peer" and each["bare"] != name and name.endswith(ending)
        ]


def keep(raw: dict[str, Any], path: Path) -> None:
    """
    Write raw figures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
