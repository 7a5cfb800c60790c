"""
Private servers for the tests: real ones, started from what is on the machine,
each on a free port with a directory of its own, and ended by their pid.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import hiredis
import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater

from txsessions.testing.ports import freePort

PAUSE = 0.02
TRIES = 1000


def findBinary(*names: str) -> str:
    """
    The path of the first of these programs that is here.  Without any the
    test is skipped, but not where everything has to be there.
    """
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    reason = f"none of {', '.join(names)} is installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


async def pause(seconds: float = PAUSE) -> None:
    """
    Let real time pass.
    """
    await deferLater(reactor, seconds)


async def until(condition: Callable[[], Any], what: str, tries: int = TRIES) -> Any:
    """
    Wait for something true, and give it.

    @param condition: Asked again and again; may be asynchronous.
    @param what: What is waited for, for the text of the error.
    """
    began = reactor.seconds()
    for _ in range(tries):
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        if reactor.seconds() - began > tries * PAUSE:
            break
        await pause()
    raise AssertionError(f"{what}: not within {tries * PAUSE:g} s")


class ServerProcess:
    """
    One process of a server.

    @ivar directory: Where it runs; its output is in C{output} there.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        """
        The command line.
        """
        raise NotImplementedError

    def isReady(self) -> bool:
        """
        Whether it answers.
        """
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """
        The process, while there is one.
        """
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        with open(self.directory / "output", "ab") as output:
            self._process = subprocess.Popen(
                self.arguments(), cwd=self.directory, stdout=output, stderr=output
            )
        await until(self._isUp, f"{self.arguments()[0]} in {self.directory} answers")

    async def stop(self, sign: int = signal.SIGTERM) -> None:
        """
        End it, if it runs, and wait until it has ended.
        """
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(sign)
            await until(lambda: process.poll() is not None, f"pid {process.pid} ends")

    async def kill(self) -> None:
        """
        End it as a crash does.
        """
        await self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """
        Let it hang.
        """
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        os.kill(self.pid, signal.SIGCONT)

    def _isUp(self) -> bool:
        """
        Whether it answers; no, at once, when it has ended.
        """
        assert self._process is not None
        if self._process.poll() is not None:
            output = (self.directory / "output").read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.arguments()[0]} ended: {output}")
        return self.isReady()


class RedisServer(ServerProcess):
    """
    A Redis or Valkey server.

    @ivar port: Where it listens, at 127.0.0.1.
    @ivar path: The Unix socket where it listens.
    """

    def __init__(self, directory: Path, *options: str, port: int | None = None) -> None:
        """
        @param options: Further options of its command line.
        """
        super().__init__(directory)
        self.port = freePort() if port is None else port
        self.path = str(directory / "s")
        self._options = options

    def arguments(self) -> list[str]:
        """
        See L{ServerProcess.arguments}.
        """
        own = ("--port", str(self.port), "--unixsocket", self.path, "--save", "", "--bind")
        # A replica is not kept waiting for others.
        own = ("--repl-diskless-sync-delay", "0", *own)
        hosts = ("127.0.0.1", "-::1")
        return [findBinary("redis-server", "valkey-server"), *own, *hosts, *self._options]

    def isReady(self) -> bool:
        """
        See L{ServerProcess.isReady}.
        """
        try:
            return not str(self.ask("PING")).startswith("LOADING")
        except OSError:
            return False

    def ask(self, *command: str | bytes | int) -> Any:
        """
        Give it a command by another way than the client that is tested.
        """
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(hiredis.pack_command(command))
            reader = hiredis.Reader()
            reply: Any = False
            while reply is False:
                data = connection.recv(65536)
                if not data:
                    raise OSError("it hung up")
                reader.feed(data)
                reply = reader.gets()
            return reply

    def facts(self, *command: str) -> dict[str, str]:
        """
        The reply to C{INFO} or C{CLUSTER INFO} by name.
        """
        lines = self.ask(*command).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def calls(self, command: str) -> int:
        """
        How many times it has carried out a command.
        """
        fact = self.facts("INFO", "commandstats").get(f"cmdstat_{command}")
        return 0 if fact is None else int(fact.split(",")[0].partition("=")[2])


class SentinelServer(RedisServer):
    """
    A Sentinel that watches over one master, C{"main"}.
    """

    def __init__(self, directory: Path, master: RedisServer, quorum: int = 1) -> None:
        super().__init__(directory)
        self._configuration = directory / "sentinel.conf"
        self._configuration.write_text(
            f"port {self.port}\n"
            "bind 127.0.0.1\n"
            f"sentinel monitor main 127.0.0.1 {master.port} {quorum}\n"
            "sentinel down-after-milliseconds main 400\n"
            "sentinel failover-timeout main 2000\n"
        )

    def arguments(self) -> list[str]:
        """
        See L{ServerProcess.arguments}.
        """
        binary = findBinary("redis-server", "valkey-server")
        return [binary, str(self._configuration), "--sentinel"]


async def withReplica(run: Any, directory: Path) -> tuple[RedisServer, RedisServer, RedisServer]:
    """
    A master, a replica that follows it, and a Sentinel that knows both.

    @param run: The fixture of that name.
    """
    master = await run(RedisServer(directory / "master"))
    replica = await run(
        RedisServer(directory / "replica", "--replicaof", f"127.0.0.1 {master.port}")
    )

    def follows() -> bool:
        facts = master.facts("INFO", "replication")
        return "state=online" in facts.get("slave0", "")

    await until(follows, "the replica follows")
    sentinel = await run(SentinelServer(directory / "sentinel", master))

    def knows() -> bool:
        words = sentinel.ask("SENTINEL", "MASTER", "main")
        return bool(words[words.index(b"num-slaves") + 1] == b"1")

    await until(knows, "the Sentinel knows the replica")
    return master, replica, sentinel


class RedisCluster:
    """
    A Cluster of some masters.

    @ivar nodes: The servers.
    """

    def __init__(self, directory: Path, *options: str, size: int = 3) -> None:
        self._busPorts = [freePort() for _ in range(size)]
        self.nodes = [
            RedisServer(
                directory / f"node{number}",
                *("--cluster-enabled", "yes", "--cluster-port", str(busPort)),
                *("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"),
                *options,
            )
            for number, busPort in enumerate(self._busPorts)
        ]

    async def start(self) -> None:
        """
        Start the nodes, and wait until all agree on the slots, which they remember.
        """
        for node in self.nodes:
            await node.start()
        if self.nodes[0].facts("CLUSTER", "INFO")["cluster_known_nodes"] == "1":
            self._form()
        await until(self.isWhole, "the nodes of the Cluster agree")

    def _form(self) -> None:
        """
        Give out the slots, and let the nodes meet.
        """
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, end = (16384 * each // len(self.nodes) for each in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._busPorts[number])

    async def kill(self) -> None:
        """
        End the nodes.
        """
        for node in self.nodes:
            await node.kill()

    def isWhole(self) -> bool:
        """
        Whether each node knows where each slot is.
        """
        facts = [node.facts("CLUSTER", "INFO") for node in self.nodes]
        wanted = {"cluster_slots_ok": "16384", "cluster_state": "ok"}
        return all(wanted.items() <= fact.items() for fact in facts)

    def owner(self, slot: int) -> RedisServer:
        """
        The node that has a slot.
        """
        ports = {
            master[1]
            for first, last, master, *_ in self.nodes[0].ask("CLUSTER", "SLOTS")
            if first <= slot <= last
        }
        return next(node for node in self.nodes if node.port in ports)
