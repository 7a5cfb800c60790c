"""
A server that is down is asked by one request at a time, and now and then only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ...errors import StoreUnavailable

SHORTEST: Final = 0.1
"""
How long nobody asks after the first attempt that failed, in seconds: a server
that starts again needs about as long.
"""

LONGEST: Final = 1.0
"""
How long nobody asks at the most, in seconds, and so how late it is noticed that
the server is back.
"""

PROBE: Final = 15.0
"""
After this time without news, in seconds, a further request may ask: the one that
did was given up, or hangs (a name is looked up without a time-out).
"""


class Outage:
    """
    Whether a server is down, and who may ask it when it is.

    L{admits} is for the reactor's thread, all else for that of the connection.

    @ivar _error: Why it is down; C{None} while it is not.
    @ivar _failures: How many attempts have failed in a row.
    @ivar _from: From when on it may be asked, in seconds.
    @ivar _until: Until when somebody is at it, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._error: StoreUnavailable | None = None
        self._failures = 0
        self._from = 0.0
        self._until = 0.0

    def admits(self) -> bool:
        """
        Whether a request may wait for the server.  While it is down, one may
        now and then: whoever gets L{True} then is the one who tries.
        """
        if self._error is None:
            return True
        now = self._monotonic()
        if now < self._from or now < self._until:
            return False
        self._until = now + PROBE
        return True

    def mayTry(self) -> bool:
        """
        Whether an attempt may be made now, rather than to fail as the last one.
        """
        return self._error is None or self._monotonic() >= self._from

    def error(self) -> StoreUnavailable:
        """
        The error for a request that is not admitted.
        """
        error = self._error
        return StoreUnavailable("PostgreSQL is down") if error is None else type(error)(str(error))

    def begin(self, error: StoreUnavailable) -> None:
        """
        An attempt has failed.
        """
        self._from = self._monotonic() + min(LONGEST, SHORTEST * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._until = 0.0
        self._error = error

    def end(self) -> None:
        """
        The server is there.
        """
        self._error = None
        self._failures = 0
        self._until = 0.0
