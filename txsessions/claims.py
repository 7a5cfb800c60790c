"""
Claims that are under way.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from .interfaces import ISessionSweep
from .stores.claim import Claim


@implementer(ISessionSweep)
class Claims:
    """
    The sweep of a store, of which one can say whether it has ended something
    that nobody has been told of.

    @ivar _sweep: The L{ISessionSweep} of the store.
    @ivar _underWay: Fires when those who claim have got the claim that is under
        way; C{None} when none is.
    """

    def __init__(self, sweep: Any) -> None:
        self._sweep = sweep
        self._underWay: Deferred[None] | None = None

    def claimExpired(self, limit: int) -> Deferred[Claim]:
        """
        See L{ISessionSweep.claimExpired}.
        """
        answer: Deferred[Claim] = Deferred()
        over: Deferred[None] = Deferred()
        self._underWay = over

        def claimed(result: Any) -> None:
            answer.callback(result)
            if self._underWay is over:
                self._underWay = None
            over.callback(None)

        self._sweep.claimExpired(limit).addBoth(claimed)
        return answer

    async def settled(self) -> None:
        """
        Wait until those who claim have got what is under way now.
        """
        if self._underWay is not None:
            await self._underWay
