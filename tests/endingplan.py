"""
How sessions are to end in several processes.
"""

from __future__ import annotations

from random import randrange

import attrs

from txsessions.courier import LEASE


@attrs.frozen
class Plan:
    """
    What is to be done.

    @ivar store: As L{backends.backend} has it.
    @ivar window: During which time the sessions expire, in seconds.
    @ivar interval: How often a worker is killed, in seconds.
    @ivar pace: How long it takes at the most to store a session, in seconds.
    @ivar timeout: How long a session lives without a touch, in seconds.
    @ivar lease: For how long a courier takes endings, in seconds.
    @ivar delay: How long the observer takes to hear of one, in seconds.
    @ivar isHasty: Whether couriers are broken.
    """

    store: str
    sessions: int = 10_000
    workers: int = 3
    window: float = 20.0
    interval: float = 2.0
    pace: float = 0.003
    timeout: float = 6.0
    lease: float = LEASE
    delay: float = 0.002
    isHasty: bool = False
    seed: int = attrs.field(factory=lambda: randrange(1_000_000))
