"""
A worker of the site: C{twistd txsessions} in a process of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..ports import freePort
from . import settable
from .pages import VARIABLE, Pages
from .process import Process, isListening

TWISTD: Final = (
    f"from {settable.__name__} import install; install(); "
    "from twisted.scripts.twistd import run; run()"
)
"""
C{twistd} with a clock that can be set.
"""

TIMEOUT: Final = "12h"
"""
How long a session lives without a request: longer than a run.
"""

TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):\n(?:\s.*\n)*.*")
"""
A traceback in a log of Twisted, in which all lines but the first are indented.
"""


class Worker(Process):
    """
    Serves L{Pages}.

    @ivar port: Where it listens, at 127.0.0.1.
    """

    def __init__(self, directory: Path, reactor: Any, store: str, notebook: Path) -> None:
        """
        @param store: For C{--store}.
        @param notebook: Where the observer writes.
        """
        super().__init__(directory, reactor)
        self.port = freePort()
        # A path in the text of the store is the same for all of them.
        self.place = directory.parent
        self._store = store
        self._notebook = notebook
        self._clock = directory / "clock"
        self.setClock(0.0)

    def arguments(self) -> list[str]:
        """
        See L{Process.arguments}.
        """
        # All clients connect at once when it comes back.
        listen = f"tcp:{self.port}:interface=127.0.0.1:backlog=1000"
        return [
            *(sys.executable, "-c", TWISTD, "--nodaemon", "--pidfile=", "txsessions", "--shared"),
            *("--class", f"{Pages.__module__}.{Pages.__name__}", "--listen", listen),
            *("--store", self._store, "--timeout", TIMEOUT),
        ]

    def environment(self) -> Mapping[str, str]:
        """
        See L{Process.environment}.
        """
        return {VARIABLE: str(self._notebook), settable.VARIABLE: str(self._clock.resolve())}

    def setClock(self, seconds: float) -> None:
        """
        Let its wall clock be wrong by so many seconds.
        """
        settable.setClock(self._clock, seconds)

    def isReady(self) -> bool:
        """
        See L{Process.isReady}.
        """
        return isListening(self.port)

    def tracebacks(self) -> list[str]:
        """
        Those that it has logged.
        """
        return TRACEBACK.findall(self.written())
