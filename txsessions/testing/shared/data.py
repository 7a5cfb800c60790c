"""
What the processes of a scenario share: one set of sessions, anew for each run.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from io import BytesIO
from types import MethodType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ...interfaces import IConnectedStore
from ...stores.memory import MemoryStore
from ...stores.wrapping import Call, Operation, WrappingStore

if TYPE_CHECKING:
    from ..explorer.gates import Gates

START = 1_000_000_000.0
"""
Where the clock of a run begins, in seconds since the epoch.
"""

NOBODY = "0" * 32
"""
The C{sid} of no session.
"""


class SharedData:
    """
    Gives each process of a scenario a store of its own on the same sessions.

    For a store of your own, override L{open}, and L{clear} if that finds the
    sessions of the run before; then the operations of the store are its steps.
    Where an operation consists of several steps, override L{gated} too.

    @ivar clock: The time of the run.
    @ivar truth: A store whose steps never wait.
    """

    clock: Clock
    truth: Any

    def open(self) -> Any:
        """
        Open another store on the same data, with C{clock} for its clock.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open()")

    def clear(self) -> Any:
        """
        Begin a run with no sessions.

        @return: L{None}, or a L{Deferred} that fires when there are none.
        """

    def now(self) -> float:
        """
        Where the clock of a run begins, in seconds since the epoch.
        """
        return START

    def contents(self) -> Any:
        """
        All that the processes share, so that two runs which have come to the
        same are recognised; C{None}: nobody knows.
        """

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        Let the steps of a store wait.

        @param process: Whose store it is.
        @param gates: Where they wait: C{gates.step(process, ...)}.
        @return: The store, or one around it.
        """
        return GatedOperations(store, process, gates)

    def store(self, process: str, gates: Gates) -> Any:
        """
        The store of a process, whose steps wait.
        """
        return self.gated(self.open(), process, gates)

    async def begin(self, clock: Clock) -> None:
        """
        Begin a run.
        """
        self.clock = clock
        cleared = self.clear()
        if isinstance(cleared, Deferred):
            await cleared
        self.truth = self.open()

    async def warm(self, store: Any) -> None:
        """
        Have a store do what it does only once: connect, look around.
        """
        await store.hasSession(NOBODY)

    async def end(self, stores: Iterable[Any]) -> None:
        """
        End a run.

        @param stores: Those of the processes.
        """
        for each in (*stores, self.truth):
            if IConnectedStore.providedBy(each):
                await each.close()


class NamedOperations(WrappingStore):
    """
    A store of which each step says to which operation it belongs.
    """

    def __init__(self, store: Any, process: str, gates: Gates) -> None:
        super().__init__(store)
        self.isMultiprocessSafe = True
        self._process = process
        self._gates = gates

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        with self._gates.during(call=call):
            return proceed()


class GatedOperations(NamedOperations):
    """
    A store whose operations are its steps.
    """

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        with self._gates.during(call=call):
            return self._gates.step(self._process, proceed)


class Contents(pickle.Pickler):
    """
    Writes down what is in a store.  What is equal may be written in two ways; then
    it is not recognised, which costs a run.
    """

    def __init__(self, file: BytesIO, clock: Clock) -> None:
        super().__init__(file)
        self._clock = clock

    def persistent_id(self, value: Any) -> str | None:
        """
        A name for what is no content: the clock, and methods.
        """
        if value is self._clock:
            return "clock"
        return value.__name__ if isinstance(value, MethodType) else None


class SharedMemory(SharedData):
    """
    One store in memory, which stands for one that processes share.
    """

    def __init__(self, makeStore: Callable[[Clock], Any] = MemoryStore) -> None:
        """
        @param makeStore: Called with the clock; makes the store for a run.
        """
        self._makeStore = makeStore
        self._store: Any = None

    def open(self) -> Any:
        """
        See L{SharedData.open}.
        """
        return self._store

    def clear(self) -> None:
        """
        See L{SharedData.clear}.
        """
        self._store = self._makeStore(self.clock)

    def contents(self) -> Any:
        """
        See L{SharedData.contents}.
        """
        written = BytesIO()
        try:
            Contents(written, self.clock).dump(vars(self._store))
        except Exception:
            # Something in it is not made for that: then nobody knows.
            return None
        return written.getvalue()
