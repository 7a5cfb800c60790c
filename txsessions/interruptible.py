"""
What somebody waits for, and may stop to wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeGuard, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")

# Since Twisted 25.5 it warns whoever looks at it by its public name.
_CALLBACKS: Final = "_callbacks" if hasattr(Deferred(), "_callbacks") else "callbacks"


class Interruptible(Deferred[T]):
    """
    A Deferred that may fail before its result is there: whoever has the result
    looks first whether C{called} is still false.

    So it takes no second Deferred to wait for it no longer than a certain time.
    It is for what nobody needs who has stopped waiting: what is done when the
    result comes, however late, is done with a Deferred of its own.

    Whoever adds a callback that gives another Deferred gets no such promise for that
    one: see L{isInterruptible}.

    @ivar watchers: Called with this when it fires, before anybody has its result.
    """

    watchers: tuple[Callable[[Deferred[Any]], object], ...] = ()

    def callback(self, result: Any) -> None:
        """
        See L{Deferred.callback}.
        """
        for watcher in self.watchers:
            watcher(self)
        super().callback(result)

    def errback(self, fail: Any = None) -> None:
        """
        See L{Deferred.errback}.
        """
        for watcher in self.watchers:
            watcher(self)
        super().errback(fail)


def isInterruptible(answer: Deferred[T]) -> TypeGuard[Interruptible[T]]:
    """
    Whether a Deferred may be made to fail as it is: it is an L{Interruptible} that
    has not fired, and to which nobody has added a callback.
    """
    # As isinstance() says, but that is slow for what can be awaited.
    return Interruptible in type(answer).__mro__ and not (
        answer.called or getattr(answer, _CALLBACKS)
    )
