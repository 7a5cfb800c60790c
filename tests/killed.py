"""
Kill a web server, or the server of its store, under load, again and again, and see
that what was acknowledged is there::

    python tests/killed.py --store sqlite:sessions.db --kills 20
    python tests/killed.py --store redis --kill store
    python tests/killed.py --store postgres --kill store --freeze
    python tests/killed.py --store sqlite:sessions.db --terminate --rate 500

Visitors with a connection each write into the sessions that they share, by
C{session.data} and by C{session.modify}, and note what they were told.  After each
fault, and at the end, every write that was acknowledged must be there; and no
answer to a cookie may bring a new one.  The status is 0 when that is so, and 1 when
not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random, randrange

import attrs
from backends import BACKENDS, backend
from crowd import Crowd
from postgresserver import PostgresServer
from servers import ServerProcess, pause, until
from twistdserver import TwistdServer
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.draining import GRACE

LONGEST_DOWN = 1.0
"""
How long a killed server is away at the most, in seconds.
"""

SLACK = 2.0
"""
How long a process may take to end besides waiting for its requests, in seconds.
"""


@attrs.frozen
class Plan:
    """
    What is to be done.

    @ivar store: As L{backend} has it.
    @ivar target: C{"web"} or C{"store"}: who is hit.
    @ivar fault: C{"kill"}, C{"freeze"} or C{"terminate"}: how.
    @ivar kills: How often.
    @ivar rate: How many requests come per second; C{None}: as many as can.
    @ivar longest: How long the load runs before a fault at the most, in
        seconds.
    @ivar frozen: How long a frozen process stands still, in seconds.
    """

    store: str
    target: str = "web"
    fault: str = "kill"
    kills: int = 20
    sessions: int = 50
    visitors: int = 500
    rate: float | None = None
    longest: float = 1.5
    frozen: float = 5.0
    seed: int = attrs.field(factory=lambda: randrange(1_000_000))


class Trial:
    """
    One run of a plan.

    @ivar crowd: The visitors.
    @ivar slowestEnd: The longest time that a process took to end when it was
        asked to, in seconds.
    """

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._random = Random(plan.seed)
        self._store, text = backend(plan.store, directory / "store")
        self._web = TwistdServer(directory / "web", text)
        self._target = self._web if plan.target == "web" else self._store
        self.crowd = Crowd(self._web.port, plan.sessions, plan.visitors, plan.rate, self._random)
        self.slowestEnd = 0.0

    @property
    def troubles(self) -> list[str]:
        """
        What was wrong.
        """
        return self.crowd.account.troubles

    async def run(self, tell: Callable[[str], object] = lambda text: None) -> None:
        """
        Do it.

        @param tell: Called with a line of progress.
        """
        try:
            if self._store is not None:
                await self._store.start()
            await self._web.start()
            await self.crowd.begin()
            for number in range(self._plan.kills):
                await self._round()
                tell(f"{number + 1} of {self._plan.kills}: {summary(self)}")
        finally:
            self.crowd.leave()
            await self._web.kill()
            if self._store is not None:
                await self._store.kill()
            if isinstance(self._store, PostgresServer):
                self._store.remove()
        self._judge()

    async def _round(self) -> None:
        """
        One fault under load, and one look at what it left.
        """
        crowd = self.crowd
        crowd.start()
        await pause(self._random.uniform(0.05, self._plan.longest))
        await getattr(self, f"_{self._plan.fault}")(self._target)
        await until(crowd.isWelcome, "requests are answered again")
        await crowd.stop()
        await crowd.compare()

    async def _kill(self, server: ServerProcess) -> None:
        """
        Kill it, and start it again.
        """
        await server.kill()
        await pause(self._random.uniform(0, LONGEST_DOWN))
        await server.start()

    async def _freeze(self, server: ServerProcess) -> None:
        """
        Let it stand still for a while.
        """
        server.freeze()
        await pause(self._plan.frozen)
        server.thaw()

    async def _terminate(self, server: TwistdServer) -> None:
        """
        Ask it to end, and start it again.
        """
        start = reactor.seconds()
        status = await server.terminate()
        took = reactor.seconds() - start
        self.slowestEnd = max(self.slowestEnd, took)
        # twistd ends in good order by the signal that it was sent.
        if status != -signal.SIGTERM:
            self.troubles.append(f"it ended with status {status}")
        if took > GRACE + SLACK:
            self.troubles.append(f"it took {took:.1f} s to end")
        await server.start()

    def _judge(self) -> None:
        """
        Look at what must not happen at all.
        """
        for text in self._web.tracebacks():
            self.troubles.append(f"the web server logged a traceback: {text}")
        if self._plan.target == "store" and self.crowd.account.unknown:
            self.troubles.append(f"{self.crowd.account.unknown} connections were lost")


def summary(trial: Trial) -> str:
    """
    The figures in one line.
    """
    account = trial.crowd.account
    return (
        f"{account.acknowledged} acknowledged, {account.refused} refused, "
        f"{account.unknown} unknown, {len(account.troubles)} troubles"
    )


def bound(count: int) -> str:
    """
    What none of so many says of all.
    """
    return f"0 of {count} (95 % upper bound {300 / max(count, 1):.2g} %)"


def report(plan: Plan, trial: Trial) -> None:
    """
    Print what was found.
    """
    account = trial.crowd.account
    print(
        f"{plan.store}, {plan.target}, {plan.fault} {plan.kills} times, {plan.visitors} visitors, "
        f"{plan.sessions} sessions, seed {plan.seed}"
    )
    print(f"{summary(trial)}; slowest answer {account.slowest:.2f} s")
    if plan.fault == "terminate":
        print(f"slowest end {trial.slowestEnd:.2f} s")
    if trial.troubles:
        print(*trial.troubles[:20], sep="\n")
    else:
        print(f"acknowledged writes lost: {bound(trial.crowd.compared)}")
        print(f"cookies answered by another session: {bound(account.withCookie)}")


def parse() -> Plan:
    """
    The plan that the command line says.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    names = ", ".join(BACKENDS)
    parser.add_argument(
        "--store", default="sqlite:sessions.db", help=f"as twistd has it; or {names}"
    )
    parser.add_argument("--kill", choices=["web", "store"], default="web", dest="target")
    fault = parser.add_mutually_exclusive_group()
    for name, help in {
        "freeze": "let it stand still for five seconds (SIGSTOP), and do not kill it",
        "terminate": "ask it to end (SIGTERM), and do not kill it",
    }.items():
        fault.add_argument(f"--{name}", dest="fault", action="store_const", const=name, help=help)
    fields = attrs.fields(Plan)
    for name, kind in {"kills": int, "sessions": int, "visitors": int, "rate": float}.items():
        parser.add_argument(f"--{name}", type=kind, default=getattr(fields, name).default)
    parser.add_argument("--seed", type=int, default=randrange(1_000_000))
    parser.set_defaults(fault="kill")
    plan = Plan(**vars(parser.parse_args()))
    if plan.target == "store" and plan.store not in BACKENDS:
        parser.error(f"only {names} have a server that can be killed")
    if plan.target == "store" and plan.fault == "terminate":
        parser.error("only a web server is asked to end")
    return plan


def tell(text: str) -> None:
    """
    A line of progress.
    """
    begin, end = ("\r", "") if sys.stderr.isatty() else ("", "\n")
    print(f"{begin}{text}", end=end, file=sys.stderr, flush=True)


async def main(plan: Plan) -> None:
    """
    Do it, and leave with the status.
    """
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(plan, Path(directory))
        await trial.run(tell)
    report(plan, trial)
    raise SystemExit(1 if trial.troubles else 0)


if __name__ == "__main__":
    given = parse()
    react(lambda _: Deferred.fromCoroutine(main(given)))
