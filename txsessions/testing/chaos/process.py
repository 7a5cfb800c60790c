"""
A process that is started, waited for, frozen, and ended by its id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.task import deferLater

INTERVAL: Final = 0.05
"""
How long to wait between two looks, in seconds.
"""

PATIENCE: Final = 60.0
"""
How long a process may take to answer, or to end, in seconds.
"""


class ChaosFailed(Exception):
    """
    The run cannot go on; the text says why.
    """


class Process:
    """
    A process that can be hit.

    @ivar directory: What it writes is in C{output} there.
    @ivar place: Where it runs; there as well, unless somebody says something else.
    """

    def __init__(self, directory: Path, reactor: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = self.place = directory
        self._reactor = reactor
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        """
        The command line.
        """
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """
        What to add to the environment.
        """
        return {}

    def isReady(self) -> bool:
        """
        Whether it answers.
        """
        raise NotImplementedError

    def pids(self) -> list[int]:
        """
        Its processes, the first one first; none if it does not run.
        """
        return [] if self._process is None else [self._process.pid]

    async def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        with open(self.directory / "output", "ab") as output:
            self._process = subprocess.Popen(
                self.arguments(),
                cwd=self.place,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await until(self._reactor, self._isUp, f"{self.directory.name} answers")

    async def stop(self, sign: int = signal.SIGTERM) -> None:
        """
        End it, if it runs, and wait until it has ended.
        """
        process = self._process
        if process is None:
            return
        self.thaw()
        _send(process.pid, sign)
        await until(
            self._reactor, lambda: process.poll() is not None, f"{self.directory.name} ends"
        )
        self._process = None

    async def kill(self) -> None:
        """
        End it as a crash does.
        """
        await self.stop(signal.SIGKILL)

    def abandon(self) -> None:
        """
        End it without waiting for that.
        """
        for pid in reversed(self.pids()):
            _send(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """
        Let it stand still.
        """
        for pid in self.pids():
            _send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        for pid in reversed(self.pids()):
            _send(pid, signal.SIGCONT)

    def written(self) -> str:
        """
        What it has written so far, all its lives.
        """
        path = self.directory / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def _isUp(self) -> bool:
        """
        Whether it answers; no, at once, when it has ended.
        """
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            lines = self.written().strip().splitlines()
            raise ChaosFailed(f"{self.directory.name} ended: {lines[-1] if lines else 'silently'}")
        return self.isReady()


async def until(
    reactor: Any, condition: Callable[[], Any], what: str, patience: float = PATIENCE
) -> None:
    """
    Wait until something is so.

    @param condition: Asked again and again; may be asynchronous.
    @param what: What is waited for.
    @raise ChaosFailed: It takes too long.
    """
    end = reactor.seconds() + patience
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return
        if reactor.seconds() > end:
            raise ChaosFailed(f"{what}: not within {patience:g} s")
        await deferLater(reactor, INTERVAL)


def isListening(port: int) -> bool:
    """
    Whether somebody listens at a port of the loopback interface.
    """
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def findProgram(*names: str) -> str:
    """
    The path of the first of these programs that is installed.

    @raise ChaosFailed: None is.
    """
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ChaosFailed(f"none of these programs is installed: {', '.join(names)}")


def _send(pid: int, sign: int) -> None:
    """
    Send a signal, if there is still somebody to get it.
    """
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return
