"""
Live sessions that may have ended elsewhere, without a word of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from ..duties import Duties

RETRY: Final = 1.0
"""
After how many seconds a store that could not answer is asked again.  It is there:
it has just said that it tells of endings again.
"""


class Missed:
    """
    Asks the store about them, some in each turn of the reactor, and again until it
    has answered.

    @ivar _clock: An L{IReactorTime}.
    @ivar _find: Gives the live session of a public handle, or C{None}.
    @ivar _recheck: Called with a session to ask about; returns a L{Deferred} that
        fires with whether the store has answered, and does not fail.
    @ivar _duties: Which are to be asked about, and when.
    """

    def __init__(
        self,
        clock: IReactorTime,
        find: Callable[[str], Any],
        recheck: Callable[[Any], Deferred[bool]],
    ) -> None:
        self._clock = clock
        self._find = find
        self._recheck = recheck
        # Nothing but its end makes it unnecessary to ask.
        self._duties = Duties(clock, lambda sid: None if find(sid) is None else 0.0, self._ask)

    def add(self, session: Any) -> None:
        """
        This one may have ended.
        """
        self._duties.add(session.sid, self._clock.seconds())

    def start(self) -> None:
        """
        Ask, after L{stop}.
        """
        self._duties.start()

    def stop(self) -> None:
        """
        Ask about no more, and leave no delayed call behind.
        """
        self._duties.stop()

    def _ask(self, sid: str) -> Deferred[None]:
        """
        Ask about one.
        """
        session = self._find(sid)
        if session is None:
            return succeed(None)

        def answered(hasAnswered: bool) -> None:
            if not hasAnswered:
                self._duties.add(sid, self._clock.seconds() + RETRY)

        return self._recheck(session).addCallback(answered)
