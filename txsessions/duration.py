"""
Durations as people write them.
"""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""
Seconds in each unit that may follow the number.
"""

_match = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([smhd]?)").fullmatch


def seconds(text: str) -> float:
    """
    A duration in seconds.

    @param text: A number of seconds, or a number and a unit: C{900}, C{15m},
        C{12h}, C{30d}.
    @raise ValueError: It is none, or it is nothing at all.
    """
    found = _match(text.strip())
    duration = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not duration:
        raise ValueError(f"{text!r} is no duration; write 900 (seconds), 15m, 12h or 30d")
    return duration


def spell(duration: float) -> str:
    """
    A duration for people, in its two largest units: C{1 h 5 min}.
    """
    left = max(0, round(duration))
    words: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not words):
            words.append(f"{count} {name}")
    return " ".join(words[:2])
