"""
C{twistd txsessions} in a process of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from processes import isListening, script
from servers import ServerProcess

from txsessions.testing.ports import freePort

HERE = Path(__file__).parent

TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:\s.*\n)*")
"""
A traceback in a log of Twisted, in which all lines but the first are indented.
"""


class TwistdServer(ServerProcess):
    """
    Serves L{counting.Counting}.

    @ivar port: Where it listens, at 127.0.0.1.
    """

    def __init__(self, directory: Path, store: str, *options: str) -> None:
        """
        @param store: For C{--store}.
        @param options: Further options of C{twistd txsessions}.
        """
        super().__init__(directory)
        self.port = freePort()
        self._options = ["--store", store, *options]

    def arguments(self) -> list[str]:
        """
        See L{ServerProcess.arguments}.
        """
        # Hundreds of visitors connect at once when it comes back.
        listen = f"tcp:{self.port}:interface=127.0.0.1:backlog=1000"
        return [
            *("env", f"PYTHONPATH={HERE}", script("twistd"), "--nodaemon", "--pidfile="),
            *("txsessions", "--class", "counting.Counting", "--listen", listen),
            *self._options,
        ]

    def isReady(self) -> bool:
        """
        See L{ServerProcess.isReady}.
        """
        return isListening(self.port)

    async def terminate(self) -> int:
        """
        Ask it to end, and wait for that.

        @return: The exit status.
        """
        process = self._process
        assert process is not None
        await self.stop()
        return process.returncode

    def tracebacks(self) -> list[str]:
        """
        The ends of those that it has logged.
        """
        output = (self.directory / "output").read_text(errors="replace")
        return [text[-1000:] for text in TRACEBACK.findall(output)]
