"""
How far a command is, on standard error: a bar on a terminal, else a line now and
then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

BAR_INTERVAL: Final = 0.1
"""
How often a bar moves, in seconds.
"""

LINE_INTERVAL: Final = 5.0
"""
How often a line is written, in seconds.
"""


@attrs.frozen
class Stage:
    """
    A part of a command's work.

    @ivar title: What stands before its bar.
    @ivar line: The line that tells how far it is, with a place for the number.
    @ivar count: Gives how many things were dealt with.
    @ivar isBegun: Gives whether it has begun.
    """

    title: str
    line: str
    count: Callable[[], int]
    isBegun: Callable[[], bool] = lambda: True


class Lines:
    """
    A line now and then.
    """

    interval = LINE_INTERVAL

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def show(self) -> None:
        """
        Write how far it is.
        """
        stage = [stage for stage in self._stages if stage.isBegun()][-1]
        print(f"txsessions: {stage.line.format(stage.count())}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """
        Leave nothing behind.
        """


class Bar:
    """
    A bar for each stage, drawn by rich.  In the first one nobody knows how much is
    left; in each other one about as much as there was in the one before.
    """

    interval = BAR_INTERVAL

    def __init__(self, stages: Sequence[Stage]) -> None:
        """
        @raise ImportError: rich is not installed.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._stages = stages
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            # A thread of its own would draw it; the reactor has the time.
            auto_refresh=False,
            transient=True,
        )
        self._tasks = [
            self._progress.add_task(stage.title, total=None, start=not place, visible=not place)
            for place, stage in enumerate(stages)
        ]
        self._progress.start()

    def show(self) -> None:
        """
        Draw how far it is.
        """
        for place, (stage, task) in enumerate(zip(self._stages, self._tasks, strict=True)):
            if stage.isBegun():
                if not self._progress.tasks[place].started:
                    self._begin(place)
                self._progress.update(task, completed=stage.count())
        self._progress.refresh()

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """
        self._progress.stop()

    def _begin(self, place: int) -> None:
        """
        Begin a stage after another one.
        """
        before = self._stages[place - 1].count()
        self._progress.update(self._tasks[place - 1], completed=before, total=before)
        self._progress.start_task(self._tasks[place])
        self._progress.update(self._tasks[place], total=max(before, 1), visible=True)


class Progress:
    """
    Shows how far a command is for as long as a C{with} block takes.
    """

    def __init__(self, stages: Sequence[Stage], clock: IReactorTime, isQuiet: bool) -> None:
        self._look: Any = None
        self._call: LoopingCall | None = None
        if not isQuiet:
            self._look = _look(stages)
            self._call = LoopingCall(self._look.show)
            self._call.clock = clock

    def __enter__(self) -> None:
        if self._call is not None:
            self._call.start(self._look.interval, now=False)

    def __exit__(self, *_: object) -> None:
        if self._call is not None:
            if self._call.running:
                self._call.stop()
            self._look.close()


def _look(stages: Sequence[Stage]) -> Lines | Bar:
    """
    What fits standard error.
    """
    if sys.stderr.isatty():
        try:
            return Bar(stages)
        except ImportError:
            pass
    return Lines(stages)
