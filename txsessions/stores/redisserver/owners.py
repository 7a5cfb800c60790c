"""
The end of all sessions of an owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from ...redis.interfaces import IRedis
from ..claim import Ending
from ..servertime import ServerTime
from .claimed import endingsOf
from .fields import number
from .keys import Bucket, ownerOf, text
from .scripts import Scripts
from .together import together

PORTION: Final = 200
"""
How many sessions one script looks at: a server does nothing else meanwhile.
"""


class Owners:
    """
    Ends the sessions of owners.

    In the same step in which it begins to end those of some buckets a script
    raises the fence there: the moment before which log-ins of this owner come
    too late.  A log-in looks at the fence in the step that applies it.  So one
    that is older has landed before, and is ended; or it finds the fence.

    @ivar _groups: See L{Sweep<txsessions.stores.redisserver.sweep.Sweep>}.
    @ivar _damaged: See there.
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

    async def end(
        self, sessionKey: str, reason: str, exceptFor: str | None, moment: float
    ) -> list[Ending]:
        """
        See L{ISessionOwners.endSessions
        <txsessions.interfaces.ISessionOwners.endSessions>}.

        @param moment: When that was called, in seconds on the store's clock.
        """
        arguments = [
            number(self._time.toServer(moment)),
            text(reason),
            text(exceptFor or ""),
            text(sessionKey),
        ]
        ended = await together(
            Deferred.fromCoroutine(self._endIn(group, ownerOf(sessionKey), arguments))
            for group in self._groups
        )
        return [ending for endings in ended for ending in endings]

    async def _endIn(
        self, group: Sequence[Bucket], owner: bytes, arguments: Sequence[bytes]
    ) -> list[Ending]:
        """
        End the sessions in some buckets, some at a time.
        """
        keys = [key for bucket in group for key in bucket.sets]
        keys.append(group[0].fence(owner))
        endings: list[Ending] = []
        place, after = 1, b""
        while place:
            claimed, place, after = await self._client.script(
                self._scripts.endOwned, keys, [*arguments, PORTION, place, after]
            )
            endings += endingsOf(claimed, self._time, self._damaged)
        return endings
