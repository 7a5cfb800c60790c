"""
Those in one process who want to hear at once of endings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.logger import Logger

from .claim import Ending


@attrs.define(eq=False)
class Watcher:
    """
    One who wants to hear.

    @ivar ended: Called with the C{sid} and the reason of each ending.
    @ivar missed: Called when some may have been missed.
    """

    ended: Callable[[str, str], object]
    missed: Callable[[], object]


class Watchers:
    """
    Calls those who watch.  One that raises is logged, and hurts no other.

    @ivar _watchers: In the order in which they came.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._watchers: dict[Watcher, None] = {}

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def watch(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings
        <txsessions.interfaces.ISessionNotices.watchEndings>}.
        """
        watcher = Watcher(ended, missed)
        self._watchers[watcher] = None

        def stop() -> None:
            self._watchers.pop(watcher, None)

        return stop

    def tell(self, endings: Iterable[Ending]) -> None:
        """
        Say what has ended.  Nothing is done while nobody watches.
        """
        if self._watchers:
            for ending in endings:
                self.ended(ending.record.sid, ending.reason)

    def ended(self, sid: str, reason: str) -> None:
        """
        Say that one session has ended.
        """
        for watcher in list(self._watchers):
            if watcher in self._watchers:
                self._call(watcher.ended, sid, reason)

    def missed(self) -> None:
        """
        Say that some endings may have been missed.
        """
        for watcher in list(self._watchers):
            if watcher in self._watchers:
                self._call(watcher.missed)

    def _call(self, function: Callable[..., object], *arguments: str) -> None:
        """
        Call one of them.
        """
        try:
            function(*arguments)
        except Exception:
            self._log.failure("Somebody who watches endings failed.")
