"""
Let one user log in from many places at once, in several processes, and look how many of his
sessions are alive::

    python tests/crowdedlogins.py --store redis
    python tests/crowdedlogins.py --store postgres --logins 1000 --cap 3
    python tests/crowdedlogins.py --store redis --clear

With C{--clear} all of his sessions are ended in the midst of that, while others save.  The status
is 0 when there never were more than the cap, and nothing outlived its end; and 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from backends import BACKENDS, backend
from killed import bound, tell
from postgresserver import PostgresServer
from servers import until
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import react
from twisted.internet.utils import getProcessOutputAndValue

from txsessions import SessionManager
from txsessions.errors import SessionError
from txsessions.stores import openStore

OWNER = "anna"
PROCESSES = 2


@attrs.frozen
class Plan:
    """
    What is to be done.

    @ivar store: As L{backend} has it; or C{"careless."} and the name of a class.
    @ivar logins: How often the user logs in, in all processes.
    @ivar cap: How many sessions he may have.
    @ivar clear: Whether they are all ended meanwhile.
    """

    store: str
    logins: int = 100
    cap: int = 3
    clear: bool = False


async def child(text: str, cap: int, logins: int, path: str) -> None:
    """
    One process: log in many times at once, and save into old sessions.
    """
    manager = SessionManager(openStore(text), maxSessionsPerKey=cap or None)
    old = json.loads(Path(path, "old").read_text())
    Path(path, f"ready-{os.getpid()}").touch()
    await until(lambda: Path(path, "go").exists(), "it begins")
    done: list[str] = []

    async def logIn(number: int) -> None:
        try:
            done.append(await manager.create(OWNER, {"n": number}))
            for each in old[number % 10 :: 10]:
                await manager.update(each, {"late": number})
        except SessionError as e:
            errors.add(type(e).__name__)

    errors: set[str] = set()
    await gatherResults([Deferred.fromCoroutine(logIn(number)) for number in range(logins)])
    await manager.stop()
    print(json.dumps({"done": done, "errors": sorted(errors)}))


class Crowd:
    """
    The processes, and who watches them.

    @ivar most: How many sessions of the user were seen at most.
    @ivar looks: How often somebody looked.
    @ivar troubles: What was wrong.
    """

    def __init__(self, plan: Plan, text: str, directory: Path) -> None:
        self._plan = plan
        self._text = text
        self._directory = directory
        self._manager = SessionManager(openStore(text))
        self.most = 0
        self.looks = 0
        self.troubles: list[str] = []

    async def run(self) -> None:
        """
        Do it.
        """
        manager, plan = self._manager, self._plan
        old = [await manager.create(OWNER, {}) for _ in range(50)] if plan.clear else []
        (self._directory / "old").write_text(json.dumps(old))
        running = [self._start() for _ in range(PROCESSES)]
        ready = self._directory.glob
        await until(lambda: len(list(ready("ready-*"))) == PROCESSES, "the processes are ready")
        (self._directory / "go").touch()
        everything = DeferredList(running, consumeErrors=True)
        if plan.clear:
            await manager.clear(OWNER)
            await self._lookForDead(old, "after the clear")
        while not everything.called:
            await self._look()
        done = [answer for _, answer in await everything]
        await self._look()
        await self._lookForDead(old, "in the end")
        self._judge(done)
        await manager.stop()

    async def _look(self) -> None:
        """
        See how many there are.
        """
        live = len(await self._manager.find(OWNER))
        self.looks += 1
        self.most = max(self.most, live)
        if not self._plan.clear and live > self._plan.cap:
            self.troubles.append(f"{live} sessions at a time")

    async def _lookForDead(self, ids: list[str], when: str) -> None:
        """
        See that what was ended is dead.
        """
        for id in ids:
            if await self._manager.get(id, default=None) is not None:
                self.troubles.append(f"a session lives {when}")

    def _judge(self, done: list[Any]) -> None:
        """
        Look at what the processes say.
        """
        logins = 0
        for out, err, status in done:
            if status or err:
                self.troubles.append(f"a process ended with {status}: {err.decode()[-500:]}")
            else:
                logins += len(json.loads(out)["done"])
        if logins < self._plan.cap:
            self.troubles.append(f"only {logins} of {self._plan.logins} log-ins succeeded")

    def _start(self) -> Deferred[Any]:
        """
        Start a process.
        """
        plan = self._plan
        command = [__file__, "--child", self._text, str(0 if plan.clear else plan.cap)]
        command += [str(plan.logins // PROCESSES), str(self._directory)]
        path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        return getProcessOutputAndValue(sys.executable, command, env={**os.environ, **path})


async def run(
    plan: Plan, directory: Path, tell: Callable[[str], object] = lambda text: None
) -> list[str]:
    """
    Do it.

    @return: What was wrong.
    """
    server, text = backend(plan.store, directory / "store")
    kind, _, path = text.partition(":")
    text = f"{kind}:{directory / path}" if server is None else text
    try:
        if server is not None:
            await server.start()
        crowd = Crowd(plan, text, directory)
        await crowd.run()
        tell(f"looked {crowd.looks} times, saw {crowd.most} sessions at the most")
    finally:
        if server is not None:
            await server.kill()
        if isinstance(server, PostgresServer):
            server.remove()
    return crowd.troubles


async def main(plan: Plan) -> None:
    """
    Do it, and leave with the status.
    """
    with tempfile.TemporaryDirectory() as directory:
        troubles = await run(plan, Path(directory), tell)
    print(f"{PROCESSES} processes on {plan.store}, {plan.logins} log-ins of one user")
    print(*troubles[:20] or [f"log-ins above the cap: {bound(plan.logins)}"], sep="\n")
    sys.exit(1 if troubles else 0)


def parse() -> Plan:
    """
    The plan that the command line says.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--store", default="redis", help=f"{', '.join(BACKENDS)}; or as twistd has it"
    )
    parser.add_argument("--logins", type=int, default=100)
    parser.add_argument("--cap", type=int, default=3)
    parser.add_argument("--clear", action="store_true")
    return Plan(**vars(parser.parse_args()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        store, cap, logins, path = sys.argv[2:]
        react(lambda _: Deferred.fromCoroutine(child(store, int(cap), int(logins), path)))
    else:
        given = parse()
        react(lambda _: Deferred.fromCoroutine(main(given)))
