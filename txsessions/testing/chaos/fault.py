"""
What is done to the workers, the server and the network, and when: all of it from one
seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import attrs

KILL_WORKER: Final = "worker killed"
FREEZE_WORKER: Final = "worker frozen"
STEP_CLOCK: Final = "clock set"
KILL_SERVER: Final = "server killed"
FREEZE_SERVER: Final = "server frozen"
DROP: Final = "connections dropped"
DELAY: Final = "network slow"
DEAFEN: Final = "network silent"

WORKER_FAULTS: Final = (KILL_WORKER, FREEZE_WORKER, STEP_CLOCK)
SERVER_FAULTS: Final = (KILL_SERVER, FREEZE_SERVER, DROP, DELAY, DEAFEN)

GAP: Final = (1.0, 5.0)
"""
How long it is from the end of a fault to the next one, in seconds.
"""

LASTING: Final = {
    KILL_WORKER: (0.0, 1.5),
    FREEZE_WORKER: (0.5, 7.0),
    STEP_CLOCK: (0.5, 5.0),
    KILL_SERVER: (0.0, 3.0),
    FREEZE_SERVER: (0.3, 5.0),
    DROP: (0.0, 0.0),
    DELAY: (0.5, 4.0),
    DEAFEN: (0.5, 5.0),
}
"""
How long each lasts, in seconds.
"""

LATE: Final = (0.02, 0.8)
"""
How much later everything arrives when the network is slow, in seconds.
"""

STEPS: Final = (1.0, 6.4)
"""
By how many seconds a clock is set forward or back, as powers of ten: ten seconds to a
month.
"""


@attrs.frozen
class Fault:
    """
    One of them.

    @ivar start: When, in seconds since the run began.
    @ivar duration: For how long, in seconds; with restarts in addition.
    @ivar worker: Which worker, if it is about one.
    @ivar delay: How late a slow network is, in seconds.
    @ivar step: By how many seconds a clock is set; it is set right again afterwards.
    """

    kind: str
    start: float
    duration: float
    worker: int = 0
    delay: float = 0.0
    step: float = 0.0


def plan(random: Random, seconds: float, workers: int, hasServer: bool) -> list[list[Fault]]:
    """
    The faults of a run.

    @return: Lists of faults, each of which is to be carried out one after the other;
        and all of them at the same time, so that the workers are hit while the server
        is away.
    """
    kinds = [WORKER_FAULTS, SERVER_FAULTS] if hasServer else [WORKER_FAULTS]
    return [_lane(random, each, seconds, workers) for each in kinds]


def _lane(random: Random, kinds: Sequence[str], seconds: float, workers: int) -> list[Fault]:
    """
    Faults of some kinds: each of them once before any comes again, in whatever order.
    """
    faults: list[Fault] = []
    left: list[str] = []
    moment = random.uniform(*GAP)
    while True:
        left = left or random.sample(kinds, len(kinds))
        kind = left.pop()
        duration = random.uniform(*LASTING[kind])
        if moment + duration > seconds:
            return faults
        worker, delay = random.randrange(workers), random.uniform(*LATE)
        step = random.choice((-1, 1)) * 10.0 ** random.uniform(*STEPS)
        faults.append(Fault(kind, moment, duration, worker, delay, step))
        moment += duration + random.uniform(*GAP)
