"""
How long to wait before the next attempt to connect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

INITIAL: Final = 0.1
"""
The wait after the first failure, in seconds: a server that restarts is back in
about that time.
"""

MAXIMUM: Final = 1.0
"""
The longest wait, in seconds: while a server is down nobody waits for it, so
this is how late its return is noticed.
"""


def delay(failures: int, random: Callable[[], float]) -> float:
    """
    How long to wait after so many failures in a row, in seconds.

    It doubles with each failure.  Up to half of it is taken off at random, so
    that the processes that lost the same server do not come back together.

    @param failures: 1 or more.
    @param random: Gives a number from 0 to 1, such as L{random.random}.
    """
    whole = min(MAXIMUM, INITIAL * 2.0 ** min(failures - 1, 10))
    return whole * (1.0 - random() / 2)
