"""
Those in this process who hear at once of endings, in the reactor's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Final

import psycopg
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...errors import StoreUnavailable
from ..watchers import Watchers
from .crew import Crew
from .listener import Listener

BATCH: Final = 250
"""
How many endings are told in one turn of the reactor: so many callbacks of 0.1
milliseconds take half of the 50 milliseconds that it may be held.
"""

MAXIMUM: Final = 100_000
"""
How many endings wait to be told at the most.  When more come it is said that
some were missed, which costs whoever hears that one look instead.
"""


class Hearing:
    """
    Tells of endings that others make, as long as somebody wants to know.

    All methods are for the reactor's thread.

    @ivar _crew: Those who carry out operations, of whose server and reactor it is.
    @ivar _listener: What hears right now; C{None} while nobody wants to know.
    @ivar _stopping: One L{Deferred} for each thread that has not ended yet.
    @ivar _waiting: What was heard and is to be told, each a C{sid} and a reason.
    @ivar _call: When the next of it is told; C{None} when nothing waits.
    """

    _log = Logger()

    def __init__(
        self,
        crew: Crew,
        connect: Callable[[], psycopg.Connection],
        channel: str,
        timeout: float,
    ) -> None:
        """
        @param timeout: How long the server may take to answer, in seconds.
        """
        self._crew = crew
        self._connect = connect
        self._channel = channel
        self._timeout = timeout
        self._watchers = Watchers()
        self._listener: Listener | None = None
        self._stopping: dict[Listener, Deferred[None]] = {}
        self._waiting: deque[tuple[str, str]] = deque()
        self._call: IDelayedCall | None = None

    def watch(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings
        <txsessions.interfaces.ISessionNotices.watchEndings>}.
        """
        stop = self._watchers.watch(ended, missed)
        if self._listener is None:
            self._start()

        def stopAll() -> None:
            stop()
            if not self._watchers:
                self._stop()

        return stopAll

    def close(self) -> Deferred[None]:
        """
        Tell nobody any more.

        @return: A L{Deferred} that fires with L{None} when the connection is
            closed.
        """
        self._watchers = Watchers()
        self._stop()
        return gatherResults([_waiter(each) for each in self._stopping.values()]).addCallback(
            lambda _: None
        )

    def _start(self) -> None:
        """
        Begin to hear.
        """
        reactor = self._crew.reactor

        def telling(function: Callable[..., object]) -> Callable[..., None]:
            return lambda *given: reactor.callFromThread(function, listener, *given)

        listener = self._listener = Listener(
            self._connect,
            self._channel,
            self._timeout,
            heard=telling(self._heard),
            begun=telling(self._begun),
            failed=telling(self._failed),
        )
        self._stopping[listener] = Deferred()

        def run() -> None:
            try:
                listener.run()
            finally:
                reactor.callFromThread(self._ended, listener)

        Thread(target=run, name=f"{self._crew.label}, notices", daemon=True).start()

    def _stop(self) -> None:
        """
        Hear no more.
        """
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _heard(self, listener: Listener, endings: list[tuple[str, str]]) -> None:
        """
        There were endings.
        """
        if listener is not self._listener:
            return
        if len(self._waiting) + len(endings) > MAXIMUM:
            self._waiting.clear()
            self._watchers.missed()
            return
        self._waiting += endings
        if self._call is None:
            self._tell()

    def _tell(self) -> None:
        """
        Tell some of what waits, and the others in a moment.
        """
        self._call = None
        for _ in range(BATCH):
            if not self._waiting:
                return
            self._watchers.ended(*self._waiting.popleft())
        if self._waiting:
            self._call = self._crew.reactor.callLater(0, self._tell)

    def _begun(self, listener: Listener) -> None:
        """
        From now on all is heard.
        """
        if listener is self._listener:
            self._watchers.missed()

    def _failed(self, listener: Listener, error: StoreUnavailable) -> None:
        """
        Nothing is heard for now.
        """
        if listener is self._listener:
            self._log.warn(
                "{label}: {error}; what others end is noticed late until it is there again",
                label=self._crew.label,
                error=error,
            )

    def _ended(self, listener: Listener) -> None:
        """
        A thread has ended.
        """
        listener.close()
        if listener is self._listener:
            # Nobody has asked it to; whoever watches next starts another one.
            self._listener = None
        self._stopping.pop(listener).callback(None)


def _waiter(event: Deferred[None]) -> Deferred[None]:
    """
    A L{Deferred} that fires with another one, which goes on to its next waiter.
    """
    waiting: Deferred[None] = Deferred()
    event.chainDeferred(waiting)
    return waiting
