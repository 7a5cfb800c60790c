"""
The store that is tried, with the server that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .postgres import PostgresServer
from .proxy import Proxy
from .redis import RedisServer

SERVERS: Final[dict[str, Callable[[Path, Any], Any]]] = {
    "redis": RedisServer,
    "postgres": PostgresServer,
}
"""
Those that can be started here, by what C{--store} says.
"""


class Backend:
    """
    A store, and if it is one of ours, its server and the network between.

    @ivar server: C{None}: somebody else's, or a file.
    @ivar proxy: C{None}: none.
    """

    def __init__(self, text: str, directory: Path, reactor: Any) -> None:
        """
        @param text: A name of L{SERVERS}, or a store as C{--store} of C{twistd} has it.
        @param directory: Where the files of its server are.
        """
        make = SERVERS.get(text)
        self._text = text
        self.server = None if make is None else make(directory / text, reactor)
        self.proxy = None if self.server is None else Proxy(reactor, self.server.port)

    @property
    def store(self) -> str:
        """
        For C{--store} of the workers.
        """
        if self.server is not None and self.proxy is not None:
            return str(self.server.store(self.proxy.port))
        return self._text

    async def start(self) -> None:
        """
        Start the server.
        """
        if self.server is not None and self.proxy is not None:
            self.proxy.start()
            await self.server.start()

    async def stop(self) -> None:
        """
        Stop it, and leave nothing behind.
        """
        if self.server is not None and self.proxy is not None:
            await self.proxy.stop()
            await self.server.kill()
            self.server.remove()
