"""
A private Redis or Valkey.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from ..ports import freePort
from .process import Process, findProgram


class RedisServer(Process):
    """
    One that has written to the disk what it acknowledges.

    @ivar port: Where it listens, at 127.0.0.1.
    """

    def __init__(self, directory: Path, reactor: Any) -> None:
        super().__init__(directory, reactor)
        self.port = freePort()

    def arguments(self) -> list[str]:
        """
        See L{Process.arguments}.
        """
        return [
            findProgram("redis-server", "valkey-server"),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "always"),
        ]

    def isReady(self) -> bool:
        """
        See L{Process.isReady}.
        """
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    def store(self, port: int) -> str:
        """
        For C{--store}.

        @param port: Where it is reached.
        """
        return f"redis:host=127.0.0.1:port={port}"

    def remove(self) -> None:
        """
        Nothing of it is anywhere else.
        """
