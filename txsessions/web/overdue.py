"""
Stored sessions whose deadline has come up in this process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..duties import BATCH


class Overdue:
    """
    Has them ended in the store by a sweep, and asks the store about those that
    are left then: others have touched them, or ended them, or the store could
    not answer.

    However many they are, they wait for one sweep, and some are asked about at
    a time.  What waits are the handles of those that are found by them, in lists that
    are short: those that end meanwhile are gone at once, and Python's collector of
    garbage need not look at a new list of a million.

    @ivar _clock: An L{IReactorTime}.
    @ivar _find: Gives the live session of a public handle, or C{None}.
    @ivar _sweep: Called to end what has expired; returns a L{Deferred}.
    @ivar _recheck: Called with a session to ask about; returns a L{Deferred}
        that does not fail.
    @ivar _waiting: Those that wait for a sweep.
    @ivar _left: Those that a sweep may have left.
    @ivar _isBusy: Whether a sweep is under way, or the store is being asked.
    @ivar _call: The delayed call to ask about more; C{None} when there is none.
    """

    def __init__(
        self,
        clock: IReactorTime,
        find: Callable[[str], Any],
        sweep: Callable[[], Deferred[None]],
        recheck: Callable[[Any], Deferred[Any]],
    ) -> None:
        self._clock = clock
        self._find = find
        self._sweep = sweep
        self._recheck = recheck
        self._waiting: deque[list[Any]] = deque()
        self._left: deque[list[Any]] = deque()
        self._isBusy = False
        self._call: IDelayedCall | None = None

    def add(self, session: Any) -> None:
        """
        The deadline of this one has come up.
        """
        if not self._waiting or len(self._waiting[-1]) >= BATCH:
            self._waiting.append([])
        isFound = self._find(session.sid) is session
        self._waiting[-1].append(session.sid if isFound else session)
        if not self._isBusy:
            self._isBusy = True
            self._begin()

    def stop(self) -> None:
        """
        Ask about no more, and leave no delayed call behind.
        """
        self._waiting.clear()
        self._left.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
            self._isBusy = False

    def _begin(self) -> None:
        """
        Sweep.
        """
        self._sweep().addCallback(lambda _: self._swept())

    def _swept(self) -> None:
        """
        What was to be ended has been, as far as the store can answer.
        """
        self._left, self._waiting = self._waiting, deque()
        self._ask()

    def _ask(self) -> None:
        """
        Ask about some.
        """
        self._call = None
        waited = self._left.popleft() if self._left else []
        some = [self._find(each) if isinstance(each, str) else each for each in waited]
        asking = [
            self._recheck(session)
            for session in some
            if session is not None and session.endReason is None
        ]
        DeferredList(asking).addCallback(lambda _: self._answered())

    def _answered(self) -> None:
        """
        Go on, when the reactor has run.
        """
        if self._left:
            self._call = self._clock.callLater(0.0, self._ask)
        elif self._waiting:
            self._begin()
        else:
            self._isBusy = False
