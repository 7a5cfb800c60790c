"""
What can be counted in a run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .operation import (
    ADD,
    BEGIN,
    DONE,
    FAILED,
    LOGIN,
    LOGOUT,
    LOST,
    NONE,
    REFUSED,
    WRITE,
    Operation,
)


class Figures:
    """
    Counts requests as they are answered.

    @ivar requests: How many were sent.
    @ivar unsent: How many could not be, because nobody listened.
    @ivar outcomes: How many came to what.
    @ivar acknowledged: How many of each kind were acknowledged.
    @ivar latencies: How long those that were answered by 200 took, in seconds, by the
        second of the run in which that was; without what they were told to take.
    @ivar timeline: How many came to what, by the second as well.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.unsent = 0
        self.outcomes: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.latencies: dict[int, list[float]] = defaultdict(list)
        self.timeline: dict[int, Counter[str]] = defaultdict(Counter)

    def next(self) -> int:
        """
        The number of a request that is about to be sent.
        """
        self.requests += 1
        return self.requests

    def note(self, operation: Operation) -> None:
        """
        A request is over.
        """
        self.outcomes[operation.outcome] += 1
        self.timeline[int(operation.end)][operation.outcome] += 1
        if operation.isDone:
            self.acknowledged[operation.kind] += 1
        if operation.outcome in (DONE, NONE):
            self.latencies[int(operation.end)].append(operation.latency)

    @property
    def writes(self) -> int:
        """
        How many changes of data were acknowledged.
        """
        return self.acknowledged[WRITE] + self.acknowledged[ADD]

    @property
    def ends(self) -> int:
        """
        How many log-outs were acknowledged.
        """
        return self.acknowledged[LOGOUT]

    def line(self) -> str:
        """
        The most important in one line.
        """
        return (
            f"{self.requests:,} requests, {self.writes:,} writes acknowledged, {self.ends:,} ends, "
            f"{self.outcomes[REFUSED]:,} refused, {self.outcomes[LOST]:,} unanswered"
        )

    def content(self) -> dict[str, Any]:
        """
        All of it for a program.
        """
        slowest = max((max(each) for each in self.latencies.values()), default=0.0)
        everything = [each for some in self.latencies.values() for each in some]
        return {
            "requests": self.requests,
            "unsent": self.unsent,
            "answered": self.outcomes[DONE] + self.outcomes[NONE],
            "refused": self.outcomes[REFUSED],
            "unanswered": self.outcomes[LOST],
            "failed": self.outcomes[FAILED],
            "acknowledged": {
                "sessions": self.acknowledged[BEGIN],
                "writes": self.acknowledged[WRITE],
                "increments": self.acknowledged[ADD],
                "log-ins": self.acknowledged[LOGIN],
                "log-outs": self.acknowledged[LOGOUT],
            },
            "p50": round(percentile(everything, 50), 4),
            "p99": round(percentile(everything, 99), 4),
            "slowest": round(slowest, 3),
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """
    The value that so many per cent of these do not exceed; C{0} if there are none.
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
