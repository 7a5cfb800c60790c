"""
A private PostgreSQL server for the tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from servers import ServerProcess, findBinary, until

from txsessions.testing.ports import freePort

USER = "postgres"


def findPostgres(name: str) -> str:
    """
    The path of one of PostgreSQL's programs.  Debian keeps them where no
    C{PATH} leads.
    """
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return findBinary(*map(str, places), name)


class PostgresServer(ServerProcess):
    """
    A cluster of its own, and its server.

    PostgreSQL does not run as root: then it runs as the user C{postgres}.

    @ivar port: Where it listens, at 127.0.0.1.
    """

    def __init__(self, *options: str) -> None:
        """
        @param options: Further settings, such as C{"fsync=on"}.
        """
        self._root = Path(tempfile.mkdtemp(prefix="txsessions-postgres-"))
        super().__init__(self._root / "run")
        self.port = freePort()
        self._options = options
        self._make()

    def keywords(self, **others: Any) -> dict[str, Any]:
        """
        What libpq is told to get there.
        """
        own = {"host": "127.0.0.1", "port": self.port, "user": USER, "dbname": "postgres"}
        return {**own, **others}

    async def guard(self, role: str) -> None:
        """
        Let that role in with its password only.
        """

        def isGuarded() -> bool:
            try:
                self.ask("SELECT 1", user=role, password="wrong")
            except psycopg.OperationalError:
                return True
            return False

        rules = self._root / "data" / "pg_hba.conf"
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.ask("SELECT pg_reload_conf()")
        await until(isGuarded, "the server has read its rules")

    def ask(self, text: str, *values: Any, **keywords: Any) -> list[Any]:
        """
        Ask it by another way than that which is tested; its rows.
        """
        with psycopg.connect(**self.keywords(**keywords), autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(text), values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def arguments(self) -> list[str]:
        """
        See L{ServerProcess.arguments}.
        """
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.directory}",
            # What a crash of the server alone may lose is not what fsync is for.
            "fsync=off",
            "max_connections=150",
            "shared_buffers=32MB",
            *self._options,
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        return [*_asUser(), findPostgres("postgres"), "-D", str(self._root / "data"), *options]

    def isReady(self) -> bool:
        """
        See L{ServerProcess.isReady}.
        """
        try:
            self.ask("SELECT 1", connect_timeout=2)
        except psycopg.OperationalError:
            return False
        return True

    async def stop(self, sign: int = signal.SIGINT) -> None:
        """
        End it: as fast as it can in good order, unless told otherwise.
        """
        if self._process is not None:
            family = self.family()
            for pid in family:
                _signal(pid, signal.SIGCONT)
            if sign == signal.SIGKILL:
                for pid in family[1:]:
                    _signal(pid, sign)
            await super().stop(sign)
            # Who is still there holds the shared memory of the cluster.
            await until(lambda: not any(map(_isAlive, family)), "all its processes have ended")

    def freeze(self) -> None:
        """
        Let it hang, with all its processes.
        """
        _signal(self.pid, signal.SIGSTOP)
        for pid in self.family()[1:]:
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        for pid in reversed(self.family()):
            _signal(pid, signal.SIGCONT)

    def family(self) -> list[int]:
        """
        Its processes, its first one first.
        """
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def remove(self) -> None:
        """
        Remove its files.
        """
        shutil.rmtree(self._root, ignore_errors=True)

    def _make(self) -> None:
        """
        Make the cluster.
        """
        initdb = findPostgres("initdb")
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            for directory in (self._root, self.directory):
                os.chown(directory, user.pw_uid, user.pw_gid)
        subprocess.run(
            [
                *(*_asUser(), initdb, "--pgdata", str(self._root / "data")),
                *("--username", USER, "--auth", "trust", "--encoding", "UTF8"),
                *("--locale", "C", "--no-sync"),
            ],
            check=True,
            cwd=self._root,
            stdout=subprocess.DEVNULL,
        )


def _asUser() -> list[str]:
    """
    What comes before a command that must not run as root.
    """
    if os.geteuid() != 0:
        return []
    return [findBinary("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def _signal(pid: int, sign: int) -> None:
    """
    Send a signal, if there is still somebody to get it.
    """
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _isAlive(pid: int) -> bool:
    """
    Whether there is such a process, that has not ended.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
