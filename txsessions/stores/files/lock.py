"""
The lock of a directory, which all processes of one host respect.
"""

from __future__ import annotations

import fcntl
import time
from typing import Final

from ...errors import StoreTimedOut

PATIENCE: Final = 2.0
"""
How long to wait for a lock, in seconds.  A process that works holds it for
milliseconds; one that is stopped holds it for as long as it is.
"""

HURRY: Final = 0.05
"""
How long to wait for a lock that could not be had the last time, in seconds:
while one process is stopped, the others are not to be held up again and again.
"""

PAUSE: Final = 0.001
"""
How long to wait before trying again, in seconds.  The system has no lock that
is waited for so long and no longer.
"""


def lockDirectory(descriptor: int, path: str, patience: float = PATIENCE) -> None:
    """
    Lock an open directory against all others.  Closing it, or the end of the
    process, lets the lock go.

    @param path: Where it is, for the text of the error.
    @param patience: How long to wait, in seconds.
    @raise StoreTimedOut: Somebody else has had the lock for too long.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise StoreTimedOut(
                    f"another process has locked {path} for more than {patience:g} seconds"
                ) from None
        time.sleep(PAUSE)
