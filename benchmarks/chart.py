"""
Pictures, as SVG written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import attrs

WIDTH: Final = 860
LEFT: Final = 250
RIGHT: Final = 70
TOP: Final = 52
ROW: Final = 22
INK: Final = "#808080"
COLOURS: Final = {
    "ours": "#3b82c4",
    "floor": "#7fa65a",
    "stock": "#9a8fc0",
    "bare": "#a0a0a0",
    "peer": "#d9772b",
}
"""
They can be seen on white and on black.
"""


@attrs.frozen
class Bar:
    """
    A row of a chart.

    @ivar kind: One of L{COLOURS}.
    @ivar value: How long the bar is.
    @ivar low: Where the whisker begins.
    @ivar high: Where it ends.
    @ivar dot: A second value, or C{None}.
    """

    label: str
    kind: str
    value: float
    low: float
    high: float
    dot: float | None = None


@attrs.define
class Picture:
    """
    What is drawn.
    """

    width: float = WIDTH
    _parts: list[str] = attrs.field(factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        *,
        fill: str = INK,
        size: int = 12,
    ) -> None:
        """
        Write something.
        """
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" '
            f'font-size="{size}">{escape(text)}</text>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, opacity: float = 0.35, width: float = 1
    ) -> None:
        """
        A line.
        """
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{INK}" '
            f'stroke-opacity="{opacity:g}" stroke-width="{width:g}"/>'
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """
        A bar.
        """
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" '
            f'rx="2" fill="{fill}" fill-opacity="0.85"/>'
        )

    def dot(self, x: float, y: float, stroke: str) -> None:
        """
        A ring.
        """
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#ffffff" stroke="{stroke}" '
            'stroke-width="2"/>'
        )

    def curve(self, points: Sequence[tuple[float, float]], stroke: str) -> None:
        """
        A line through points.
        """
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{stroke}" stroke-width="1.5"/>'
        )

    def written(self, height: float) -> str:
        """
        The whole picture.
        """
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {height:.0f}" '
            f'width="{self.width:.0f}" height="{height:.0f}" font-family="sans-serif">'
        )
        return "\n".join([head, *self._parts, "</svg>\n"])


def step(most: float, parts: int = 6) -> float:
    """
    A round number, of which about so many make up the most.
    """
    unit = 10.0 ** (len(f"{int(most / parts)}") - 1)
    return next(factor * unit for factor in (1, 2, 5, 10, 20) if most / (factor * unit) <= parts)


def bars(title: str, below: str, rows: Sequence[Bar], unit: str = "") -> str:
    """
    A chart of bars.

    @param below: What they mean.
    @param unit: Comes after each number.
    """
    picture = Picture()
    picture.text(16, 22, title, size=15)
    picture.text(16, 40, below)
    most = max(max(each.high, each.value, each.dot or 0) for each in rows)
    scale = (WIDTH - LEFT - RIGHT) / most
    bottom = TOP + ROW * len(rows)
    mark = 0.0
    while mark <= most:
        picture.line(LEFT + mark * scale, TOP, LEFT + mark * scale, bottom + 4)
        picture.text(LEFT + mark * scale, bottom + 18, f"{mark:,.0f}{unit}", "middle")
        mark += step(most)
    for number, each in enumerate(rows):
        _row(picture, each, TOP + ROW * number, scale, unit)
    return picture.written(bottom + 30)


def _row(picture: Picture, each: Bar, y: float, scale: float, unit: str) -> None:
    """
    One bar.
    """
    colour, middle = COLOURS[each.kind], y + ROW / 2
    picture.text(LEFT - 8, middle + 4, each.label, "end")
    picture.box(LEFT, y + 4, max(each.value, 0) * scale, ROW - 8, colour)
    low, high = (LEFT + max(value, 0) * scale for value in (each.low, each.high))
    picture.line(low, middle, high, middle, opacity=0.9, width=1.5)
    end = max(high, LEFT + max(each.value, 0) * scale)
    if each.dot is not None:
        place = LEFT + max(each.dot, 0) * scale
        picture.dot(place, middle, colour)
        end = max(end, place + 4)
    picture.text(end + 6, middle + 4, f"{each.value:,.0f}{unit}", fill=colour)
