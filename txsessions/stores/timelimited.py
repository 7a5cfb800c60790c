"""
A store that answers in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..errors import StoreUnavailable
from ..lifetime import deadline
from ..patience import LOAD_TIMEOUT, SAVE_TIMEOUT, Patience
from ..record import Record
from .breaker import Breaker
from .claim import Claim, Ending
from .wrapping import Call, Operation, WrappingStore

T = TypeVar("T")

READS: Final = ("loadSession", "hasSession", "findSessions")
"""
The operations that change nothing.
"""

UNLIMITED: Final = ("setup", "deleteOldSessions")
"""
The operations that people start and wait for, however long they take.
"""


class TimeLimitedStore(WrappingStore):
    """
    A store that answers in time, or fails with
    L{StoreTimedOut<txsessions.errors.StoreTimedOut>}; and that is
    not asked, but for a probe now and then, while it fails again and again.

    An operation that is given up is not called back: the store goes on with it,
    and treats those on one session in their order.  What a claim brings in that
    was given up goes to the next one.

    @ivar _breaker: Whether to ask.
    @ivar _reads: Waits for what changes nothing.
    @ivar _writes: Waits for the rest.
    @ivar _late: Endings of claims that were given up.
    """

    def __init__(
        self,
        store: Any,
        clock: IReactorTime,
        loadTimeout: float = LOAD_TIMEOUT,
        saveTimeout: float = SAVE_TIMEOUT,
        breaker: Breaker | None = None,
    ) -> None:
        """
        @param clock: What the time is measured by.
        @param loadTimeout: How long a read may take, in seconds.
        @param saveTimeout: How long anything else may take, in seconds.
        @param breaker: Whether to ask; C{None}: the usual one.
        """
        super().__init__(store)
        self._breaker = Breaker(clock) if breaker is None else breaker
        self._reads = Patience(clock, loadTimeout)
        self._writes = Patience(clock, saveTimeout)
        self._late: list[Ending] = []

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        if call.name == "claimExpired":
            return self._claim(call.arguments[0], proceed)
        return self._ask(call.name, proceed)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{WrappingStore.iterSessions}.  Each step has the time of a write.
        """
        iterator = self.store.iterSessions()

        async def step() -> Any:
            return await anext(iterator, None)

        while True:
            pair = await self._ask("iterSessions", lambda: Deferred.fromCoroutine(step()))
            if pair is None:
                return
            yield pair

    def _ask(self, name: str, proceed: Operation) -> Deferred[Any]:
        """
        Do an operation, if the breaker admits it, and wait for it.
        """
        if not self._breaker.admits():
            return fail(
                StoreUnavailable(
                    "the store has failed many times in a row; it is asked again from time to time"
                )
            )
        answer = proceed()
        if name not in UNLIMITED:
            answer = (self._reads if name in READS else self._writes).wait(answer)
        return answer.addCallbacks(self._answered, self._failed)

    def _answered(self, result: T) -> T:
        """
        Note an answer.
        """
        self._breaker.answered()
        return result

    def _failed(self, failure: Failure) -> Failure:
        """
        Note a failure.  Most errors are answers; and one that its caller
        gave up says nothing.
        """
        if failure.check(StoreUnavailable):
            self._breaker.failed()
        elif not failure.check(CancelledError):
            self._breaker.answered()
        return failure

    def _claim(self, limit: int, proceed: Operation) -> Deferred[Any]:
        """
        Claim, after what came too late for an earlier claim.
        """
        if self._late:
            late, self._late = self._late[:limit], self._late[limit:]
            return succeed(Claim(late, deadline(late[-1].record)))
        isGivenUp = False

        def giveUp(failure: Failure) -> Failure:
            nonlocal isGivenUp
            isGivenUp = True
            return failure

        def keep(claim: Claim) -> Claim:
            if isGivenUp:
                self._late += claim.endings
            return claim

        answer = self._ask("claimExpired", lambda: proceed().addCallback(keep))
        return answer.addErrback(giveUp)
