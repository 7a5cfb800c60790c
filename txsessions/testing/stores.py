"""
Stores for tests, around a store of any kind: one that fails, one that hangs,
one that delays, one that waits for the test, one that notes what it is asked.

Each provides what the store inside provides, as far as that goes, and changes
nothing but the moment or the outcome of its operations::

    store = FailingStore(MemoryStore())
    store.fail("saveSession")
    ...
    store.mend()

What a test wants to be done at once, whatever the wrapper does, it asks of the
store inside, the attribute C{store}.  So does C{close}: a test can always let go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..errors import StoreUnavailable
from ..stores.wrapping import Call, Operation, WrappingStore


class FailingStore(WrappingStore):
    """
    A store that is down when the test says so.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.mend()

    def fail(
        self,
        *operations: str,
        every: int = 1,
        answersOnly: bool = False,
        error: Callable[[], Exception] = lambda: StoreUnavailable("the test broke the store"),
    ) -> None:
        """
        Fail from now on.

        @param operations: Which, by name; all if none is named.
        @param every: Only each so manieth of these calls, beginning with the
            one after C{every - 1} good ones.
        @param answersOnly: Do what is asked for, and lose the answer.
        @param error: Makes the exception.
        """
        self._operations = operations
        self._every = every
        self._answersOnly = answersOnly
        self._error = error
        self._calls = 0
        self._isDown = True

    def mend(self) -> None:
        """
        Fail no more.
        """
        self._isDown = False

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        if not self._isDown or not call.isOneOf(self._operations):
            return proceed()
        self._calls += 1
        if self._calls % self._every:
            return proceed()
        if self._answersOnly:
            return proceed().addBoth(lambda _: fail(self._error()))
        return fail(self._error())


class HangingStore(WrappingStore):
    """
    A store that does not answer when the test says so.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self._hold: Deferred[None] | None = None

    def hang(self, *operations: str, answersOnly: bool = False) -> None:
        """
        Hang from now on.  Calls that hang already go on doing so.

        @param operations: Which, by name; all if none is named.
        @param answersOnly: Do what is asked for at once, and hold the answer.
        """
        self._operations = operations
        self._answersOnly = answersOnly
        if self._hold is None:
            self._hold = Deferred()

    def release(self) -> None:
        """
        Hang no more, and let those through that hang, in their order.
        """
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.callback(None)

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        if self._hold is None or not call.isOneOf(self._operations):
            return proceed()
        if self._answersOnly:
            answer = proceed()
            return proceedAfter(self._hold, lambda: answer)
        return proceedAfter(self._hold, proceed)


class DelayingStore(WrappingStore):
    """
    A store that is slow.

    @ivar seconds: How long each operation waits before it begins.
    """

    def __init__(self, store: Any, clock: IReactorTime, seconds: float) -> None:
        super().__init__(store)
        self.seconds = seconds
        self._time = clock

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        return proceedAfter(deferLater(self._time, self.seconds), proceed)


class RecordingStore(WrappingStore):
    """
    A store that notes what it is asked.

    @ivar calls: The calls so far.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.calls: list[Call] = []

    def count(self, *operations: str) -> int:
        """
        How many calls there were of these operations, or of all.
        """
        return sum(call.isOneOf(operations) for call in self.calls)

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        self.calls.append(call)
        return proceed()


@attrs.define(eq=False)
class Gate:
    """
    An operation of a L{GatedStore} that waits.

    @ivar call: What was called.
    """

    call: Call
    _waiting: list[Gate] = attrs.field(repr=False)
    _opened: Deferred[None] = attrs.field(repr=False, factory=Deferred)

    @property
    def name(self) -> str:
        """
        The operation, such as C{"loadSession"}.
        """
        return self.call.name

    def open(self) -> None:
        """
        Let it happen, now.
        """
        self._waiting.remove(self)
        self._opened.callback(None)


class GatedStore(WrappingStore):
    """
    A store whose operations wait for the test, which lets them happen one by
    one, in whichever order it likes.

    @ivar gates: Those that wait, in the order in which they were called.
    """

    def __init__(self, store: Any, *operations: str) -> None:
        """
        @param operations: Which have to wait, by name; all if none is named.
        """
        super().__init__(store)
        self.gates: list[Gate] = []
        self._operations = operations

    @property
    def names(self) -> list[str]:
        """
        The names of the operations that wait.
        """
        return [gate.name for gate in self.gates]

    def open(self, name: str | None = None) -> None:
        """
        Let the operation happen that has waited longest, or the one of that
        name.
        """
        for gate in self.gates:
            if name is None or gate.name == name:
                gate.open()
                return
        raise LookupError(f"no {name or 'operation'} waits; these do: {self.names}")

    def openAll(self) -> None:
        """
        Let happen whatever waits, and what comes to wait because of that.
        """
        while self.gates:
            self.open()

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        if not call.isOneOf(self._operations):
            return proceed()
        gate = Gate(call, self.gates)
        self.gates.append(gate)
        return proceedAfter(gate._opened, proceed)


def proceedAfter(moment: Deferred[None], proceed: Operation) -> Deferred[Any]:
    """
    Do an operation later, also when its caller has given up in the meantime:
    that is what a store does whose server has got the command already.
    """
    answer: Deferred[Any] = Deferred()

    def begin(_: None) -> None:
        maybeDeferred(proceed).chainDeferred(answer)

    moment.addCallback(begin)
    return answer
