"""
A server that is measured: started, asked for its meter, and ended by its id.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from backing import until
from machine import cpu, onCore
from visitors import begin, counted

from txsessions.testing.ports import freePort


class Child:
    """
    The process of a server.

    @ivar port: Where it listens.
    """

    def __init__(
        self, command: Sequence[str], directory: str, isMetered: bool = False, core: int = 0
    ) -> None:
        """
        @param command: C{PORT} stands for the port.
        @param directory: Where it runs.
        @param isMetered: Whether it tells what L{meter} says.
        """
        self.port = freePort()
        words = [each.replace("PORT", str(self.port)) for each in command]
        self._errors = Path(directory, f"errors-{self.port}")
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [*onCore(core), *words],
                cwd=directory,
                stdin=subprocess.PIPE if isMetered else subprocess.DEVNULL,
                stdout=subprocess.PIPE if isMetered else errors,
                stderr=errors,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """
        The process.
        """
        return self._process.pid

    def wait(self, cookie: str | None = None) -> None:
        """
        Wait until it answers.

        @param cookie: That of a session.
        """
        until(lambda: self._answers(cookie), "the server answers")

    def cpu(self) -> float:
        """
        The seconds of processor that it has used.
        """
        return cpu(self.pid)

    def meter(self) -> dict[str, float]:
        """
        What its meter says of the time since it was asked before.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self.line()

    def line(self) -> dict[str, float]:
        """
        The next line that it prints.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._ended())
        return json.loads(line)

    def _ended(self) -> str:
        """
        What it has said before it ended.
        """
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return f"the server has ended: {' / '.join(lines[-3:])}"

    def _answers(self, cookie: str | None) -> bool:
        """
        Whether it answers.
        """
        if self._process.poll() is not None:
            raise RuntimeError(self._ended())
        try:
            if cookie is None:
                begin(self.port, 1, 1)
            else:
                counted(self.port, [cookie])
        except OSError:
            return False
        return True
