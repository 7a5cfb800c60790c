"""
Connections that belong to a session, and end with it.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.components import registerAdapter
from twisted.web.http import Request
from zope.interface import implementer

from .interfaces import ISessionConnection

_log = Logger()


@implementer(ISessionConnection)
class ClosableConnection:
    """
    Anything with C{loseConnection}: a transport, a protocol.

    @ivar connection: That thing.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def loseConnection(self) -> None:
        """
        See L{ISessionConnection.loseConnection}.
        """
        self.connection.loseConnection()

    def isOpen(self) -> bool:
        """
        See L{ISessionConnection.isOpen}.  What does not say is taken to be.
        """
        connection = self.connection
        # A protocol stays C{connected} when its transport has gone.
        return all(
            not getattr(place, "disconnected", False) and bool(getattr(place, "connected", True))
            for place in (connection, getattr(connection, "transport", None))
        )


@implementer(ISessionConnection)
class RequestConnection:
    """
    A request whose response goes on and on, such as server-sent events.

    @ivar connection: The request.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def loseConnection(self) -> None:
        """
        See L{ISessionConnection.loseConnection}.  The response ends here; to
        finish it would be to say that it is complete.
        """
        if self.isOpen():
            self.connection.loseConnection()

    def isOpen(self) -> bool:
        """
        See L{ISessionConnection.isOpen}.
        """
        request = self.connection
        return not (request.finished or request._disconnected)


registerAdapter(RequestConnection, Request, ISessionConnection)


def connectionOf(connection: Any) -> Any:
    """
    A connection as a session closes it.

    @raise TypeError: Nobody knows how to close that.
    """
    adapted = ISessionConnection(connection, None)
    if adapted is not None:
        return adapted
    for thing in (connection, getattr(connection, "transport", None)):
        if callable(getattr(thing, "loseConnection", None)):
            return ClosableConnection(thing)
    raise TypeError(
        f"{type(connection).__qualname__} has no loseConnection: bind something that has, or "
        "register an adapter to ISessionConnection"
    )


def close(closable: Any) -> None:
    """
    Close a connection; what goes wrong hurts nobody.

    @param closable: As L{connectionOf} gives it.
    """
    try:
        closable.loseConnection()
    except Exception:
        _log.failure("Closing a connection at the end of its session failed.")


class BoundConnections:
    """
    The connections of one session.

    @ivar _bound: What was bound, and how it is closed.
    @ivar _active: What counts as activity as long as it is open.
    """

    __slots__ = ("_active", "_bound")

    def __init__(self) -> None:
        self._bound: dict[int, tuple[Any, Any]] = {}
        self._active: set[int] = set()

    def __len__(self) -> int:
        return len(self._bound)

    def bind(self, connection: Any, isActivity: bool) -> None:
        """
        Note that a connection belongs to the session.

        @raise TypeError: Nobody knows how to close that.
        """
        self._bound[id(connection)] = (connection, connectionOf(connection))
        if isActivity:
            self._active.add(id(connection))
        else:
            self._active.discard(id(connection))

    def unbind(self, connection: Any) -> None:
        """
        Note that it does no more.
        """
        self._bound.pop(id(connection), None)
        self._active.discard(id(connection))

    def areActive(self) -> bool:
        """
        Whether any is open that counts as activity.  Those that are not open
        any more are forgotten.
        """
        for name in list(self._active):
            connection, closable = self._bound[name]
            try:
                if not closable.isOpen():
                    self.unbind(connection)
            except Exception:
                # It is closed with the others, but keeps nothing alive.
                self._active.discard(name)
                _log.failure("A bound connection could not say whether it is open.")
        return bool(self._active)

    def close(self) -> None:
        """
        Close all of them; what goes wrong with one hurts no other.
        """
        bound, self._bound = self._bound, {}
        self._active.clear()
        for _, each in bound.values():
            close(each)
