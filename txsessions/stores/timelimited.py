"""
A store that answers in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..errors import StoreUnavailable
from ..interfaces import ISessionSweep
from ..patience import ENDING_TIMEOUT, LOAD_TIMEOUT, SAVE_TIMEOUT, Patience
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

ENDINGS: Final[Mapping[str, Callable[[Any], Sequence[Ending]]]] = {
    "claimExpired": lambda claim: claim.endings,
    "logInSession": lambda logIn: logIn.evicted,
    "endSessions": lambda endings: endings,
}
"""
The operations that end sessions which their caller did not name, and what of
their results these are.
"""


class TimeLimitedStore(WrappingStore):
    """
    A store that answers in time, or fails with
    L{StoreTimedOut<txsessions.errors.StoreTimedOut>}; and that is
    not asked, but for a probe now and then, while it fails again and again.

    An operation that is given up is not called back: the store goes on with it,
    and treats those on one session in their order.  What a claim that was given
    up brings in goes to the next one, and so do the sessions that had to make
    room for a log-in, or were to end with all of their owner.

    @ivar _breaker: Whether to ask.
    @ivar _reads: Waits for what changes nothing.
    @ivar _endings: Waits for the end of all sessions of an owner.
    @ivar _writes: Waits for the rest.
    @ivar _late: Endings that came too late for who had asked.
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
        self._endings = Patience(clock, max(saveTimeout, ENDING_TIMEOUT))
        self._late: list[Ending] = []

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        if call.name == "claimExpired" and self._late:
            return succeed(self._claimLate(call.arguments[0]))
        if call.name in ENDINGS:
            return self._askForEndings(call.name, proceed)
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
            answer = self._patienceFor(name).wait(answer)
        return answer.addCallbacks(self._answered, self._failed)

    def _patienceFor(self, name: str) -> Patience:
        """
        What waits for this operation.
        """
        if name == "endSessions":
            return self._endings
        return self._reads if name in READS else self._writes

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

    def _claimLate(self, limit: int) -> Claim:
        """
        Give what came too late for who had asked.

        @return: A L{Claim} after which there may be more, as a time says that
            has passed for sure.
        """
        late, self._late = self._late[:limit], self._late[limit:]
        return Claim(late, late[-1].record.created)

    def _askForEndings(self, name: str, proceed: Operation) -> Deferred[Any]:
        """
        Do an operation that brings in endings.  If it is given up they are
        kept, where somebody claims them.
        """
        isGivenUp = False

        def giveUp(failure: Failure) -> Failure:
            nonlocal isGivenUp
            isGivenUp = True
            return failure

        def keep(result: Any) -> Any:
            if isGivenUp and ISessionSweep.providedBy(self.store):
                self._late += ENDINGS[name](result)
            return result

        return self._ask(name, lambda: proceed().addCallback(keep)).addErrback(giveUp)
