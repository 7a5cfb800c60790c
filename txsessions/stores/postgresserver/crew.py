"""
The threads that carry out operations, in the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from zlib import crc32

from twisted.internet.defer import Deferred, fail, gatherResults

from ...patience import Patience
from ..worker import Worker
from .line import Line, Steps

T = TypeVar("T")

LINES: Final = 2
"""
How many connections, each with a thread.  While one waits for a commit the other
sends; more gained nothing when it was measured, since Python runs one thread at
a time.
"""


class Crew:
    """
    Some threads, each with its line to the server.

    @ivar label: The name of the server.
    @ivar _lines: The lines.
    @ivar _workers: The threads.
    @ivar _seconds: How long anybody waits for an answer.
    @ivar _patience: Waits no longer than that for a thread that hangs in the
        lookup of a host's name, which knows no time-out.
    """

    def __init__(
        self, label: str, newLine: Callable[[], Line], seconds: float, reactor: Any
    ) -> None:
        """
        @param seconds: How long anybody waits for an answer.
        @param reactor: Where answers are told; C{None}: the global reactor.
        """
        self.label = label
        self._lines = [newLine() for _ in range(LINES)]
        self._seconds = seconds
        self._reactor = reactor
        self._patience: Patience | None = None
        self._workers = [Worker(label, line.perform, line.finish, reactor) for line in self._lines]

    @property
    def reactor(self) -> Any:
        """
        Where answers are told.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    def ask(
        self, key: str, operation: Steps[T], answer: Deferred[Any] | None = None
    ) -> Deferred[T]:
        """
        Have an operation carried out, after all those before it with the same
        key.

        @param answer: As L{Worker.submit} takes it.
        @return: A L{Deferred} that fires with what it returns; and fails with
            what it raises, and with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>}.
        """
        place = crc32(key.encode("utf-8", "surrogatepass")) % len(self._lines)
        outage = self._lines[place].outage
        if not outage.admits():
            operation.close()
            return fail(outage.error())
        if self._patience is None:
            self._patience = Patience(self.reactor, self._seconds)
        return self._patience.wait(self._workers[place].submit(operation, answer))

    def close(self) -> Deferred[None]:
        """
        Carry out what was asked so far, then let the threads end.

        @return: A L{Deferred} that fires with L{None} when they have.
        """
        return gatherResults([worker.stop() for worker in self._workers]).addCallback(
            lambda _: None
        )
