"""
What a durable observer has to be told, and what it was told.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
from endingworker import READY

from txsessions.courier import BATCH

TOLERANCE = 0.05
"""
By how much the clocks of two processes may differ, in seconds.
"""


@attrs.frozen
class Due:
    """
    An ending that is to be told.

    @ivar reason: Why the session ends.
    @ivar n: What was last in it.
    @ivar earliest: When it ends at the earliest, in seconds since the epoch.
    """

    reason: str
    n: int
    earliest: float


@attrs.frozen
class Line:
    """
    A line of a notebook.

    @ivar by: Which process has written it.
    """

    by: str
    eventID: str
    sid: str
    reason: str
    n: int
    endedAt: float
    toldAt: float


def linesOf(path: Path) -> list[Line]:
    """
    What is in a notebook.  A line that is not whole was not confirmed.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_text().split("\n")
    return [Line(path.name, **json.loads(line)) for line in lines if line != READY]


class Account:
    """
    Compares the two.

    @ivar due: What is to be told, by C{sid}.
    @ivar killed: The names of the notebooks whose process was killed.
    """

    def __init__(self, directory: Path, killed: set[str]) -> None:
        self._directory = directory
        self.due: dict[str, Due] = {}
        self.killed = killed

    def lines(self) -> list[Line]:
        """
        All that was told, in the order of that.
        """
        lines = [line for path in self._directory.iterdir() for line in linesOf(path)]
        return sorted(lines, key=lambda line: line.toldAt)

    def isComplete(self) -> bool:
        """
        Whether nothing is missing any more.
        """
        return self.due.keys() <= {line.sid for line in self.lines()}

    def troubles(self) -> list[str]:
        """
        What was wrong.
        """
        lines = self.lines()
        told = {line.sid for line in lines}
        missing = [sid for sid in self.due if sid not in told]
        troubles = [f"{len(missing)} of {len(self.due)} endings were not told"] if missing else []
        return (
            troubles + [text for line in lines for text in self._wrong(line)] + self._again(lines)
        )

    def _wrong(self, line: Line) -> list[str]:
        """
        What is wrong with one line.
        """
        due = self.due.get(line.sid)
        if due is None:
            return [f"{line.sid} was told and has not ended"]
        troubles = []
        if (line.reason, line.n) != (due.reason, due.n):
            troubles.append(f"{line.sid} was told as {line.reason} {line.n}, and is {due}")
        early = due.earliest - min(line.endedAt, line.toldAt)
        if early > TOLERANCE:
            troubles.append(f"{line.sid} was told {early:.3f} s too early")
        return troubles

    def _again(self, lines: list[Line]) -> list[str]:
        """
        What was told again although nobody was killed who held it.
        """
        ids = {sid: {line.eventID for line in lines if line.sid == sid} for sid in self._twice()}
        troubles = [f"{sid} has several events" for sid, some in ids.items() if len(some) > 1]
        for name, count in self.repeated().items():
            bound = BATCH if name in self.killed else 0
            if count > bound:
                troubles.append(f"{count} endings that {name} told were told again, not {bound}")
        return troubles

    def _twice(self) -> set[str]:
        """
        The sessions whose ending was told more than once.
        """
        counted = Counter(line.sid for line in self.lines())
        return {sid for sid, count in counted.items() if count > 1}

    def repeated(self) -> Counter[str]:
        """
        How many of the endings that each process told were told again.
        """
        latest: dict[str, Line] = {}
        repeated: Counter[str] = Counter()
        for line in self.lines():
            before = latest.get(line.sid)
            if before is not None:
                repeated[before.by] += 1
            latest[line.sid] = line
        return repeated

    def figures(self) -> dict[str, Any]:
        """
        What can be said of it in numbers.
        """
        lines = self.lines()
        firsts: dict[str, Line] = {}
        for line in lines:
            firsts.setdefault(line.sid, line)
        late = sorted(
            line.toldAt - self.due[line.sid].earliest
            for line in firsts.values()
            if line.sid in self.due
        )
        return {
            "ended": len(self.due),
            "told": len(firsts),
            "twice": sum(self.repeated().values()),
            "bound": BATCH * len(self.killed),
            "kills": len(self.killed),
            "earliest": round(late[0], 3) if late else None,
            "median": round(late[len(late) // 2], 3) if late else None,
            "latest": round(late[-1], 3) if late else None,
        }
