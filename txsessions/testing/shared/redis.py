"""
A Redis that the processes of a scenario share.
"""

from __future__ import annotations

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

    def execute(self, key: Any, *command: Any) -> Deferred[Any]:
        """
        See L{IRedis.execute<txsessions.redis.interfaces.IRedis.execute>}.
        """
        return self._gates.step(
            self._process, lambda: self._client.execute(key, *command), f"{command[0]}"
        )

    def script(self, script: Any, *arguments: Any) -> Deferred[Any]:
        """
        See L{IRedis.script<txsessions.redis.interfaces.IRedis.script>}.  What only
        asks for the time does not wait.
        """
        if script.name == "now":
            return self._client.script(script, *arguments)
        return self._gates.step(
            self._process, lambda: self._client.script(script, *arguments), script.name
        )

    def __getattr__(self, name: str) -> Any:
        """
        Whatever else a client has.
        """
        return getattr(self._client, name)


class SharedRedis(SharedServer):
    """
    A Redis of the tests' own, of which a database is B{emptied} before each run;
    a step is a script or another command.  See L{SharedServer}.
    """

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
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
