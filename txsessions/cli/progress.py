"""
How far a copy is, on standard error: a bar on a terminal, else a line now and then.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from ..copying import Copy

BAR_INTERVAL: Final = 0.1
"""
How often a bar moves, in seconds.
"""

LINE_INTERVAL: Final = 5.0
"""
How often a line is written, in seconds.
"""


class Lines:
    """
    A line now and then.
    """

    interval = LINE_INTERVAL

    def __init__(self, copy: Copy) -> None:
        self._copy = copy

    def show(self) -> None:
        """
        Write how far it is.
        """
        copy = self._copy
        text = f"{copy.seen:,} sessions of the source dealt with"
        if copy.isComparing:
            text = f"{copy.compared:,} sessions of the target compared"
        print(f"txsessions: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """
        Leave nothing behind.
        """


class Bar:
    """
    A bar, drawn by rich.  While copying nobody knows how much is left; while
    comparing about as much as was copied.
    """

    interval = BAR_INTERVAL

    def __init__(self, copy: Copy) -> None:
        """
        @raise ImportError: rich is not installed.
        """
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._copy = copy
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
            self._progress.add_task("Copying", total=None),
            self._progress.add_task("Comparing", total=None, start=False, visible=False),
        ]
        self._progress.start()

    def show(self) -> None:
        """
        Draw how far it is.
        """
        copy, (copying, comparing) = self._copy, self._tasks
        self._progress.update(copying, completed=copy.seen)
        if copy.isComparing and not self._progress.tasks[1].started:
            self._progress.update(copying, total=copy.seen)
            self._progress.start_task(comparing)
            self._progress.update(comparing, total=max(copy.seen, 1), visible=True)
        self._progress.update(comparing, completed=copy.compared)
        self._progress.refresh()

    def close(self) -> None:
        """
        Leave the terminal as it was.
        """
        self._progress.stop()


class Progress:
    """
    Shows how far a copy is for as long as a C{with} block takes.
    """

    def __init__(self, copy: Copy, clock: IReactorTime, isQuiet: bool) -> None:
        self._look: Any = None
        self._call: LoopingCall | None = None
        if not isQuiet:
            self._look = _look(copy)
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


def _look(copy: Copy) -> Lines | Bar:
    """
    What fits standard error.
    """
    if sys.stderr.isatty():
        try:
            return Bar(copy)
        except ImportError:
            pass
    return Lines(copy)
