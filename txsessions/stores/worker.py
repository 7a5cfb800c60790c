"""
A thread of a store's own, that does what may block.

It knows nothing of files or SQL: it gets what is asked in batches, hands each of
them to a function of the store, and tells the reactor of the outcomes once for
each batch.  So a store can commit a whole batch at once, what it is
asked is done in the order in which it was asked, and what waits is bounded
(the queue of a L{twisted.python.threadpool.ThreadPool} is not).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from ..errors import StoreUnavailable

R = TypeVar("R")

Batch: TypeAlias = list[tuple[R, Deferred[Any]]]

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


GATHERING: Final = 0.005
"""
For how many seconds more requests are waited for, as long as some come in each turn of
the reactor.  In that time it reads some fifty.
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
    @ivar _most: How many requests may be under way.
    @ivar _batch: How many make a batch at the most.
    @ivar _gathered: What has come, and is not yet given to the thread.
    @ivar _seen: How many of these there were when L{_gather} looked last.
    @ivar _queue: What is given to the thread; an empty batch for "end".
    @ivar _underWay: How many requests have no outcome yet.
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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param name: The name of the thread, and of the store in the text of
            an error.
        @param reactor: Where outcomes are told; L{None}: the global one.
        @param divide: How a batch is divided, so that what is done soon is
            also told soon; L{None}: it is not.
        @param monotonic: The worker's clock.
        """
        self._name = name
        self._perform = perform
        self._divide = divide or _undivided
        self._finish = finish
        self._reactor = reactor
        self._most = queue
        self._batch = batch
        self._monotonic = monotonic
        self._gathered: Batch[R] = []
        self._seen = 0
        self._queue: SimpleQueue[Batch[R]] = SimpleQueue()
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
        if self._underWay >= self._most:
            return fail(
                StoreUnavailable(
                    f"{self._name} is {self._underWay} requests behind; it takes no more for now"
                )
            )
        if outcome is None:
            outcome = Deferred()
        self._underWay += 1
        self._gathered.append((request, outcome))
        if len(self._gathered) == 1:
            self._start()
            self.tell(self._gather, self._monotonic() + GATHERING)
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
            self._flush()
            self._queue.put([])
        return stopped

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """
        Call a function in the reactor's thread, in its next turn.  For any thread.
        """
        assert self._reactor is not None
        self._reactor.callFromThread(function, *arguments)

    def _gather(self, until: float) -> None:
        """
        Give the thread what has come, once the reactor has had a turn in which nothing
        more came, or it is time: so what is asked by those whose requests came together
        makes one batch, and the two threads do not take the interpreter from each other
        in between.

        @param until: When it is time, in seconds on the worker's clock.
        """
        count = len(self._gathered)
        if self._seen < count < self._batch and self._monotonic() < until:
            self._seen = count
            self.tell(self._gather, until)
        else:
            self._seen = 0
            self._flush()

    def _flush(self) -> None:
        """
        Give the thread what has come.
        """
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), self._batch):
            self._queue.put(gathered[start : start + self._batch])

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
        batch, following = self._next(None)
        while batch:
            for part in self._divide([request for request, _ in batch]):
                some = [batch[place] for place in part]
                self.tell(self._deliver, some, self._outcomes([request for request, _ in some]))
            batch, following = self._next(following)
        try:
            self._finish()
        finally:
            self.tell(self._ended)

    def _next(self, batch: Batch[R] | None) -> tuple[Batch[R], Batch[R] | None]:
        """
        Wait for the next batch.

        @param batch: What was taken already; C{None} if nothing was.
        @return: The batch, and what was taken beside it.
        """
        if batch is None:
            batch = self._queue.get()
        while batch and not self._queue.empty():
            following = self._queue.get()
            if not following or len(batch) + len(following) > self._batch:
                return batch, following
            batch += following
        return batch, None

    def _outcomes(self, requests: list[R]) -> Sequence[Any]:
        """
        What the store's function gives for a batch; what it raises, for each.
        """
        try:
            return self._perform(requests)
        except Exception:
            return [Failure()] * len(requests)

    def _deliver(self, batch: Batch[R], outcomes: Sequence[Any]) -> None:
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
        if self._underWay:
            self._start()
        for stopped in stopping:
            stopped.callback(None)


def _undivided(requests: list[R]) -> Sequence[Sequence[int]]:
    """
    A whole batch as its only part.
    """
    return [range(len(requests))] if requests else []
