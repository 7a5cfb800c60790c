"""
The sweep over the buckets: those that are longest overdue first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from ...lifetime import deadline
from ...redis.interfaces import IRedis
from ..claim import Claim, Ending
from ..servertime import ServerTime
from .claimed import endingsOf
from .fields import number
from .keys import BUCKETS, Bucket
from .scripts import Scripts
from .together import together

PORTION: Final = 100
"""
How many sessions one script claims, about: a server does nothing else meanwhile.
"""


@attrs.frozen
class Due:
    """
    What is due in one bucket.

    @ivar bound: Up to which deadline it is to be claimed.
    @ivar count: How many that are.
    """

    bucket: Bucket
    bound: float
    count: int


@attrs.frozen
class Peek:
    """
    What is due first in one bucket.

    @ivar present: The present of its server.
    @ivar deadlines: The first deadlines, in their order.
    @ivar isCut: Whether there may be more.
    """

    bucket: Bucket
    present: float
    deadlines: Sequence[float]
    isCut: bool


def choose(peeks: Sequence[Peek], limit: int) -> list[Due]:
    """
    What to claim: at most so many, and of none that is longer overdue than
    another it is left out.
    """
    ends = [peek.deadlines[-1] for peek in peeks if peek.isCut and peek.deadlines]
    # Beyond that, what was not looked at may be longer overdue.
    horizon = min(ends, default=float("inf"))
    due = sorted(
        (moment, place)
        for place, peek in enumerate(peeks)
        for moment in peek.deadlines
        if moment <= min(peek.present, horizon)
    )
    counts: dict[int, int] = {}
    bounds: dict[int, float] = {}
    for moment, place in due[:limit]:
        counts[place] = counts.get(place, 0) + 1
        bounds[place] = moment
    return [Due(peeks[place].bucket, bounds[place], counts[place]) for place in counts]


def portions(dues: Sequence[Due]) -> list[list[Due]]:
    """
    What is due, in portions that one script claims.
    """
    parts: list[list[Due]] = []
    size = PORTION
    for due in dues:
        if size + due.count > PORTION:
            parts.append([])
            size = 0
        parts[-1].append(due)
        size += due.count
    return parts


class Sweep:
    """
    Claims what has expired.

    @ivar _groups: The buckets, together with those that one script can work
        on: all of them on one server, each alone on a Cluster.
    @ivar _damaged: Called with the handle of a damaged record that was put
        aside, and its fields if only now they turned out to be none.
    """

    def __init__(
        self,
        client: IRedis,
        scripts: Scripts,
        groups: Sequence[Sequence[Bucket]],
        time: ServerTime,
        damaged: Callable[[str, Sequence[bytes]], object],
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._groups = groups
        self._time = time
        self._damaged = damaged

    async def claim(self, limit: int) -> Claim:
        """
        See L{ISessionSweep.claimExpired
        <txsessions.interfaces.ISessionSweep.claimExpired>}.
        """
        peeks = await self._peek(min(limit, 8 + 2 * limit // BUCKETS))
        firsts = {peek.bucket: peek.deadlines[0] for peek in peeks if peek.deadlines}
        dues = {due.bucket: due for due in choose(peeks, limit)}
        groups = [
            part
            for group in self._groups
            for part in portions([dues[each] for each in group if each in dues])
        ]
        replies = await together(self._ask(group) for group in groups)
        endings: list[Ending] = []
        for group, (claimed, following) in zip(groups, replies, strict=True):
            endings += endingsOf(claimed, self._time, self._damaged)
            for due, first in zip(group, following, strict=True):
                del firsts[due.bucket]
                if first is not None:
                    firsts[due.bucket] = float(first)
        endings.sort(key=lambda ending: deadline(ending.record))
        earliest = min(firsts.values(), default=None)
        return Claim(endings, None if earliest is None else self._time.fromServer(earliest))

    async def _peek(self, count: int) -> list[Peek]:
        """
        The first deadlines of all buckets, so many of each.
        """
        asked = [
            self._client.script(self._scripts.peek, [each.deadlines for each in group], [count])
            for group in self._groups
        ]
        peeks = []
        replies = await together(asked)
        for group, (present, *found) in zip(self._groups, replies, strict=True):
            for bucket, members in zip(group, found, strict=True):
                moments = [float(moment) for moment in members[1::2]]
                peeks.append(Peek(bucket, float(present), moments, len(moments) == count))
        return peeks

    def _ask(self, group: Sequence[Due]) -> Deferred[Any]:
        """
        Claim what is due in some buckets.
        """
        keys = [key for due in group for key in due.bucket.sets]
        arguments: list[bytes | int] = []
        for due in group:
            arguments += (due.bucket.base, number(due.bound), due.count)
        return self._client.script(self._scripts.claim, keys, arguments)
