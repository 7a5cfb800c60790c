"""
The thread of a store, replaced by none: what it would do happens at once, or
when its turn has come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from ...stores.worker import Worker


class ThreadlessWorker:
    """
    Stands in for a L{Worker}, of which it has the functions.
    """

    def __init__(
        self,
        worker: Worker[Any],
        step: Callable[[str, Callable[[], Any]], Deferred[Any]] | None = None,
        nameOf: Callable[[Any], str] = lambda request: "",
    ) -> None:
        """
        @param step: Called with the name of a step and what does it; has it done
            when its turn has come; C{None}: that is at once.
        @param nameOf: Gives the name of the step that a request is.
        """
        self._worker = worker
        self._step = step or (lambda what, proceed: maybeDeferred(proceed))
        self._nameOf = nameOf

    def submit(self, request: Any, outcome: object = None) -> Deferred[Any]:
        """
        See L{Worker.submit}.  It gives a Deferred of its own.
        """
        return self._step(self._nameOf(request), lambda: self.perform(request))

    def perform(self, request: Any) -> Any:
        """
        Do a request, now.

        @return: Its outcome, a L{Failure<twisted.python.failure.Failure>} if it
            has failed.
        """
        (outcome,) = self._worker._outcomes([request])
        return outcome

    def stop(self) -> Deferred[None]:
        """
        See L{Worker.stop}.
        """
        self._worker._finish()
        return succeed(None)

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """
        See L{Worker.tell}.
        """
        function(*arguments)
