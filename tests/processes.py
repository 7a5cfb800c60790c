"""
Real processes for tests: started, waited for, and ended by their ids.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

TRIES = 400
"""
How often to look for what a process is to do.
"""

INTERVAL = 0.05
"""
How long to wait between two looks, in seconds.
"""

PATIENCE = 30.0
"""
How long a process may take to end, in seconds.
"""


def script(name: str) -> str:
    """
    The path of a program that is installed beside the interpreter.
    """
    return str(Path(sys.executable).with_name(name))


def waitForPort(port: int) -> None:
    """
    Wait until somebody listens, be it a process that nobody here has started.
    """
    for _ in range(TRIES):
        if isListening(port):
            return
        Event().wait(INTERVAL)
    raise AssertionError(f"nobody listens on port {port}")


def waitForEnd(pid: int) -> None:
    """
    Wait for the end of a process that is not a child.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([descriptor], [], [], PATIENCE)
    os.close(descriptor)
    assert ended, f"process {pid} does not end"


def isListening(port: int) -> bool:
    """
    Whether somebody listens on a TCP port of the loopback interface.
    """
    with socket.socket() as client:
        client.settimeout(PATIENCE)
        return client.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """
    A process that a test has started.  It does not outlive the C{with} block.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """
        @param directory: Where it runs.
        @param environment: What to add to the environment.
        """
        self._paths = [directory / f"{name}.{id(self)}" for name in ("out", "err")]
        with open(self._paths[0], "wb") as out, open(self._paths[1], "wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        if kind is not None:
            print(f"What the process wrote:\n{self.output}{self.errors}")

    @property
    def output(self) -> str:
        """
        What it has written on standard output so far.
        """
        return self._read(0)

    @property
    def errors(self) -> str:
        """
        What it has written on standard error so far.
        """
        return self._read(1)

    def waitForPort(self, port: int) -> None:
        """
        Wait until it listens.
        """
        self._waitUntil(lambda: isListening(port), f"listen on port {port}")

    def waitForOutput(self, text: str) -> None:
        """
        Wait until it has written something on standard output.
        """
        self._waitUntil(lambda: text in self.output, f"write {text!r}")

    def wait(self) -> int:
        """
        Wait for its end.

        @return: The exit status; negative for a signal.
        """
        return self._process.wait(PATIENCE)

    def terminate(self) -> int:
        """
        Ask it to end (SIGTERM), and wait for that.

        @return: As L{wait}.
        """
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """
        Kill it (SIGKILL).
        """
        self._process.kill()
        assert self.wait() == -signal.SIGKILL

    def signal(self, number: int) -> None:
        """
        Send it a signal.
        """
        self._process.send_signal(number)

    def _waitUntil(self, isSo: Callable[[], bool], purpose: str) -> None:
        """
        Look until something is so; once more when the process has ended.
        """
        for _ in range(TRIES):
            hasEnded = self._process.poll() is not None
            if isSo():
                return
            if hasEnded:
                break
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(INTERVAL)
        raise AssertionError(f"it did not {purpose}: {self.output}{self.errors}")

    def _read(self, which: int) -> str:
        """
        All of one of its files.
        """
        return self._paths[which].read_text("utf-8", "replace")


class Visitor:
    """
    A browser without scripts, for a server in another process.
    """

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/"
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies))

    def get(self, path: str = "") -> str:
        """
        The text of a page.
        """
        return self._open(self.base + path)[1]

    def post(self, fields: Mapping[str, str]) -> tuple[int, str]:
        """
        Send a form, and go where that leads.

        @return: The status and the text of the page.
        """
        data = urlencode(fields).encode()
        return self._open(Request(self.base, data))

    def _open(self, what: Any) -> tuple[int, str]:
        """
        Do a request.
        """
        try:
            with self._opener.open(what, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except HTTPError as e:
            with e:
                return e.code, e.read().decode()
