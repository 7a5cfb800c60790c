"""
A private PostgreSQL.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ..ports import freePort
from .process import ChaosFailed, Process, findProgram, until

USER: Final = "postgres"


class PostgresServer(Process):
    """
    A cluster of its own, and its server, which has written to the disk what it
    acknowledges.

    PostgreSQL does not run as root: then it runs as the user C{postgres}.

    @ivar port: Where it listens, at 127.0.0.1.
    """

    def __init__(self, directory: Path, reactor: Any) -> None:
        if find_spec("psycopg") is None:
            raise ChaosFailed("psycopg is not installed: the extra [postgres] brings it")
        # Where its own user may go, which no directory of root's is.
        self._root = Path(tempfile.mkdtemp(prefix="txsessions-chaos-"))
        super().__init__(self._root / "postgres", reactor)
        self.port = freePort()
        self._make()

    def arguments(self) -> list[str]:
        """
        See L{Process.arguments}.
        """
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.directory}",
            "max_connections=100",
            "shared_buffers=32MB",
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        data = str(self._root / "data")
        return [*_asUser(), _find("postgres"), "-D", data, *options]

    def isReady(self) -> bool:
        """
        See L{Process.isReady}.
        """
        import psycopg

        try:
            with psycopg.connect(
                host="127.0.0.1", port=self.port, user=USER, dbname=USER, connect_timeout=2
            ):
                return True
        except psycopg.OperationalError:
            return False

    def pids(self) -> list[int]:
        """
        See L{Process.pids}.
        """
        own = super().pids()
        for pid in own:
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                return own
            return [pid, *map(int, children)]
        return own

    async def stop(self, sign: int = signal.SIGINT) -> None:
        """
        End it: as fast as it can in good order, unless told otherwise.
        """
        family = self.pids()
        if sign == signal.SIGKILL:
            self.abandon()
        await super().stop(sign)
        # Who is still there holds the shared memory of the cluster.
        await until(self._reactor, lambda: not any(map(_isAlive, family)), "postgres has ended")

    def store(self, port: int) -> str:
        """
        For C{--store}.

        @param port: Where it is reached.
        """
        return f"postgres:host=127.0.0.1:port={port}:user={USER}:dbname={USER}"

    def remove(self) -> None:
        """
        Remove its files.
        """
        shutil.rmtree(self._root, ignore_errors=True)

    def _make(self) -> None:
        """
        Make the cluster.
        """
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            for directory in (self._root, self.directory):
                os.chown(directory, user.pw_uid, user.pw_gid)
        made = subprocess.run(
            [
                *(*_asUser(), _find("initdb"), "--pgdata", str(self._root / "data")),
                *("--username", USER, "--auth", "trust", "--encoding", "UTF8"),
                *("--locale", "C", "--no-sync"),
            ],
            check=False,
            cwd=self._root,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            self.remove()
            raise ChaosFailed(f"initdb: {made.stderr.strip().splitlines()[-1]}")


def _find(name: str) -> str:
    """
    The path of one of PostgreSQL's programs.  Debian keeps them where no C{PATH}
    leads.
    """
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return findProgram(*map(str, places), name)


def _asUser() -> list[str]:
    """
    What comes before a command that must not run as root.
    """
    if os.geteuid() != 0:
        return []
    return [findProgram("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def _isAlive(pid: int) -> bool:
    """
    Whether there is such a process, that has not ended.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
