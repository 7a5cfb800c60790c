"""
A thread that does what has come together while it was busy in one go: for the raw floors.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

Jobs = list[tuple[Any, ...]]


class Batching:
    """
    The thread, and those who wait for it.
    """

    def __init__(self, open: Callable[[], Callable[[Jobs], list[Any]]]) -> None:
        """
        @param open: Called in the thread; returns what does a batch, and gives a result
            for each.
        """
        self._open = open
        self._waiting: list[tuple[Deferred[Any], tuple[Any, ...]]] = []
        self._condition = Condition()
        Thread(target=self._work, daemon=True).start()

    def do(self, *job: Any) -> Deferred[Any]:
        """
        Do something in the next batch.

        @return: Fires with its result.
        """
        done: Deferred[Any] = Deferred()
        with self._condition:
            self._waiting.append((done, job))
            self._condition.notify()
        return done

    def _work(self) -> None:
        """
        What the thread does.
        """
        perform = self._open()
        while True:
            with self._condition:
                while not self._waiting:
                    self._condition.wait()
                batch, self._waiting = self._waiting, []
            results = perform([job for _, job in batch])
            reactor.callFromThread(self._fire, batch, results)  # type: ignore[attr-defined]

    def _fire(self, batch: list[tuple[Deferred[Any], tuple[Any, ...]]], results: Any) -> None:
        """
        Tell those who wait, in the reactor's thread.
        """
        for (done, _), result in zip(batch, results, strict=True):
            done.callback(result)
