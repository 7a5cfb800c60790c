"""
A PostgreSQL that the processes of a scenario share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from ...errors import StoreUnavailable
from ...stores.worker import Worker
from .server import KeptOperations, SharedServer

if TYPE_CHECKING:
    from ..explorer.gates import Gates

EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN
        SELECT tablename FROM pg_tables WHERE schemaname = {schema} AND tablename <> 'version'
    LOOP EXECUTE format('DELETE FROM %I.%I', {schema}, name); END LOOP;
END $$
"""


class GatedLine:
    """
    A line to the server on which each unit is a step.  It stands in for the
    L{Worker} of the line.
    """

    def __init__(self, worker: Worker[Any], process: str, gates: Gates) -> None:
        self.worker = worker
        self._process = process
        self._gates = gates

    def submit(self, operation: Any, outcome: object = None) -> Deferred[Any]:
        """
        See L{Worker.submit}.  It gives a Deferred of its own.
        """
        return Deferred.fromCoroutine(self._carryOut(operation))

    def stop(self) -> Deferred[None]:
        """
        See L{Worker.stop}.
        """
        return self.worker.stop()

    async def _carryOut(self, operation: Any) -> Any:
        """
        Carry out an operation, a unit at a time.
        """
        from ...stores.postgresserver.refusal import advised

        answer: Any = None
        try:
            while True:
                isTrouble = isinstance(answer, StoreUnavailable)
                unit = operation.throw(answer) if isTrouble else operation.send(answer)
                answer = await self._gates.step(self._process, self._proceeding(unit), nameOf(unit))
        except StopIteration as end:
            return end.value
        except StoreUnavailable as e:
            raise advised(e) from None

    def _proceeding(self, unit: Any) -> Callable[[], Deferred[Any]]:
        """
        What does a unit.
        """
        return lambda: self.worker.submit(alone(unit))


def alone(unit: Any) -> Any:
    """
    An operation that consists of one unit.

    @return: The rows, or the exception.
    """
    try:
        return (yield unit)
    except StoreUnavailable as e:
        return e


def nothing() -> Any:
    """
    An operation that does nothing.
    """
    yield from ()


def nameOf(unit: Any) -> str:
    """
    What a unit does.
    """
    names = [getattr(each, "name", b"sql") for each in unit.statements]
    return ", ".join(name.decode() if isinstance(name, bytes) else str(name) for name in names)


class SharedPostgres(SharedServer):
    """
    A PostgreSQL of the tests' own, of which the tables of a schema are
    B{emptied} before each run; a step is a transaction.  See L{SharedServer}.
    """

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
        # It comes with a sweep every now and then, and concerns what ended long ago.
        store._forget = nothing
        crew = store._crew
        crew._workers = [
            GatedLine(getattr(worker, "worker", worker), process, gates) for worker in crew._workers
        ]
        return KeptOperations(store, process, gates)

    async def removeAll(self, store: Any) -> None:
        """
        See L{SharedServer.removeAll}.
        """
        from ...stores.postgresserver.statement import ANY, Command, Unit

        text = EMPTY.format(schema="'{}'".format(store._schema.name.replace("'", "''")))
        await store._crew.ask(ANY, alone(Unit(ANY, [Command(text)])))
