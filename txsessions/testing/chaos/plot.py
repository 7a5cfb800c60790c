"""
A picture of a run: how long requests took, and what was done meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, log10
from typing import Final

from .figures import percentile
from .mischief import Done

WIDTH: Final = 960
LEFT: Final = 64
RIGHT: Final = 16
TOP: Final = 56
HEIGHT: Final = 240
ROW: Final = 18
SHORTEST: Final = 0.001
"""
The lowest latency that is drawn, in seconds.
"""
LONGEST: Final = 10.0
"""
The highest one.
"""
INK: Final = "#808080"
MEDIAN: Final = "#3b82c4"
WORST: Final = "#d9772b"
FAULT: Final = "#b5507a"
"""
Colours that can be seen on white and on black.
"""


class Plot:
    """
    A picture, written line by line.
    """

    def __init__(self, seconds: float) -> None:
        """
        @param seconds: How long the run was.
        """
        self._seconds = max(1.0, seconds)
        self._parts: list[str] = []

    def x(self, second: float) -> float:
        """
        Where a moment is.
        """
        within = min(max(second, 0.0), self._seconds)
        return LEFT + (WIDTH - LEFT - RIGHT) * within / self._seconds

    def y(self, latency: float) -> float:
        """
        Where a latency is, by its logarithm.
        """
        within = min(max(latency, SHORTEST), LONGEST)
        return TOP + HEIGHT * (1 - log10(within / SHORTEST) / log10(LONGEST / SHORTEST))

    def text(self, x: float, y: float, text: str, anchor: str = "start", fill: str = INK) -> None:
        """
        Write something.
        """
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">'
            f"{escape(text)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """
        A thin line.
        """
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{INK}" stroke-opacity="0.4"/>'
        )

    def curve(self, latencies: Mapping[int, Sequence[float]], percent: float, color: str) -> None:
        """
        A percentile over time; interrupted where nothing was answered.
        """
        commands, before = [], None
        for second in sorted(latencies):
            letter = "L" if second - 1 == before else "M"
            y = self.y(percentile(latencies[second], percent))
            commands.append(f"{letter}{self.x(second + 0.5):.1f} {y:.1f}")
            if letter == "M":
                # A single second is a dot.
                commands.append("h0.1")
            before = second
        self._parts.append(
            f'<path d="{"".join(commands)}" fill="none" stroke="{color}" stroke-width="1.5" '
            'stroke-linecap="round"/>'
        )

    def bar(self, start: float, end: float, y: float) -> None:
        """
        Something that lasted.
        """
        width = max(2.0, self.x(end) - self.x(start))
        self._parts.append(
            f'<rect x="{self.x(start):.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{ROW - 6}" fill="{FAULT}"/>'
        )

    def written(self, height: float) -> str:
        """
        The whole picture.
        """
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
                f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
                *self._parts,
                "</svg>\n",
            ]
        )


def draw(
    title: str, seconds: float, latencies: Mapping[int, Sequence[float]], faults: Sequence[Done]
) -> str:
    """
    The picture of a run, as SVG.
    """
    plot = Plot(seconds)
    _axes(plot, title, seconds)
    plot.curve(latencies, 99, WORST)
    plot.curve(latencies, 50, MEDIAN)
    return plot.written(_rows(plot, faults))


def _axes(plot: Plot, title: str, seconds: float) -> None:
    """
    What is around the curves.
    """
    plot.text(LEFT, 20, title)
    plot.text(LEFT, 42, "latency, p50", fill=MEDIAN)
    plot.text(LEFT + 100, 42, "p99 of each second", fill=WORST)
    plot.text(LEFT + 240, 42, "faults", fill=FAULT)
    for latency in (0.001, 0.01, 0.1, 1.0, 10.0):
        y = plot.y(latency)
        plot.line(LEFT, y, WIDTH - RIGHT, y)
        shown = f"{latency:g} s" if latency >= 1 else f"{latency * 1000:g} ms"
        plot.text(LEFT - 6, y + 4, shown, "end")
    step = _step(seconds)
    for number in range(int(seconds / step) + 1):
        plot.text(plot.x(number * step), TOP + HEIGHT + 16, f"{number * step} s", "middle")


def _step(seconds: float) -> int:
    """
    How many seconds lie between two numbers below.
    """
    return next((step for step in (1, 2, 5, 10, 20, 30, 60, 120) if seconds / step <= 12), 300)


def _rows(plot: Plot, faults: Sequence[Done]) -> float:
    """
    The faults, one row for each kind.

    @return: Where they end.
    """
    y = TOP + HEIGHT + 30.0
    for kind in dict.fromkeys(sorted(each.kind for each in faults)):
        some = [each for each in faults if each.kind == kind]
        for each in some:
            plot.bar(each.start, each.end, y + ROW)
        plot.text(LEFT, y + ROW - 3, f"{kind}: {len(some)}")
        y += 2 * ROW
    return ceil(y) + 12
