"""
A hold on the server: opened by the first operation, let go of by close, and
aware of the server's time before anything is asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ...errors import StoreUnavailable
from ...redis.interfaces import IRedis
from ..servertime import ServerTime

Operation: TypeAlias = Callable[[IRedis], Deferred[Any]]

MAXIMUM: Final = 5000
"""
How many operations may wait for the first comparison of the clocks, or for the
end of a close.
"""


class Handle:
    """
    Gives operations a client.

    @ivar _comparedFor: The clock that the server's time was compared with;
        C{None}, in a list of its own, is a clock too.
    @ivar _waiting: Operations that wait for the first comparison.
    @ivar _late: Operations that came while the store closes; they open it
        again.
    @ivar _underWay: How many operations of several steps are under way.
    @ivar _closing: Who waits for the end of a close.
    """

    def __init__(
        self,
        connect: Callable[[], IRedis],
        compare: Operation,
        time: ServerTime,
        clock: Callable[[], object],
    ) -> None:
        """
        @param connect: Makes a client.
        @param compare: Compares the server's time with the clock.
        @param clock: Gives the clock of the store.
        """
        self._connect = connect
        self._compare = compare
        self._time = time
        self._clock = clock
        self._client: IRedis | None = None
        self._comparedFor: list[object] = []
        self._isComparing = False
        self._waiting: deque[tuple[Deferred[Any], Operation]] = deque()
        self._late: deque[tuple[Deferred[Any], Operation]] = deque()
        self._underWay = 0
        self._isEnding = False
        self._closing: list[Deferred[None]] | None = None

    def perform(self, operation: Operation) -> Deferred[Any]:
        """
        Carry out an operation of one step.
        """
        client = self.ready()
        return self._prepare(operation) if client is None else operation(client)

    def ready(self) -> IRedis | None:
        """
        The client, if an operation may go to it at once.
        """
        if self._closing is not None or self._time.isStale():
            return None
        return self._client

    def work(self, steps: Callable[[IRedis], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """
        Carry out an operation of several steps.
        """

        def begin(client: IRedis) -> Deferred[Any]:
            self._underWay += 1
            return Deferred.fromCoroutine(steps(client)).addBoth(self._ended)

        return self.perform(begin)

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close<txsessions.interfaces.IConnectedStore.close>}.
        """
        if self._client is None:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        if self._closing is None:
            self._closing = []
        self._closing.append(closed)
        self._closeIfIdle()
        return closed

    def _prepare(self, operation: Operation) -> Deferred[Any]:
        """
        Get ready, and carry the operation out when that is done.
        """
        client, queue = self._client, self._late
        if self._closing is None:
            if client is None:
                client = self._client = self._connect()
            if self._isCompared():
                self._compareTimes(client)
                return operation(client)
            queue = self._waiting
        if len(queue) >= MAXIMUM:
            return fail(StoreUnavailable(f"{MAXIMUM} operations wait for Redis already"))
        waiting: Deferred[Any] = Deferred()
        queue.append((waiting, operation))
        if client is not None and self._closing is None:
            # It may fail at once, and tells those who wait by then.
            self._compareTimes(client)
        return waiting

    def _isCompared(self) -> bool:
        """
        Whether the difference between the server's time and the clock is
        known, even if it may have grown a little.
        """
        return bool(self._comparedFor) and self._comparedFor[0] is self._clock()

    def _compareTimes(self, client: IRedis) -> None:
        """
        Begin a comparison, if none is under way.
        """
        if not self._isComparing:
            self._isComparing = True
            clock = self._clock()
            self._compare(client).addCallbacks(self._compared, self._incomparable, (client, clock))

    def _compared(self, result: object, client: IRedis, clock: object) -> None:
        """
        The server's time is known: begin what waits for that.
        """
        self._isComparing = False
        self._comparedFor = [clock]
        waiting, self._waiting = self._waiting, deque()
        for answer, operation in waiting:
            if not answer.called:
                operation(client).chainDeferred(answer)
        self._closeIfIdle()

    def _incomparable(self, failure: Failure) -> None:
        """
        The server did not tell its time: nothing can be asked of it.
        """
        self._isComparing = False
        waiting, self._waiting = self._waiting, deque()
        for answer, _ in waiting:
            if not answer.called:
                answer.errback(failure.value)
        self._closeIfIdle()

    def _ended(self, result: Any) -> Any:
        """
        An operation of several steps has ended.
        """
        self._underWay -= 1
        self._closeIfIdle()
        return result

    def _closeIfIdle(self) -> None:
        """
        Close the client when nothing needs it any more.
        """
        isBusy = self._underWay or self._isComparing or self._isEnding
        if self._closing is not None and self._client is not None and not isBusy:
            self._isEnding = True
            self._client.close().addCallback(self._closed)

    def _closed(self, result: None) -> None:
        """
        Tell those who wait for the end; begin what came too late for it.
        """
        self._isEnding = False
        self._client = None
        closing, self._closing = self._closing or [], None
        late, self._late = self._late, deque()
        for closed in closing:
            closed.callback(None)
        for answer, operation in late:
            if not answer.called:
                self.perform(operation).chainDeferred(answer)
