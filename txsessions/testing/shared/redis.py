"""
A Redis that the processes of a scenario share.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from .server import KeptOperations, SharedServer

if TYPE_CHECKING:
    from ..explorer.gates import Gates


class GatedRedis:
    """
    A client of which each command, and each script, is a step.
    """

    def __init__(self, client: Any, process: str, gates: Gates) -> None:
        self._client = client
        self._process = process
        self._gates = gates

    def execute(self, key: Any, *command: Any, **options: Any) -> Deferred[Any]:
        """
        See L{IRedis.execute<txsessions.redis.interfaces.IRedis.execute>}.
        """
        return self._gates.step(
            self._process, lambda: self._client.execute(key, *command, **options), f"{command[0]}"
        )

    def script(self, script: Any, *arguments: Any, **options: Any) -> Deferred[Any]:
        """
        See L{IRedis.script<txsessions.redis.interfaces.IRedis.script>}.  What only
        asks for the time does not wait.
        """
        if script.name == "now":
            return self._client.script(script, *arguments, **options)
        return self._gates.step(
            self._process, lambda: self._client.script(script, *arguments, **options), script.name
        )

    def __getattr__(self, name: str) -> Any:
        """
        Whatever else a client has.
        """
        return getattr(self._client, name)


class Pausing:
    """
    Stands in for the reactor of a log-in that waits in line: its pauses end when
    others have done something.
    """

    def __init__(self, reactor: Any, process: str, gates: Gates) -> None:
        self._reactor = reactor
        self._process = process
        self._gates = gates

    def seconds(self) -> float:
        """
        See L{IReactorTime.seconds<twisted.internet.interfaces.IReactorTime>}.
        """
        seconds: float = self._reactor.seconds()
        return seconds

    def callLater(self, delay: float, function: Callable[..., object], *arguments: Any) -> Any:
        """
        See L{IReactorTime.callLater<twisted.internet.interfaces.IReactorTime>}.
        """
        if self._gates.isOpen:
            return self._reactor.callLater(delay, function, *arguments)
        return self._gates.pause(self._process, partial(function, *arguments))


class SharedRedis(SharedServer):
    """
    A Redis of the tests' own, of which a database is B{emptied} before each run;
    a step is a script or another command.  See L{SharedServer}.
    """

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
        admission = type(store)._admission

        def admit(client: Any) -> Any:
            made = admission(store, client)
            made._reactor = Pausing(made._reactor, process, gates)
            return made

        store._admission = admit
        handle = store._handle
        connect = store._connect
        handle._connect = lambda: GatedRedis(connect(), process, gates)
        if isinstance(handle._client, GatedRedis):
            handle._client = GatedRedis(handle._client._client, process, gates)
        return KeptOperations(store, process, gates)

    async def removeAll(self, store: Any) -> None:
        """
        See L{SharedServer.removeAll}.
        """
        await store._handle.perform(lambda client: client.everywhere("FLUSHDB"))
