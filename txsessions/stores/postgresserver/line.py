"""
A line to the server: one thread's connection, made again whenever it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from copy import copy
from typing import Any, TypeAlias, TypeVar

from twisted.python.failure import Failure

from ...errors import SessionError, StoreTimedOut, StoreUnavailable
from .outage import Outage
from .pipeline import Outcome, Pipeline, Rows
from .refusal import advised
from .statement import Unit

T = TypeVar("T")

Steps: TypeAlias = Generator[Unit, list[Rows], T]
"""
What one operation does: it yields units, gets the rows of their statements (or
has the error raised), and returns its result.
"""


class Line:
    """
    Carries out operations, many at once.  For one thread, but L{outage}.

    @ivar outage: Whether the server is down.
    @ivar _connect: Makes a connection.
    @ivar _begin: Gives the steps that come first on a new connection.
    @ivar _refresh: Gives the steps that are due before others on a connection;
        L{None} when none are.
    """

    def __init__(
        self,
        connect: Callable[[], Pipeline],
        begin: Callable[[], Steps[None]],
        refresh: Callable[[], Steps[None] | None],
        outage: Outage,
    ) -> None:
        self.outage = outage
        self._connect = connect
        self._begin = begin
        self._refresh = refresh
        self._pipeline: Pipeline | None = None

    def perform(self, operations: Sequence[Steps[Any]]) -> list[Any]:
        """
        Carry out operations.

        @return: Their results in the same order, a L{Failure} for each that
            has failed.
        """
        try:
            pipeline = self._connected()
        except StoreUnavailable as e:
            for operation in operations:
                operation.close()
            return [Failure(copy(e).with_traceback(None)) for _ in operations]
        results = carryOut(pipeline, operations)
        if isinstance(pipeline.trouble, StoreTimedOut):
            # What waits now is not to wait for a server that hangs.
            self.outage.begin(pipeline.trouble)
        return results

    def finish(self) -> None:
        """
        Close the connection, if there is one.
        """
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def _connected(self) -> Pipeline:
        """
        The connection, ready for operations.

        @raise StoreUnavailable: There is none.
        """
        if not self.outage.mayTry():
            raise self.outage.error()
        try:
            if self._pipeline is None or not self._pipeline.isUsable():
                self._pipeline = self._opened()
            steps = self._refresh()
            if steps is not None:
                _carryOutOne(self._pipeline, steps)
        except StoreUnavailable as e:
            self.finish()
            self.outage.begin(e)
            raise
        self.outage.end()
        return self._pipeline

    def _opened(self) -> Pipeline:
        """
        A new connection.
        """
        pipeline = self._connect()
        try:
            _carryOutOne(pipeline, self._begin())
        except BaseException:
            pipeline.close()
            raise
        return pipeline


def carryOut(pipeline: Pipeline, operations: Sequence[Steps[Any]]) -> list[Any]:
    """
    Carry out operations side by side: the first steps of all in one
    transaction, then the second steps of those that have one, and so on.

    @return: Their results in the same order, a L{Failure} for each that has
        failed.
    """
    results: list[Any] = [None] * len(operations)
    answers: list[tuple[int, Outcome | None]] = [(n, None) for n in range(len(operations))]
    while answers:
        asking: list[tuple[int, Unit]] = []
        for number, answer in answers:
            try:
                asking.append((number, _next(operations[number], answer)))
            except StopIteration as end:
                results[number] = end.value
            except SessionError as e:
                # Its traceback would show what is nobody's business.
                results[number] = Failure(advised(e.with_traceback(None)))
            except Exception:
                results[number] = Failure()
        outcomes = pipeline.run([unit for _, unit in asking]) if asking else []
        answers = [(number, o) for (number, _), o in zip(asking, outcomes, strict=True)]
    return results


def _next(steps: Steps[Any], answer: Outcome | None) -> Unit:
    """
    What an operation asks next, after this answer.

    @raise StopIteration: Nothing; it has come to its end.
    """
    if isinstance(answer, StoreUnavailable):
        return steps.throw(copy(answer))
    return next(steps) if answer is None else steps.send(answer)


def _carryOutOne(pipeline: Pipeline, steps: Steps[T]) -> T:
    """
    Carry out one operation.

    @raise Exception: What it fails with.
    """
    (result,) = carryOut(pipeline, [steps])
    if isinstance(result, Failure):
        result.raiseException()
    outcome: T = result
    return outcome
