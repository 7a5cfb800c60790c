"""
A store that counts what it is asked, and what came of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionNotFound,
    StoreTimedOut,
    StoreUnavailable,
    TooManySessions,
    UnknownKey,
    VersionConflict,
)
from .wrapping import Call, Operation, WrappingStore

DONE: Final = "done"
"""
The outcome of an operation that gave a result.
"""

OTHER: Final = "error"
"""
The outcome of an operation that raised what no store should.
"""

OUTCOMES: Final = (
    (SessionEnded, "ended"),
    (SessionNotFound, "not-found"),
    (VersionConflict, "conflict"),
    (StoreTimedOut, "timed-out"),
    (StoreUnavailable, "unavailable"),
    (CorruptRecord, "corrupt"),
    (UnknownKey, "unknown-key"),
    (InvalidSessionData, "refused"),
    (TooManySessions, "too-many"),
)
"""
The outcomes of those that failed, by the first class that fits.  There are no
others, so that whoever keeps a series for each keeps few.
"""

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""
The upper bounds of the classes of latencies, in seconds: from a store in memory
to one that is given up.
"""


@attrs.define
class Latencies:
    """
    How long the calls of one operation took.

    @ivar counts: How many fell into each class of L{BOUNDS}, and above all.
    @ivar total: How long all of them took together, in seconds.
    """

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """
        Count one.
        """
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class CountingStore(WrappingStore):
    """
    A store that counts operations, outcomes and latencies.

    @ivar underWay: How many operations have not been answered.
    @ivar counts: How often each pair of operation and outcome has occurred.
    @ivar latencies: For each operation how long it took, failed or not.
    """

    def __init__(self, store: Any, clock: IReactorTime) -> None:
        """
        @param clock: What latencies are measured by.
        """
        super().__init__(store)
        self._time = clock
        self.underWay = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.latencies: dict[str, Latencies] = {}

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        began = self._time.seconds()
        self.underWay += 1
        return proceed().addBoth(self._done, call.name, began)

    def _done(self, result: Any, name: str, began: float) -> Any:
        """
        Count one operation.
        """
        self.underWay -= 1
        self.counts[name, outcomeOf(result)] += 1
        self.latencies.setdefault(name, Latencies()).add(max(0.0, self._time.seconds() - began))
        return result


def outcomeOf(result: Any) -> str:
    """
    The name of what came of an operation.
    """
    if not isinstance(result, Failure):
        return DONE
    return next((name for error, name in OUTCOMES if isinstance(result.value, error)), OTHER)
