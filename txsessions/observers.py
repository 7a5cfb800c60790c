"""
What may observe sessions, besides that which provides L{ISessionObserver}.

These are adapters.  An application registers its own in the same way, with
L{registerAdapter<twisted.python.components.registerAdapter>}; one for a class or
an interface goes before the one for callables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredQueue
from twisted.logger import ILogObserver, Logger
from twisted.python.components import registerAdapter
from zope.interface import Interface, implementer

from .event import SessionEvent
from .interfaces import ISessionObserver


@implementer(ISessionObserver)
class CallingObserver:
    """
    Calls something with each event.
    """

    def __init__(self, function: Callable[[SessionEvent], Any]) -> None:
        self._function = function

    def update(self, event: SessionEvent) -> Any:
        """
        See L{ISessionObserver.update}.
        """
        return self._function(event)


@implementer(ISessionObserver)
class LoggingObserver:
    """
    Logs each event, with nothing in it that is secret.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log

    def update(self, event: SessionEvent) -> None:
        """
        See L{ISessionObserver.update}.
        """
        self._log.info(
            "Session {session} was {type}"
            if event.reason is None
            else "Session {session} was {type}: {reason}",
            session=event.nameOfSession,
            sid=event.sid,
            type=event.type,
            reason=event.reason,
            eventID=event.eventID,
        )


@implementer(ISessionObserver)
class QueueingObserver:
    """
    Puts each event into a queue.  What does not fit counts as dropped.
    """

    def __init__(self, queue: DeferredQueue[SessionEvent]) -> None:
        self._queue = queue

    def update(self, event: SessionEvent) -> None:
        """
        See L{ISessionObserver.update}.

        @raise twisted.internet.defer.QueueOverflow: It does not fit.
        """
        self._queue.put(event)


def logging(observer: ILogObserver) -> LoggingObserver:
    """
    What logs to one observer of the log.
    """
    return LoggingObserver(Logger(namespace="txsessions", observer=observer))


def calling(function: Any) -> CallingObserver | None:
    """
    What calls a callable; C{None} for what is none.
    """
    return CallingObserver(function) if callable(function) else None


def checkObserver(observer: Any) -> None:
    """
    Refuse what cannot be told of anything.

    @raise TypeError: It does not adapt to L{ISessionObserver}.
    """
    if isinstance(observer, type) and ISessionObserver.implementedBy(observer):
        raise TypeError(f"subscribe an instance of {observer.__qualname__}, not the class")
    if ISessionObserver(observer, None) is None:
        raise TypeError(
            f"a {type(observer).__qualname__} is no observer: subscribe a callable, a Logger, a "
            "DeferredQueue, or what provides ISessionObserver, or register an adapter for it"
        )


registerAdapter(calling, Interface, ISessionObserver)
registerAdapter(LoggingObserver, Logger, ISessionObserver)
registerAdapter(logging, ILogObserver, ISessionObserver)
registerAdapter(QueueingObserver, DeferredQueue, ISessionObserver)
