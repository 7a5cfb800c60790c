"""
The picture of a run: how long requests took, what came of them, and what was done
meanwhile, one above the other over the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, log10
from typing import Final

from .drawing import INK, PALE, Drawing, Point
from .fault import DEAFEN, FREEZE_SERVER, KILL_SERVER, SERVER_FAULTS, WORKER_FAULTS
from .figures import Figures, percentile
from .mischief import Done
from .operation import DONE, LOST, NONE, REFUSED

WIDTH: Final = 960
LEFT: Final = 152
RIGHT: Final = 56
HEAD: Final = 88
GAP: Final = 44
LATENCY: Final = 190
TRAFFIC: Final = 84
ROW: Final = 24
"""
Measures, in pixels.
"""

SHORTEST: Final = 0.001
LONGEST: Final = 10.0
"""
The latencies that the axis goes from and to, in seconds.
"""

MEDIAN: Final = "#1d6fb8"
WORST: Final = "#e07b28"
COLORS: Final = {"answered": "#3f9b83", "refused": "#edb84c", "unanswered": "#c8463d"}
OUTCOMES: Final = {"answered": (DONE, NONE), "refused": (REFUSED,), "unanswered": (LOST,)}
WORKER: Final = "#7c63b8"
SERVER: Final = "#b5507a"
AWAY: Final = "#b5507a"
TRACK: Final = "#f4f6f7"
TIMES: Final = "\N{MULTIPLICATION SIGN}"

OUTAGES: Final = (KILL_SERVER, FREEZE_SERVER, DEAFEN)
"""
The faults while which the store cannot answer.
"""

STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


class Plot:
    """
    The picture that is being drawn.
    """

    def __init__(self, seconds: float, figures: Figures, faults: Sequence[Done]) -> None:
        """
        @param seconds: How long the run was.
        """
        self._seconds = max(1.0, seconds)
        self._figures = figures
        self._faults = faults
        self._drawing = Drawing(WIDTH)

    def draw(self, title: str, text: str) -> str:
        """
        The whole of it.
        """
        drawing = self._drawing
        drawing.text(20, 32, title, fill=INK, size=17)
        drawing.text(20, 54, text)
        latency, traffic = HEAD, HEAD + LATENCY + GAP
        rows = traffic + TRAFFIC + GAP
        bottom = rows + ROW * len(self._kinds())
        self._shades(latency, traffic + TRAFFIC)
        self._latencies(latency)
        self._traffic(traffic)
        self._rows(rows)
        self._times(bottom)
        return drawing.written(ceil(bottom) + 40)

    def _x(self, second: float) -> float:
        """
        Where a moment is.
        """
        within = min(max(second, 0.0), self._seconds)
        return LEFT + (WIDTH - LEFT - RIGHT) * within / self._seconds

    def _kinds(self) -> list[str]:
        """
        The faults that there were.
        """
        kinds = {each.kind for each in self._faults}
        return [kind for kind in (*WORKER_FAULTS, *SERVER_FAULTS) if kind in kinds]

    def _shades(self, top: float, bottom: float) -> None:
        """
        The times at which the store could not answer.
        """
        for each in self._faults:
            if each.kind in OUTAGES:
                start, end = self._x(each.start), self._x(each.end)
                self._drawing.box((start, top), max(1.0, end - start), bottom - top, AWAY, 0.1)

    def _latencies(self, top: float) -> None:
        """
        How long requests took, by the logarithm.
        """
        drawing = self._drawing

        def y(latency: float) -> float:
            within = min(max(latency, SHORTEST), LONGEST)
            return top + LATENCY * (1 - log10(within / SHORTEST) / log10(LONGEST / SHORTEST))

        for latency in (0.001, 0.01, 0.1, 1.0, 10.0):
            drawing.line((LEFT, y(latency)), (WIDTH - RIGHT, y(latency)))
            shown = f"{latency:g} s" if latency >= 1 else f"{latency * 1000:g} ms"
            drawing.text(LEFT - 8, y(latency) + 4, shown, "end")
        self._label(top, "latency", [("p50", MEDIAN), ("p99 of each second", WORST)])
        medians, worst = (self._curve(percent, y) for percent in (50, 99))
        band = [[*low, *reversed(high)] for low, high in zip(medians, worst, strict=True)]
        drawing.area(band, WORST, 0.12)
        drawing.curve(worst, WORST)
        drawing.curve(medians, MEDIAN)

    def _curve(self, percent: float, y: Callable[[float], float]) -> list[list[Point]]:
        """
        A percentile over time; interrupted where nothing was answered.
        """
        latencies = self._figures.latencies
        return [
            [(self._x(second + 0.5), y(percentile(latencies[second], percent))) for second in run]
            for run in _runs(latencies)
        ]

    def _traffic(self, top: float) -> None:
        """
        What came of requests, one kind upon the other.
        """
        drawing, timeline = self._drawing, self._figures.timeline
        most = max((counts.total() for counts in timeline.values()), default=1)
        bottom, scale = top + TRAFFIC, TRAFFIC / max(most, 1)
        for y, shown in ((top, f"{most} / s"), (bottom, "0")):
            drawing.line((LEFT, y), (WIDTH - RIGHT, y))
            drawing.text(LEFT - 8, y + 4, shown, "end")
        self._label(top, "requests", list(COLORS.items()))
        under = dict.fromkeys(timeline, 0)
        for name, kinds in OUTCOMES.items():
            steps: list[list[Point]] = []
            for second, counts in sorted(timeline.items()):
                low, high = under[second], under[second] + sum(counts[kind] for kind in kinds)
                under[second] = high
                if high > low:
                    x, end = self._x(second), self._x(second + 1)
                    y, base = bottom - high * scale, bottom - low * scale
                    steps.append([(x, base), (x, y), (end, y), (end, base)])
            drawing.area(steps, COLORS[name])

    def _rows(self, top: float) -> None:
        """
        The faults, one row for each kind.
        """
        drawing = self._drawing
        self._label(top, "faults", [("store away", AWAY)] if self._hasOutages() else [])
        for number, kind in enumerate(self._kinds()):
            y = top + ROW * number
            some = [each for each in self._faults if each.kind == kind]
            drawing.box((LEFT, y + 3), WIDTH - LEFT - RIGHT, ROW - 6, TRACK)
            drawing.text(LEFT - 8, y + 16, kind, "end", fill=INK)
            drawing.text(WIDTH - RIGHT + 8, y + 16, f"{TIMES} {len(some)}")
            for each in some:
                start, width = self._x(each.start), self._x(each.end) - self._x(each.start)
                color = WORKER if kind in WORKER_FAULTS else SERVER
                text = f"{kind}, {each.start:.1f} s to {each.end:.1f} s"
                drawing.mark((start, y + 3), max(2.0, width), ROW - 6, color, text)

    def _hasOutages(self) -> bool:
        """
        Whether the store was ever away.
        """
        return any(each.kind in OUTAGES for each in self._faults)

    def _label(self, top: float, name: str, colors: Sequence[tuple[str, str]]) -> None:
        """
        What a part shows, and by which colours.
        """
        self._drawing.text(LEFT, top - 12, name, fill=INK, size=13)
        x = LEFT + 78.0
        for text, color in colors:
            self._drawing.box((x, top - 21), 10, 10, color, 0.25 if color == AWAY else 1.0)
            self._drawing.text(x + 15, top - 12, text)
            x += 34 + 6.4 * len(text)

    def _times(self, y: float) -> None:
        """
        What stands below.
        """
        step = next((each for each in STEPS if self._seconds / each <= 11), 7200)
        for second in range(0, int(self._seconds) + 1, step):
            self._drawing.line((self._x(second), y), (self._x(second), y + 5), PALE)
            shown = f"{second // 60}:{second % 60:02}"
            self._drawing.text(self._x(second), y + 20, shown, "middle")


def _runs(seconds: Iterable[int]) -> list[list[int]]:
    """
    Those that follow upon each other, together.
    """
    runs: list[list[int]] = []
    for second in sorted(seconds):
        if runs and runs[-1][-1] == second - 1:
            runs[-1].append(second)
        else:
            runs.append([second])
    return runs


def draw(title: str, text: str, seconds: float, figures: Figures, faults: Sequence[Done]) -> str:
    """
    The picture of a run, as SVG.
    """
    return Plot(seconds, figures, faults).draw(title, text)
