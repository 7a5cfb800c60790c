"""
A function that stops at each of its steps, and goes on when it is told to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_here = threading.local()
"""
Has the L{Puppet} that runs in the thread, in those in which one does.
"""


@attrs.frozen
class Pause:
    """
    Where a function has stopped.

    @ivar what: The step that is next.
    @ivar isPossible: Whether that can be done now.
    """

    what: str
    isPossible: Callable[[], bool]


class Puppet:
    """
    Runs a function in a thread, never at the same time as whoever drives it.

    @ivar done: Fires with what the function returns.
    @ivar _answer: What has come of the last step.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        wait: Callable[[Pause, Callable[[], Any]], object],
    ) -> None:
        """
        @param wait: Called at each pause with where it is, and with what does the
            step and makes the function go on up to the next one.
        """
        self.done: Deferred[Any] = Deferred()
        self._function = function
        self._wait = wait
        self._answer: Any = None
        self._result: Any = None
        self._going: SimpleQueue[None] = SimpleQueue()
        self._stopped: SimpleQueue[Pause | None] = SimpleQueue()

    def start(self) -> Deferred[Any]:
        """
        Run the function up to its first pause.
        """
        threading.Thread(target=self._run, name="a step of a test", daemon=True).start()
        self._follow()
        return self.done

    def step(self, pause: Pause, do: Callable[[], Any]) -> Any:
        """
        Stop, and then do a step.  For the function.
        """
        self._stopped.put(pause)
        self._going.get()
        try:
            self._answer = do()
        except Exception as e:
            self._answer = e
            raise
        return self._answer

    def _run(self) -> None:
        """
        Run the function.  This is the thread.
        """
        _here.puppet = self
        try:
            self._result = self._function()
        except Exception:
            self._result = Failure()
        self._stopped.put(None)

    def _follow(self) -> Any:
        """
        Wait until the function has stopped, or has come to its end.

        @return: What has come of its last step.
        """
        pause = self._stopped.get()
        answer = self._answer
        if pause is not None:
            self._wait(pause, self._go)
        else:
            self.done.callback(self._result)
        return answer

    def _go(self) -> Any:
        """
        Have it do its step, and all up to the next one.

        @return: What has come of the step.
        """
        self._going.put(None)
        return self._follow()


def inTurn(what: str, do: Callable[[], Any], isPossible: Callable[[], bool] = lambda: True) -> Any:
    """
    Do a step; where a L{Puppet} does it, when its turn has come.
    """
    puppet = getattr(_here, "puppet", None)
    return do() if puppet is None else puppet.step(Pause(what, isPossible), do)
