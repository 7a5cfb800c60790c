"""
The order of what is asked of one session while it logs in, which takes several
steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from ...turns import Turns


class Line:
    """
    What is asked of one session.

    @ivar turns: One after the other.
    @ivar count: How much of it is not done yet.
    """

    __slots__ = ("count", "turns")

    def __init__(self) -> None:
        self.turns = Turns()
        self.count = 0


class Lines:
    """
    A line for each session that logs in.

    @ivar open: By their handles.
    """

    def __init__(self) -> None:
        self.open: dict[str, Line] = {}

    def run(self, sid: str, step: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """
        Do something when all is done that was asked of this session before.
        """
        line = self.open.get(sid)
        if line is None:
            line = self.open[sid] = Line()
        line.count += 1
        return line.turns.run(step).addBoth(self._done, sid, line)

    def _done(self, result: Any, sid: str, line: Line) -> Any:
        """
        Close the line after the last one.
        """
        line.count -= 1
        if not line.count:
            del self.open[sid]
        return result
