"""
A server that the processes of a scenario share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from ...interfaces import IConnectedStore
from .data import NamedOperations, SharedData

if TYPE_CHECKING:
    from ..explorer.gates import Gates


class KeptOperations(NamedOperations):
    """
    A store that stays open when its process ends: the next run has use for it.
    """

    def close(self) -> Deferred[None]:
        """
        Nothing.
        """
        return succeed(None)


class SharedServer(SharedData):
    """
    A server of the tests' own, of which B{all sessions are removed} before each
    run.  Its stores stay connected from one run to the next, until L{close}.

    The clock of a run stands where the server's time is when the run begins;
    that goes on, so that a deadline is not to be nearer than a second.
    """

    def __init__(self, makeStore: Callable[[], Any]) -> None:
        """
        @param makeStore: Makes a store; its clock is set for each run.
        """
        self._makeStore = makeStore
        self._opened: dict[str, Any] = {}

    def now(self) -> float:
        """
        See L{SharedData.now}.
        """
        return time()

    def store(self, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.store}.
        """
        return self.gated(self._kept(process), process, gates)

    async def begin(self, clock: Clock) -> None:
        """
        See L{SharedData.begin}.
        """
        self.clock = clock
        self.truth = self._kept("")
        await self.truth.setup()
        await self.removeAll(self.truth)

    async def end(self, stores: Iterable[Any]) -> None:
        """
        See L{SharedData.end}.
        """

    async def removeAll(self, store: Any) -> None:
        """
        Remove all sessions, and whatever is remembered of others.
        """
        raise NotImplementedError(f"{type(self).__name__} must define removeAll(store)")

    async def close(self) -> None:
        """
        Close all stores.
        """
        opened, self._opened = self._opened, {}
        for store in opened.values():
            if IConnectedStore.providedBy(store):
                await store.close()

    def _kept(self, process: str) -> Any:
        """
        The store of a process, from an earlier run or a new one.
        """
        if process not in self._opened:
            self._opened[process] = self._makeStore()
        store = self._opened[process]
        store.clock = self.clock
        return store
