"""
A walk through many things, without holding the reactor and without holding them
all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

T = TypeVar("T")

LIMIT: Final = 64
"""
How many things are dealt with at the same time: as many as our stores take in
one batch.  What a store tells of them at once does not hold the reactor for
long.
"""

SLICE: Final = 0.01
"""
After how long the reactor gets its turn, in seconds, where nothing has to be
waited for.
"""


class Walk(Generic[T]):
    """
    Deals with what an asynchronous iterator gives, some things at a time.

    The first failure ends it, and so does the cancellation of who waits for it.
    What is under way then is finished first.

    @ivar _work: Deals with one thing.
    @ivar _limit: How many things are dealt with at the same time.
    @ivar _failure: The first that there was.
    @ivar _turn: When the reactor had its last turn, in seconds.
    """

    def __init__(
        self,
        clock: IReactorTime,
        work: Callable[[T], Coroutine[Any, Any, None]],
        limit: int = LIMIT,
    ) -> None:
        self._clock = clock
        self._work = work
        self._limit = limit
        self._slots = DeferredSemaphore(limit)
        self._failure: Failure | None = None
        self._turn = clock.seconds()

    async def run(self, things: AsyncIterator[T]) -> None:
        """
        Deal with all of them.

        @raise Exception: What dealing with one of them raised, or getting them.
        """
        try:
            async for thing in things:
                await self._slots.acquire()
                self._begin(thing)
                if self._failure is not None:
                    break
                await self._breathe()
        finally:
            await close(things)
            for _ in range(self._limit):
                await self._slots.acquire()
        if self._failure is not None:
            self._failure.raiseException()

    def _begin(self, thing: T) -> None:
        """
        Begin to deal with one thing.
        """
        done = Deferred.fromCoroutine(self._work(thing))
        done.addErrback(self._failed).addCallback(lambda _: self._slots.release())

    def _failed(self, failure: Failure) -> None:
        """
        Note the first failure.
        """
        self._failure = self._failure or failure

    async def _breathe(self) -> None:
        """
        Let the reactor have its turn, if it is time.
        """
        if self._clock.seconds() - self._turn >= SLICE:
            await deferLater(self._clock, 0.0)
            self._turn = self._clock.seconds()


async def close(things: AsyncIterator[Any]) -> None:
    """
    Let go of an iterator that may not be at its end.
    """
    close = getattr(things, "aclose", None)
    if close is not None:
        await close()
