"""
The picture of what happens while new visitors come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chart import COLOURS, INK, Picture, step

WIDTH: Final = 860
LEFT: Final = 60
RIGHT: Final = 60
TOP: Final = 52
HEIGHT: Final = 150


def growth(store: str, seconds: Sequence[dict[str, Any]]) -> str:
    """
    Memory and latency, second by second.
    """
    picture = Picture(WIDTH)
    picture.text(LEFT, 22, f"100,000 new sessions in a minute: {store}", size=15)
    bottom = TOP + HEIGHT
    curves = (
        ("memory, MiB", [row["memory"] / 2**20 for row in seconds], COLOURS["ours"]),
        ("p99, ms", [1e3 * row["p99"] for row in seconds], COLOURS["peer"]),
        ("p50, ms", [1e3 * row["p50"] for row in seconds], COLOURS["floor"]),
    )
    tallest = [max([1.0, *values]) for _, values, _ in curves]
    # Both latencies are on the scale of the higher one.
    scales = [tallest[0], tallest[1], tallest[1]]
    for number, (name, values, colour) in enumerate(curves):
        picture.text(LEFT + 130 * number, 42, name, fill=colour)
        picture.curve(_points(values, scales[number]), colour)
    for most, x, anchor, colour in (
        (scales[0], LEFT - 6, "end", COLOURS["ours"]),
        (scales[1], WIDTH - RIGHT + 6, "start", COLOURS["peer"]),
    ):
        mark = 0.0
        while mark <= most:
            y = bottom - HEIGHT * mark / most
            picture.text(x, y + 4, f"{mark:,.0f}", anchor, fill=colour)
            mark += step(most, 4)
    picture.line(LEFT, bottom, WIDTH - RIGHT, bottom)
    for share in range(5):
        second = (len(seconds) - 1) * share / 4
        x = LEFT + (WIDTH - LEFT - RIGHT) * share / 4
        picture.text(x, bottom + 18, f"{second:.0f} s", "middle", fill=INK)
    return picture.written(bottom + 30)


def _points(values: Sequence[float], most: float) -> list[tuple[float, float]]:
    """
    Where the values are.
    """
    width = (WIDTH - LEFT - RIGHT) / max(1, len(values) - 1)
    return [
        (LEFT + width * number, TOP + HEIGHT - HEIGHT * value / most)
        for number, value in enumerate(values)
    ]
