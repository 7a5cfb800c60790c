"""
Calls that wait in line, one line for each session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, inlineCallbacks, maybeDeferred, succeed
from twisted.python.failure import Failure

from ..errors import StoreUnavailable

T = TypeVar("T")

MAXIMUM: Final = 2000
"""
How many calls may be under way at the most.
"""


class Lines:
    """
    Makes the calls for one session one after the other, in their order; those
    for different sessions at the same time.

    @ivar _lines: For each session the calls that are not done.
    @ivar _count: How many that are in all.
    @ivar _idle: Those who wait until there is none.
    """

    def __init__(self) -> None:
        self._lines: dict[str, deque[tuple[Callable[[], Any], Deferred[Any]]]] = {}
        self._count = 0
        self._idle: list[Deferred[None]] = []

    def call(self, sid: str, function: Callable[[], Any]) -> Deferred[Any]:
        """
        Make a call when all that came before it for this session are done.
        It is made also when its Deferred is cancelled.

        @param function: Returns a result, a L{Deferred} or a coroutine.
        @return: A L{Deferred} that fires with the result; and fails as the
            call does, or with L{StoreUnavailable} when too many wait.
        """
        if self._count >= MAXIMUM:
            return fail(StoreUnavailable(f"the store is {self._count} calls behind"))
        answer: Deferred[Any] = Deferred()
        self._count += 1
        line = self._lines.get(sid)
        if line is None:
            self._lines[sid] = deque([(function, answer)])
            self._work(sid)
        else:
            line.append((function, answer))
        return answer

    def whenIdle(self) -> Deferred[None]:
        """
        Wait until all calls are done.

        @return: A L{Deferred} that fires with L{None}.
        """
        if not self._count:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    @inlineCallbacks
    def _work(self, sid: str) -> Any:
        """
        Make the calls of one line, until none is left.
        """
        line = self._lines[sid]
        while line:
            function, answer = line[0]
            try:
                result = yield maybeDeferred(function)
            except Exception:
                result = Failure()
            line.popleft()
            self._count -= 1
            if not line:
                del self._lines[sid]
            answer.callback(result)
            if not self._count:
                waiting, self._idle = self._idle, []
                for idle in waiting:
                    idle.callback(None)
