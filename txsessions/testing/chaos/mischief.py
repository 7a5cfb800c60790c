"""
Carries faults out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater

from .fault import (
    DEAFEN,
    DELAY,
    DROP,
    FREEZE_SERVER,
    FREEZE_WORKER,
    KILL_SERVER,
    KILL_WORKER,
    STEP_CLOCK,
    Fault,
)
from .process import PATIENCE, ChaosFailed, Process
from .proxy import Proxy
from .worker import Worker

AGAIN: Final = 0.5
"""
How long it is until something that did not start is started again, in seconds.
"""


@attrs.frozen
class Done:
    """
    A fault that was carried out.

    @ivar start: When, in seconds since the run began.
    @ivar end: When it was over, restarts and all.
    """

    kind: str
    start: float
    end: float


class Mischief:
    """
    What hits the workers, the server and the network.

    @ivar done: What was done.
    """

    def __init__(
        self,
        reactor: Any,
        since: Callable[[], float],
        workers: Sequence[Worker],
        server: Process | None,
        proxy: Proxy | None,
    ) -> None:
        """
        @param since: How long the run goes on, in seconds.
        """
        self._reactor = reactor
        self._since = since
        self._workers = workers
        self._server = server
        self._proxy = proxy
        self.done: list[Done] = []

    async def perform(self, lanes: Sequence[Sequence[Fault]]) -> None:
        """
        Carry out a plan.
        """
        lines = [Deferred.fromCoroutine(self._lane(lane)) for lane in lanes]
        try:
            await gatherResults(lines, consumeErrors=True)
        except FirstError as e:
            e.subFailure.raiseException()

    async def _lane(self, faults: Sequence[Fault]) -> None:
        """
        Carry out some, one after the other.  A restart takes its time, so that they may
        come later than they should.
        """
        for fault in faults:
            await self._rest(fault.start - self._since())
            start = self._since()
            await self._perform(fault)
            self.done.append(Done(fault.kind, start, self._since()))

    async def _perform(self, fault: Fault) -> None:
        """
        Carry out one.
        """
        if fault.kind in (KILL_WORKER, KILL_SERVER):
            target = self._target(fault)
            await target.kill()
            await self._rest(fault.duration)
            await self._restart(target)
        elif fault.kind in (FREEZE_WORKER, FREEZE_SERVER):
            target = self._target(fault)
            target.freeze()
            await self._rest(fault.duration)
            target.thaw()
        elif fault.kind == STEP_CLOCK:
            worker = self._workers[fault.worker]
            worker.setClock(fault.step)
            await self._rest(fault.duration)
            worker.setClock(0.0)
        else:
            assert self._proxy is not None
            await self._disturb(self._proxy, fault)

    async def _restart(self, target: Process) -> None:
        """
        Start something again, as often as it takes: a worker that starts while the store
        is away ends, and whoever watches over it starts it again.

        @raise ChaosFailed: It takes too long.
        """
        end = self._since() + PATIENCE
        while True:
            try:
                return await target.start()
            except ChaosFailed:
                if self._since() > end:
                    raise
            await self._rest(AGAIN)

    async def _disturb(self, proxy: Proxy, fault: Fault) -> None:
        """
        Carry out one that is about the network.
        """
        if fault.kind == DROP:
            proxy.drop()
        elif fault.kind == DELAY:
            proxy.delay = fault.delay
            await self._rest(fault.duration)
            proxy.delay = 0.0
        elif fault.kind == DEAFEN:
            proxy.isDeaf = True
            await self._rest(fault.duration)
            proxy.hear()

    def _target(self, fault: Fault) -> Process:
        """
        Whom it hits.
        """
        if fault.kind in (KILL_WORKER, FREEZE_WORKER):
            return self._workers[fault.worker]
        assert self._server is not None
        return self._server

    async def _rest(self, seconds: float) -> None:
        """
        Let time pass.
        """
        await deferLater(self._reactor, max(0.0, seconds))
