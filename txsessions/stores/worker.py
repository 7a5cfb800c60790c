"""
A thread of a store's own, that does what may block.

It knows nothing of files or SQL: it takes what waits for it in batches, hands
each batch to a function of the store, and tells the reactor of the outcomes
once for each batch.  So a store can commit a whole batch at once, what it is
asked is done in the order in which it was asked, and what waits is bounded
(the queue of a L{twisted.python.threadpool.ThreadPool} is not).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from ..errors import StoreUnavailable

R = TypeVar("R")

QUEUE: Final = 2000
"""
How many requests may be under way at the most.  A store that is so far behind
answers nobody in time; further requests fail at once.
"""

BATCH: Final = 64
"""
How many requests make a batch at the most: enough to share the cost of a
commit, and few enough that the first of them need not wait long for the last.
"""


class Worker(Generic[R]):
    """
    One thread, and the requests that wait for it.

    The thread starts with the first request and ends with L{stop}; a request
    that comes after that starts it anew.  It is a daemon thread: it keeps no
    process from ending, and what it had not yet acknowledged was not promised.

    All methods are for the reactor's thread.

    @ivar _perform: Called in the thread with a list of requests; gives as
        many outcomes in the same order, a L{Failure} for what has failed.
    @ivar _divide: Called in the thread with a list of requests; gives, for
        each part that is to be performed and told by itself, one after the
        other, the places of its requests.
    @ivar _finish: Called in the thread before it ends.
    @ivar _waiting: Requests with their Deferreds; L{None} for "end".
    @ivar _underWay: How many requests have no outcome yet.
    @ivar _isResting: Whether the thread has to be woken when there is something
        to do.
    @ivar _bell: What it is woken by.
    """

    def __init__(
        self,
        name: str,
        perform: Callable[[list[R]], Sequence[Any]],
        finish: Callable[[], None],
        reactor: IReactorFromThreads | None = None,
        *,
        queue: int = QUEUE,
        batch: int = BATCH,
        divide: Callable[[list[R]], Sequence[Sequence[int]]] | None = None,
    ) -> None:
        """
        @param name: The name of the thread, and of the store in the text of
            an error.
        @param reactor: Where outcomes are told; L{None}: the global one.
        @param divide: How a batch is divided, so that what is done soon is
            also told soon; L{None}: it is not.
        """
        self._name = name
        self._perform = perform
        self._divide = divide or _undivided
        self._finish = finish
        self._reactor = reactor
        self._queue = queue
        self._batch = batch
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._isResting = False
        self._waiting: deque[tuple[R, Deferred[Any]] | None] = deque()
        self._underWay = 0
        self._isRunning = False
        self._stopping: list[Deferred[None]] = []

    def submit(self, request: R, outcome: Deferred[Any] | None = None) -> Deferred[Any]:
        """
        Have a request done.  One whose Deferred is cancelled is done all the
        same.

        @param outcome: A new one to return, such as an
            L{Interruptible<txsessions.interruptible.Interruptible>}; C{None}: any.
        @return: A L{Deferred} that fires with the outcome; and fails with
            what the store's function gave or raised, or with
            L{StoreUnavailable} when too much is under way.
        """
        if self._underWay >= self._queue:
            return fail(
                StoreUnavailable(
                    f"{self._name} is {self._underWay} requests behind; it takes no more for now"
                )
            )
        if outcome is None:
            outcome = Deferred()
        self._underWay += 1
        self._put((request, outcome))
        self._start()
        return outcome

    def stop(self) -> Deferred[None]:
        """
        Do what was asked so far, then let the thread end.

        @return: A L{Deferred} that fires with L{None} when it has ended, or
            when none runs.
        """
        if not self._isRunning:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if len(self._stopping) == 1:
            self._put(None)
        return stopped

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """
        Call a function in the reactor's thread.  For the worker's own thread.
        """
        assert self._reactor is not None
        self._reactor.callFromThread(function, *arguments)

    def _put(self, item: tuple[R, Deferred[Any]] | None) -> None:
        """
        Let an item wait, and have the thread woken when the reactor has seen to
        what has come so far: so all that is asked in one turn makes one batch,
        and the two do not take the interpreter from each other in between.
        """
        self._waiting.append(item)
        if self._isResting:
            self._isResting = False
            self.tell(self._bell.put, None)

    def _start(self) -> None:
        """
        Start the thread, if none runs.
        """
        if self._isRunning:
            return
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = IReactorFromThreads(reactor)
        self._isRunning = True
        Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        """
        Do batches until the end comes up.  This is the thread.
        """
        isEnding = False
        while not isEnding:
            batch, isEnding = self._take()
            for part in self._divide([request for request, _ in batch]):
                some = [batch[place] for place in part]
                self.tell(self._deliver, some, self._outcomes([request for request, _ in some]))
        try:
            self._finish()
        finally:
            self.tell(self._ended)

    def _take(self) -> tuple[list[tuple[R, Deferred[Any]]], bool]:
        """
        Wait for the next batch.

        @return: The batch, and whether the end comes right after it.
        """
        batch: list[tuple[R, Deferred[Any]]] = []
        waiting = self._waiting
        while not waiting:
            self._rest()
        while waiting and len(batch) < self._batch:
            item = waiting.popleft()
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _rest(self) -> None:
        """
        Let the thread wait until it is woken, unless something has come in the
        very moment in which it began to rest.  It may be woken once too often.
        """
        self._isResting = True
        if not self._waiting:
            self._bell.get()
        self._isResting = False

    def _outcomes(self, requests: list[R]) -> Sequence[Any]:
        """
        What the store's function gives for a batch; what it raises, for each.
        """
        try:
            return self._perform(requests)
        except Exception:
            return [Failure()] * len(requests)

    def _deliver(self, batch: list[tuple[R, Deferred[Any]]], outcomes: Sequence[Any]) -> None:
        """
        Fire the Deferreds of a batch; not those that were cancelled, or had to
        wait for too long.
        """
        self._underWay -= len(batch)
        for (_, deferred), outcome in zip(batch, outcomes, strict=True):
            if deferred.called:
                continue
            if isinstance(outcome, Failure):
                deferred.errback(outcome)
            else:
                deferred.callback(outcome)

    def _ended(self) -> None:
        """
        The thread has ended.  What was asked since then begins a new one.
        """
        self._isRunning = False
        stopping, self._stopping = self._stopping, []
        if self._waiting:
            self._start()
        for stopped in stopping:
            stopped.callback(None)


def _undivided(requests: list[R]) -> Sequence[Sequence[int]]:
    """
    A whole batch as its only part.
    """
    return [range(len(requests))] if requests else []
