"""
How far a run is, on standard error: a bar on a terminal, else a line now and then.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from twisted.internet.task import LoopingCall

from .run import Run

BAR_INTERVAL: Final = 0.2
"""
How often a bar moves, in seconds.
"""

LINE_INTERVAL: Final = 10.0
"""
How often a line is written, in seconds.
"""


class Lines:
    """
    A line now and then.
    """

    interval = LINE_INTERVAL

    def show(self, seconds: float, text: str) -> None:
        """
        Say how far it is.
        """
        print(f"{seconds:5.0f} s: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """
        Leave nothing behind.
        """


class Bar:
    """
    A bar, drawn by rich.
    """

    interval = BAR_INTERVAL

    def __init__(self, total: float) -> None:
        """
        @raise ImportError: rich is not installed.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            # A thread of its own would draw it; the reactor has the time.
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def show(self, seconds: float, text: str) -> None:
        """
        Draw how far it is.
        """
        self._progress.update(self._task, completed=seconds, description=text)
        self._progress.refresh()

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """
        self._progress.stop()


class Display:
    """
    Shows how far a run is for as long as a C{with} block takes.
    """

    def __init__(self, run: Run, reactor: Any, isQuiet: bool = False) -> None:
        self._run = run
        self._stage = ""
        self._look: Lines | Bar | None = None if isQuiet else _look(run.plan.seconds)
        self._call = LoopingCall(self._show)
        self._call.clock = reactor

    def tell(self, stage: str) -> None:
        """
        Say what is being done now.
        """
        self._stage = stage
        self._show()

    def __enter__(self) -> Display:
        if self._look is not None:
            self._call.start(self._look.interval, now=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._call.running:
            self._call.stop()
        if self._look is not None:
            self._look.close()

    def _show(self) -> None:
        """
        Say how far it is.
        """
        if self._look is None:
            return
        run = self._run
        figures = run.site.figures
        counts = f"{figures.line()}, {len(run.mischief.done)} faults"
        anomalies = len(run.site.anomalies)
        words = [self._stage, counts, f"{anomalies} ANOMALIES" if anomalies else ""]
        self._look.show(run.since(), "; ".join(filter(None, words)))


def _look(total: float) -> Lines | Bar:
    """
    What fits standard error.
    """
    if sys.stderr.isatty():
        try:
            return Bar(total)
        except ImportError:
            pass
    return Lines()
