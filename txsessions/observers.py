"""
What may observe sessions, besides that which provides L{ISessionObserver}.

These are adapters.  An application registers its own in the same way, with
L{registerAdapter<twisted.python.components.registerAdapter>}; one for a class or
an interface goes before the one for callables.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinMethodType, MethodType
from typing import Any, Final

from twisted.internet.defer import DeferredQueue
from twisted.logger import ILogObserver, Logger
from twisted.python.components import registerAdapter
from zope.interface import Interface, implementer
from zope.interface.interface import InterfaceClass

from .event import SessionEvent
from .interfaces import ISessionEvent, ISessionObserver

METHODS: Final = (MethodType, BuiltinMethodType)
"""
What is made anew whenever it is looked up; equal if it is the same method of the
same object.
"""


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


def adapt(observer: Any) -> Any:
    """
    What can be told of events, as L{ISessionObserver}.

    @raise TypeError: It does not adapt to that.
    """
    # It could be called with an event, and would make an observer of it.
    if isinstance(observer, type) and callable(getattr(observer, "update", None)):
        raise TypeError(f"subscribe an instance of {observer.__qualname__}, not the class")
    adapted = ISessionObserver(observer, None)
    if adapted is None:
        raise TypeError(
            f"a {type(observer).__qualname__} is no observer: subscribe a callable, a Logger, a "
            "DeferredQueue, or what provides ISessionObserver (its class has "
            "@implementer(ISessionObserver) before it), or register an adapter for it"
        )
    return adapted


def checkKinds(kinds: tuple[Any, ...], base: Any = ISessionEvent) -> None:
    """
    Refuse what is no kind of events.

    @param base: The interface that all of them have to extend.
    @raise TypeError: It is none.
    """
    for kind in kinds:
        if not isinstance(kind, InterfaceClass) or not kind.isOrExtends(base):
            raise TypeError(
                f"{kind!r} is none of the kinds of events that can be told here: "
                f"give {base.__name__}, or an interface that extends it"
            )


def isSame(one: Any, other: Any) -> bool:
    """
    Whether this is the same observer.  A method that is looked up once more is.
    """
    return one is other or (isinstance(one, METHODS) and bool(one == other))


registerAdapter(calling, Interface, ISessionObserver)
registerAdapter(LoggingObserver, Logger, ISessionObserver)
registerAdapter(logging, ILogObserver, ISessionObserver)
registerAdapter(QueueingObserver, DeferredQueue, ISessionObserver)
