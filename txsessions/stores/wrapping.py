"""
A store around a store: what wrappers are made of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, cast

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import directlyProvides, implementer, providedBy
from zope.interface.interface import Method

from ..interfaces import ISessionStore
from ..lifetime import REVOKED
from ..record import Change, Record

Operation: TypeAlias = Callable[[], Deferred[Any]]

DIRECT: Final = ("close", "watchEndings", "epoch")
"""
What passes by L{WrappingStore.around}: letting go is always possible, and hearing
of endings or changes gives no L{Deferred}.
"""


@attrs.frozen
class Call:
    """
    One call of an operation.

    @ivar name: The operation, such as C{"loadSession"}.
    @ivar arguments: Its positional arguments.
    @ivar options: Its keyword arguments.
    """

    name: str
    arguments: tuple[Any, ...] = attrs.field(repr=False, default=())
    options: Mapping[str, Any] = attrs.field(repr=False, factory=dict)

    @property
    def sid(self) -> str | None:
        """
        The session it is about, where it is about a certain one.
        """
        first = self.arguments[0] if self.arguments else None
        if isinstance(first, Record | Change):
            return first.sid
        return first if self.name.endswith("Session") else None

    def isOneOf(self, operations: tuple[str, ...]) -> bool:
        """
        Whether it is a call of one of these; no names stand for all operations.
        """
        return not operations or self.name in operations


@implementer(ISessionStore)
class WrappingStore:
    """
    A store of which every operation passes through L{around}, which a subclass
    overrides.  It provides what the store inside provides.

    @ivar store: The store inside.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        directlyProvides(self, providedBy(store))

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        Do what the wrapper is for.

        @param call: What was called.
        @param proceed: Does it on the store inside.
        @return: A L{Deferred} that the caller gets.
        """
        return proceed()

    @property
    def clock(self) -> IReactorTime | None:
        """
        The clock of the store inside.
        """
        return cast("IReactorTime | None", self.store.clock)

    @clock.setter
    def clock(self, clock: IReactorTime | None) -> None:
        self.store.clock = clock

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._operate("loadSession", sid, default)

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._operate("createSession", record)

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._operate("saveSession", change)

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._operate("deleteSession", sid, reason)

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._operate("hasSession", sid)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions
        <txsessions.interfaces.ISessionStoreAdministration.iterSessions>}.  The
        wrapper has its effect before the first record.
        """
        await self.around(Call("iterSessions"), lambda: succeed(None))
        async for pair in self.store.iterSessions():
            yield pair

    def __getattr__(self, name: str) -> Any:
        """
        The operations of whatever further interfaces the store inside has, and
        its plain attributes.
        """
        if name == "store" or name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.store, name)
        if name not in DIRECT and isinstance(providedBy(self.store).get(name), Method):
            return partial(self._operate, name)
        return value

    def _operate(self, name: str, *arguments: Any, **options: Any) -> Deferred[Any]:
        """
        One call of any operation.
        """
        operation = getattr(self.store, name)
        return self.around(Call(name, arguments, options), lambda: operation(*arguments, **options))
