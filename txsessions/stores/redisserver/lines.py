"""
The order of what is asked of one session while it logs in, which takes several
steps; and of the log-ins of one owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from ...turns import Turns


class Line:
    """
    What is asked of one.

    @ivar turns: One after the other.
    @ivar count: How much of it is not done yet.
    """

    __slots__ = ("count", "turns")

    def __init__(self) -> None:
        self.turns = Turns()
        self.count = 0


class Lines:
    """
    A line for each session that logs in, or for each owner.

    @ivar open: By their handles, or keys.
    """

    def __init__(self) -> None:
        self.open: dict[str, Line] = {}

    def run(self, name: str, step: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """
        Do something when all is done that was asked of this one before.
        """
        line = self.open.get(name)
        if line is None:
            line = self.open[name] = Line()
        line.count += 1
        return line.turns.run(step).addBoth(self._done, name, line)

    def _done(self, result: Any, name: str, line: Line) -> Any:
        """
        Close the line after the last one.
        """
        line.count -= 1
        if not line.count:
            del self.open[name]
        return result
