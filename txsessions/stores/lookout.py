"""
Looks about for what ends, as long as somebody watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import SessionError

INTERVAL: Final = 1.0
"""
How long to wait between two looks, in seconds: so late somebody hears of what
another process ends.
"""


class Seen(Protocol):
    """
    What one look has found.
    """

    @property
    def endings(self) -> Iterable[tuple[str, str]]: ...

    @property
    def isMissed(self) -> bool: ...

    @property
    def hasMore(self) -> bool: ...


@attrs.frozen(eq=False)
class Watcher:
    """
    Somebody who wants to hear of endings.

    @ivar ended: Called with the C{sid} and the reason.
    @ivar missed: Called when some may have been missed.
    """

    ended: Callable[[str, str], object]
    missed: Callable[[], object]


class Lookout:
    """
    Tells those who watch.

    @ivar _look: Called to look for what has ended since a moment, in seconds by
        the system's clock; gives a L{Deferred} that fires with L{Seen}.
    @ivar _since: When somebody began to watch and nobody had before.
    @ivar _watchers: Who watches.
    @ivar _call: The next look; C{None}: nobody watches, or L{pause}.
    @ivar _isLooking: Whether a look is under way.
    """

    _log = Logger()

    def __init__(self, look: Callable[[float], Deferred[Any]]) -> None:
        self._look = look
        self._since = 0.0
        self._watchers: list[Watcher] = []
        self._call: IDelayedCall | None = None
        self._isLooking = False

    @property
    def isPaused(self) -> bool:
        """
        Whether somebody watches, and nobody looks.
        """
        return bool(self._watchers) and self._call is None

    def watch(self, watcher: Watcher, clock: IReactorTime) -> Callable[[], None]:
        """
        Tell somebody of endings.

        @return: Call it to tell no more.
        """
        if not self._watchers:
            # Other processes write their times by this clock.
            self._since = time.time()
        self._watchers.append(watcher)
        self.resume(clock)

        def stop() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
            if not self._watchers:
                self.pause()

        return stop

    def tell(self, endings: Iterable[tuple[str, str]]) -> None:
        """
        Tell all who watch of endings.
        """
        for sid, reason in endings:
            for watcher in list(self._watchers):
                self._safely(watcher.ended, sid, reason)

    def pause(self) -> None:
        """
        Look no more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resume(self, clock: IReactorTime) -> None:
        """
        Look again, if somebody watches.
        """
        if self.isPaused:
            self._call = clock.callLater(INTERVAL, self._tick, clock)

    def _tick(self, clock: IReactorTime) -> None:
        """
        Look now, and again later.
        """
        self._call = None
        self.resume(clock)
        if not self._isLooking:
            self._lookNow()

    def _lookNow(self) -> None:
        """
        Look, and tell what was found.
        """
        self._isLooking = True
        self._look(self._since).addCallbacks(self._seen, self._failed).addErrback(self._unexpected)

    def _seen(self, seen: Seen) -> None:
        """
        Tell what was found, and go on if there is more.
        """
        self._isLooking = False
        self.tell(seen.endings)
        if seen.isMissed:
            for watcher in list(self._watchers):
                self._safely(watcher.missed)
        if seen.hasMore and self._call is not None:
            self._lookNow()

    def _failed(self, failure: Failure) -> None:
        """
        A look has failed.  Where the store is down others say so; the next look
        goes on from where the last one was.
        """
        self._isLooking = False
        failure.trap(SessionError)

    def _unexpected(self, failure: Failure) -> None:
        """
        Log what nobody has foreseen.
        """
        self._log.failure("looking for endings has failed", failure=failure)

    def _safely(self, function: Callable[..., object], *arguments: object) -> None:
        """
        Call somebody who watches; what he raises is logged and hurts no other.
        """
        try:
            function(*arguments)
        except Exception:
            self._log.failure("somebody who watches for endings has failed")
