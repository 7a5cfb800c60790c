"""
Let sessions end in several processes over one store, kill these again and again, and
see that a durable observer is told of every ending::

    python tests/endings.py --store redis
    python tests/endings.py --store postgres --sessions 10000 --workers 3
    python tests/endings.py --store sqlite:sessions.db
    python tests/endings.py --store json:sessions

First the sessions expire while a worker is killed every two seconds and another one
started; then they expire while everything is stopped, and the server of the store
killed; then they are logged out, cleared and evicted while workers are killed.  Each
ending must be told at least once, with what was last in the session and by one
C{eventID}, and none early; and no more of them twice than the killed workers held.  The
status is 0 when that is so, and 1 when not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random, randrange
from typing import Any

import attrs
from accounts import Account, Due
from backends import BACKENDS, backend
from endingplan import Plan
from endingworker import NAME
from killed import SLACK, tell
from postgresserver import PostgresServer
from servers import pause, until
from staff import Staff
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from txsessions import SessionManager
from txsessions.courier import INTERVAL
from txsessions.errors import SessionNotFound, StoreUnavailable
from txsessions.lifetime import EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.patience import PatientStore
from txsessions.record import Change, Record
from txsessions.stores import openStore

TOUCHED = 10
"""
One of so many sessions is touched shortly before its deadline.
"""

MARGIN = 0.3
"""
How long before it, in seconds.
"""

TOGETHER = 16
"""
How much is asked of the store at once.
"""

CAP = 5
"""
How many sessions an owner may have.
"""

PATIENCE = 3
"""
How many leases it may take until something more is told, as long as anything is
missing.
"""


class Trial:
    """
    One run of a plan.

    @ivar plan: What is done.
    @ivar figures: What each part came to.
    @ivar troubles: What was wrong.
    """

    def __init__(
        self, plan: Plan, directory: Path, tell: Callable[[str], object] = lambda text: None
    ) -> None:
        self.plan = plan
        self._directory = directory
        self._tell = tell
        self._random = Random(plan.seed)
        self._server, self._text = backend(plan.store, directory / "store")
        if self._server is None:
            kind, _, path = plan.store.partition(":")
            self._text = f"{kind}:{directory / path}"
        self._staff: Staff | None = None
        self._numbers = 0
        self._store: Any = None
        self._account: Account = None  # type: ignore[assignment]  # each part begins one
        self.figures: dict[str, dict[str, Any]] = {}
        self.troubles: list[str] = []

    async def run(self, parts: Iterable[str] = ("expire", "downtime", "mixed")) -> None:
        """
        Do some of the parts.
        """
        try:
            if self._server is not None:
                await self._server.start()
            await self._open()
            for part in parts:
                await self._do(part)
        finally:
            await self._close()
            if self._staff is not None:
                await self._staff.kill()
            if self._server is not None:
                await self._server.kill()
            if isinstance(self._server, PostgresServer):
                self._server.remove()

    async def _do(self, part: str) -> None:
        """
        Do one part, and look what came of it.
        """
        notebooks = self._directory / part
        notebooks.mkdir()
        staff = self._staff = self._makeStaff(notebooks)
        self._account = Account(notebooks, staff.killed)
        await staff.start()
        await getattr(self, f"_{part}")(staff)
        await self._waitForAll()
        # What nobody has acknowledged would come once more.
        await pause(self.plan.lease + INTERVAL)
        await staff.stop()
        self.troubles += [f"{part}: {text}" for text in self._account.troubles()]
        self.figures[part] = self._account.figures()
        self._tell(f"{part}: {self.figures[part]}")

    async def _waitForAll(self) -> None:
        """
        Wait until everything is told, or nothing more is.
        """
        told, end = -1, 0.0
        while not self._account.isComplete():
            count = len(self._account.lines())
            if count > told:
                told, end = count, time.time() + PATIENCE * self.plan.lease + SLACK
            elif time.time() > end:
                return
            await pause(INTERVAL)

    def _makeStaff(self, notebooks: Path) -> Staff:
        """
        The workers of a part.
        """
        plan = self.plan
        arguments = [f"--lease={plan.lease}", f"--delay={plan.delay}", self._text]
        if plan.isHasty:
            arguments.insert(0, "--hasty")
        return Staff(notebooks, arguments, plan.workers, self._random)

    async def _expire(self, staff: Staff) -> None:
        """
        Sessions expire while workers are killed.
        """
        first, last = await self._populate()
        touching = Deferred.fromCoroutine(self._touch())
        await pause(max(0.0, first - time.time()))
        await staff.killUntil(last + self.plan.timeout, self.plan.interval)
        await touching

    async def _downtime(self, staff: Staff) -> None:
        """
        Sessions expire while everything is stopped.
        """
        _, last = await self._populate()
        await staff.stop()
        if self._server is not None:
            await self._close()
            await self._server.kill()
        await pause(max(0.0, last - time.time()) + 1)
        if self._server is not None:
            await self._server.start()
            await self._open()
        await staff.start()

    async def _mixed(self, staff: Staff) -> None:
        """
        Sessions end in all other ways while workers are killed.
        """
        manager = SessionManager(self._store, reactor, sessionTimeout=3600, maxSessionsPerKey=CAP)
        # What has become of each has to be known, on whatever machine.
        manager.store = PatientStore(manager.store._store, manager.clock, 60.0, 60.0)
        owners = max(2, self.plan.sessions // (2 * CAP))
        end = time.time() + self.plan.window
        killing = Deferred.fromCoroutine(staff.killUntil(end, self.plan.interval))
        pace = self.plan.window * TOGETHER / owners

        async def live(number: int) -> None:
            await self._live(manager, f"owner-{number}")
            await pause(pace * self._random.random())

        await self._each(range(owners), live)
        await killing

    async def _live(self, manager: SessionManager, name: str) -> None:
        """
        All that an owner does: he logs in too often, logs out, and is put out.
        """
        ids = []
        for number in range(2 * CAP):
            n, now = self._number(), time.time()
            id = await manager.create(name, {"n": n})
            reason = EVICTED if number < CAP else LOGOUT if number % 2 else REVOKED
            self._account.due[id[:32]] = Due(reason, n, now)
            if reason == LOGOUT:
                ids.append(id)
        for id in ids:
            await manager.delete(id)
        await manager.clear(name)

    async def _populate(self) -> tuple[float, float]:
        """
        Store the sessions.

        @return: The first and the last deadline.
        """
        plan = self.plan
        first = time.time() + 1 + plan.pace * plan.sessions
        step = plan.window / plan.sessions
        deadlines = [first + number * step for number in range(plan.sessions)]
        await self._each(deadlines, self._begin)
        return first, deadlines[-1]

    async def _begin(self, deadline: float) -> None:
        """
        Store one session, as if it had been used at the right moment.
        """
        sid, n = f"{self._random.getrandbits(128):032x}", self._number()
        timeout = self.plan.timeout
        used = deadline - timeout
        begun = min(used, time.time())
        data = {"data:n": b"%d" % n}
        record = Record(sid, bytes(32), begun, used, timeout, attributes=data)
        assert await self._store.createSession(record)
        self._account.due[sid] = Due(IDLE, n, deadline)

    async def _touch(self) -> None:
        """
        Touch some sessions shortly before they would end.
        """
        for sid, due in list(self._account.due.items())[::TOUCHED]:
            await pause(max(0.0, due.earliest - MARGIN - time.time()))
            now, n = time.time(), self._number()
            change = Change(sid, lastModified=now, set={"data:n": b"%d" % n})
            try:
                await self._store.saveSession(change)
            except SessionNotFound:
                continue
            self._account.due[sid] = Due(IDLE, n, now + self.plan.timeout)

    async def _open(self) -> None:
        """
        Open the store in this process.
        """
        self._store = openStore(self._text, reactor)
        await until(self._isOpen, "the store is open")

    async def _isOpen(self) -> bool:
        """
        Whether the store answers: a Redis loads what it has for a while.
        """
        try:
            await self._store.setup()
            await self._store.enrol(NAME)
        except StoreUnavailable:
            return False
        return True

    async def _close(self) -> None:
        """
        Let go of the store in this process.
        """
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()

    async def _each(self, things: Iterable[Any], do: Callable[[Any], Any]) -> None:
        """
        Do something for each, some at a time.
        """
        left = iter(things)

        async def work() -> None:
            for thing in left:
                await do(thing)

        await gatherResults([Deferred.fromCoroutine(work()) for _ in range(TOGETHER)])

    def _number(self) -> int:
        """
        A number that nothing else has.
        """
        self._numbers += 1
        return self._numbers


def parse() -> Plan:
    """
    The plan that the command line says.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    names = ", ".join(BACKENDS)
    parser.add_argument("--store", default="redis", help=f"{names}; or as twistd has it")
    for name, kind in {"sessions": int, "workers": int, "window": float, "pace": float}.items():
        default = getattr(attrs.fields(Plan), name).default
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--seed", type=int, default=randrange(1_000_000))
    return Plan(**vars(parser.parse_args()))


async def main(plan: Plan) -> None:
    """
    Do it, and leave with the status.
    """
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(plan, Path(directory), tell)
        await trial.run()
    print(f"{plan.store}, {plan.sessions} sessions, {plan.workers} workers, seed {plan.seed}")
    for part, figures in trial.figures.items():
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    print(*trial.troubles[:20], sep="\n")
    sys.exit(1 if trial.troubles else 0)


if __name__ == "__main__":
    given = parse()
    react(lambda _: Deferred.fromCoroutine(main(given)))
