"""
Private servers for the benchmarks: a Redis and a PostgreSQL, started from what is
installed, each on a free port with a directory of its own, and ended by their pids.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from machine import onCore

from txsessions.testing.ports import freePort

USER = "postgres"
PATIENCE = 60.0


class Missing(Exception):
    """
    A program is not installed; the text says which.
    """


def until(condition: Callable[[], Any], what: str) -> None:
    """
    Wait until something is so.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {PATIENCE:g} s")
        time.sleep(0.02)


def program(*names: str) -> str:
    """
    The path of the first of these programs that is here.

    @raise Missing: None is.
    """
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    raise Missing(f"{Path(names[-1]).name} is not installed")


class Server:
    """
    A server that runs until it is closed.

    @ivar port: Where it listens, at 127.0.0.1.
    @ivar store: What L{txsessions.stores.openStore} takes.
    """

    store: str

    def __init__(self, core: int) -> None:
        """
        @param core: Where it runs.
        """
        self.port = freePort()
        self._root = Path(tempfile.mkdtemp(prefix="txsessions-benchmark-"))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self._root, ignore_errors=True)
        try:
            self._start(core)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """
        Its first process.
        """
        return self._process.pid

    def _start(self, core: int) -> None:
        """
        Start it, and wait until it answers.
        """
        self._prepare()
        command = [*onCore(core), *self._command()]
        with open(self._root / "output", "wb") as output:
            self._process = subprocess.Popen(command, cwd=self._root, stdout=output, stderr=output)
        self._stack.callback(self._stop)
        until(self._isUp, f"{type(self).__name__} answers")

    def _stop(self) -> None:
        """
        End it in good order.
        """
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE)

    def _isUp(self) -> bool:
        """
        Whether it answers.
        """
        if self._process.poll() is not None:
            lines = (self._root / "output").read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"{type(self).__name__} ended: {lines[-1:]}")
        return self._answers()

    def _prepare(self) -> None:
        """
        Make what it needs.
        """

    def _command(self) -> list[str]:
        """
        The command line.
        """
        raise NotImplementedError

    def _answers(self) -> bool:
        """
        Whether it answers.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """
        Forget everything.
        """
        raise NotImplementedError


class Redis(Server):
    """
    A Redis or Valkey that writes nothing to the disk, as most keep sessions in one.
    """

    @property
    def store(self) -> str:  # type: ignore[override]  # it depends on the port
        return f"redis:host=127.0.0.1:port={self.port}"

    def clear(self) -> None:
        """
        See L{Server.clear}.
        """
        self._ask(b"FLUSHALL")

    def _command(self) -> list[str]:
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        return [program("redis-server", "valkey-server"), *own]

    def _answers(self) -> bool:
        try:
            return self._ask(b"PING") == b"+PONG\r\n"
        except OSError:
            return False

    def _ask(self, command: bytes) -> bytes:
        """
        One command, and its reply.
        """
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(100)


class Postgres(Server):
    """
    A PostgreSQL that has written to the disk what it acknowledges.

    It does not run as root: then it runs as the user C{postgres}.
    """

    @property
    def store(self) -> str:  # type: ignore[override]  # it depends on the port
        return f"postgres:host=127.0.0.1:port={self.port}:user={USER}:dbname={USER}"

    @property
    def address(self) -> str:
        """
        What libpq takes.
        """
        return f"host=127.0.0.1 port={self.port} user={USER} dbname={USER}"

    def clear(self) -> None:
        """
        See L{Server.clear}.
        """
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS txsessions CASCADE")
            connection.execute("DROP TABLE IF EXISTS floor")
            connection.execute("CHECKPOINT")

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self._root, user.pw_uid, user.pw_gid)
        own = ("--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
        command = [*_asUser(), _ofPostgres("initdb"), "--pgdata", self._data, *own, "--no-sync"]
        subprocess.run(command, check=True, cwd=self._root, stdout=subprocess.DEVNULL)

    def _command(self) -> list[str]:
        settings = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._root}",
            "shared_buffers=256MB",
            "max_wal_size=4GB",
            "fsync=on",
            "synchronous_commit=on",
        )
        options = [part for setting in settings for part in ("-c", setting)]
        return [*_asUser(), _ofPostgres("postgres"), "-D", self._data, *options]

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.address, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    @property
    def _data(self) -> str:
        """
        Where its files are.
        """
        return str(self._root / "data")


SERVERS: dict[str, type[Server]] = {"redis": Redis, "postgres": Postgres}


def started(stack: ExitStack, names: set[str], core: int) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Start servers.

    @param stack: Ends them.
    @return: Those that run by name, and why the others do not.
    """
    running, missing = {}, {}
    for name in sorted(names):
        try:
            running[name] = stack.enter_context(SERVERS[name](core))
        except Missing as e:
            missing[name] = str(e)
    return running, missing


def _ofPostgres(name: str) -> str:
    """
    The path of one of PostgreSQL's programs.  Debian keeps them where no C{PATH} leads.
    """
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return program(*map(str, places), name)


def _asUser() -> list[str]:
    """
    What comes before a command that must not run as root.
    """
    if os.geteuid() != 0:
        return []
    return [program("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
