"""
A whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, gatherResults

from ...courier import BATCH, LEASE
from . import notebook
from .anomaly import Anomaly
from .backend import Backend
from .browser import Browser, Tab
from .client import UNANSWERED, UNSENT, Client
from .endings import checkEndings, missingOf
from .fault import SERVER_FAULTS, WORKER_FAULTS, plan
from .mischief import Mischief
from .process import ChaosFailed, until
from .site import Site
from .worker import Worker

TABS: Final = 4
"""
How many tabs a browser has: so many clients share a session.
"""

PATIENCE: Final = 30.0
"""
How long it may take until everything answers again when the faults are over, in
seconds.
"""

LATEST: Final = 2 * LEASE
"""
How long an ending may take to be told after that, in seconds: what a process held that
was killed is told when the lease has run out.
"""

TRACEBACK: Final = "a worker logged a traceback"
GONE: Final = "a worker has ended"


@attrs.frozen
class Plan:
    """
    What is to be done.

    @ivar store: As L{Backend} has it.
    @ivar seconds: For how long.
    @ivar rate: How many requests all clients together do per second, if they are
        answered at once.
    """

    store: str
    seconds: float
    seed: int
    workers: int = 4
    clients: int = 64
    rate: float = 300.0


class Run:
    """
    A run of a plan.

    @ivar plan: What is done.
    @ivar site: What came of the requests.
    @ivar mischief: What was done to it.
    @ivar told: The endings that the observer was told.
    @ivar anomalies: What was wrong.
    """

    def __init__(self, plan: Plan, directory: Path, reactor: Any) -> None:
        """
        @param directory: Where everything is; has to be there.
        """
        self.plan = plan
        self.anomalies: list[Anomaly] = []
        self.told: list[notebook.Told] = []
        self._reactor = reactor
        self._random = Random(plan.seed)
        self._backend = Backend(plan.store, directory, reactor)
        self._notebooks = directory / "notebooks"
        self._notebooks.mkdir()
        self._directory = directory
        self._workers: list[Worker] = []
        self._browsers: list[Browser] = []
        self._began = reactor.seconds()
        self._isStopped = False
        self.site = Site(reactor, self.since, [], self._random)
        self.mischief = Mischief(reactor, self.since, [], None, None)

    def since(self) -> float:
        """
        How long it goes on, in seconds.
        """
        return float(self._reactor.seconds() - self._began)

    async def run(self, tell: Callable[[str], object] = lambda text: None) -> None:
        """
        Do it.

        @param tell: Called with what is being done.
        @raise ChaosFailed: It could not be done.
        """
        shutdown = self._reactor.addSystemEventTrigger("before", "shutdown", self._abandon)
        try:
            tell("starting")
            await self._start()
            tell("")
            await self._disturb()
            tell("looking at what is left")
            await self._finish()
        finally:
            self._isStopped = True
            for browser in self._browsers:
                browser.close()
            await gatherResults([Deferred.fromCoroutine(each.kill()) for each in self._workers])
            await self._backend.stop()
            self._reactor.removeSystemEventTrigger(shutdown)
        self._judge()

    async def _start(self) -> None:
        """
        Start everything.
        """
        await self._backend.start()
        for number in range(self.plan.workers):
            name = f"worker-{number}"
            place = self._directory / name
            path = self._notebooks / name
            self._workers.append(Worker(place, self._reactor, self._backend.store, path))
        # The first one may have to make tables.
        for worker in self._workers:
            await worker.start()
            await until(self._reactor, partial(self._isReady, worker.port), "a worker")
        self._began = self._reactor.seconds()
        ports = [worker.port for worker in self._workers]
        self.site = Site(self._reactor, self.since, ports, self._random)
        server, proxy = self._backend.server, self._backend.proxy
        self.mischief = Mischief(self._reactor, self.since, self._workers, server, proxy)

    async def _isReady(self, port: int) -> bool:
        """
        Whether a worker and its store answer.
        """
        client = Client(self._reactor, port)
        try:
            return (await client.ask("ready")).status == 200
        except (UNSENT, *UNANSWERED):
            return False
        finally:
            client.close()

    async def _disturb(self) -> None:
        """
        Let clients do requests while faults come.
        """
        plans, rest = self.plan, self.plan.clients / self.plan.rate
        for first in range(0, plans.clients, TABS):
            numbers = range(first, min(first + TABS, plans.clients))
            tabs = [Tab(number, self.site, self._random) for number in numbers]
            self._browsers.append(Browser(tabs, self.site, self._random, rest))
        hasServer = self._backend.server is not None
        lanes = plan(Random(plans.seed), plans.seconds, plans.workers, hasServer)
        using = [Deferred.fromCoroutine(each.use(self._isGoingOn)) for each in self._browsers]
        try:
            await self.mischief.perform(lanes)
        except BaseException:
            self._isStopped = True
            raise
        finally:
            await gatherResults(using, consumeErrors=True)

    async def _finish(self) -> None:
        """
        Look at all sessions, end them, and wait until that was told.
        """
        for worker in self._workers:
            if worker.isReady():
                continue
            self.anomalies.append(Anomaly(GONE, worker.directory.name))
        leaving = [Deferred.fromCoroutine(each.leave(PATIENCE)) for each in self._browsers]
        await gatherResults(leaving, consumeErrors=True)
        self.site.judgeAll()
        # If it takes too long, which ones are missing is for the judge to say.
        with suppress(ChaosFailed):
            await until(self._reactor, self._isAllTold, "all endings are told", LATEST)
        # What was told and could not be confirmed is confirmed by now, or told again.
        for worker in self._workers:
            await worker.stop()

    def _isGoingOn(self) -> bool:
        """
        Whether the clients go on.
        """
        return not self._isStopped and self.since() < self.plan.seconds

    def _isAllTold(self) -> bool:
        """
        Whether each ending that was acknowledged was told.
        """
        return not missingOf(self.site.endings, list(notebook.read(self._notebooks)))

    def _judge(self) -> None:
        """
        Look at what came of it.
        """
        self.told = list(notebook.read(self._notebooks))
        self.anomalies += self.site.anomalies
        site = self.site
        self.anomalies += checkEndings(site.endings, self.told, self._allowed(), site.abandoned)
        for worker in self._workers:
            for text in worker.tracebacks():
                self.anomalies.append(Anomaly(TRACEBACK, f"{worker.directory.name}: {text}"))

    def _allowed(self) -> int:
        """
        How many endings may have been told twice: what a worker held that was hit; and
        what each of them held while the store was away, so that it could not say that it
        had told them.
        """
        kinds = Counter(each.kind for each in self.mischief.done)
        ofWorkers = sum(kinds[kind] for kind in WORKER_FAULTS)
        ofServer = sum(kinds[kind] for kind in SERVER_FAULTS)
        return BATCH * (ofWorkers + self.plan.workers * ofServer)

    def _abandon(self) -> None:
        """
        The reactor stops before the run is over.
        """
        for process in (*self._workers, self._backend.server):
            if process is not None:
                process.abandon()
        if self._backend.server is not None:
            self._backend.server.remove()
