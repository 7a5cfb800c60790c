"""
A drawing, as SVG, written shape by shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

INK: Final = "#1f2933"
PALE: Final = "#6b7783"
GRID: Final = "#e3e7ea"
PAPER: Final = "#ffffff"

FONT: Final = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"

Point = tuple[float, float]


class Drawing:
    """
    What was drawn so far, on white paper, so that it can be read on any page.
    """

    def __init__(self, width: float) -> None:
        self._width = width
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        *,
        fill: str = PALE,
        size: int = 12,
    ) -> None:
        """
        Write something.
        """
        weight = ' font-weight="600"' if size > 12 else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" '
            f'font-size="{size}"{weight}>{escape(text)}</text>'
        )

    def line(self, start: Point, end: Point, color: str = GRID) -> None:
        """
        A thin line.
        """
        self._parts.append(
            f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
            f'stroke="{color}"/>'
        )

    def box(
        self, corner: Point, width: float, height: float, fill: str, opacity: float = 1.0
    ) -> None:
        """
        An area that says nothing by itself.
        """
        self._rectangle("", corner, width, height, fill=fill, opacity=opacity)

    def mark(self, corner: Point, width: float, height: float, fill: str, text: str) -> None:
        """
        An area that stands for something; who points at it is told what for.
        """
        self._rectangle(f"<title>{escape(text)}</title>", corner, width, height, fill=fill)

    def curve(self, runs: Sequence[Sequence[Point]], color: str) -> None:
        """
        A curve with gaps.
        """
        # What is alone is a dot.
        path = "".join(f"{_path(run)}h0.1" if len(run) == 1 else _path(run) for run in runs)
        self._parts.append(
            f'<path class="curve" d="{path}" fill="none" stroke="{color}" stroke-width="1.6" '
            'stroke-linecap="round" stroke-linejoin="round"/>'
        )

    def area(self, runs: Sequence[Sequence[Point]], color: str, opacity: float = 1.0) -> None:
        """
        Areas, each with a line around it.
        """
        path = "".join(f"{_path(run)}Z" for run in runs)
        self._parts.append(f'<path d="{path}" fill="{color}" fill-opacity="{opacity:g}"/>')

    def written(self, height: float) -> str:
        """
        The whole drawing.
        """
        size = f'width="{self._width:g}" height="{height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
                f'viewBox="0 0 {self._width:g} {height:g}" font-family="{FONT}">',
                f'<rect {size} rx="6" fill="{PAPER}" stroke="{GRID}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _rectangle(
        self,
        inside: str,
        corner: Point,
        width: float,
        height: float,
        *,
        fill: str,
        opacity: float = 1.0,
    ) -> None:
        """
        A rectangle.
        """
        kind = ' class="mark" rx="2"' if inside else ""
        self._parts.append(
            f'<rect{kind} x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" fill="{fill}" fill-opacity="{opacity:g}">{inside}</rect>'
        )


def _path(points: Sequence[Point]) -> str:
    """
    From point to point.
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
