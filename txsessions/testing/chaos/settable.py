"""
A wall clock that somebody else sets, for one process: to set the machine's takes rights
that a test should not have.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Final

from twisted.internet.base import ReactorBase

VARIABLE: Final = "TXSESSIONS_CHAOS_CLOCK"
"""
The environment variable that names the file of the process.
"""

FORMAT: Final = struct.Struct("=d")
"""
What is in the file: by how many seconds the clock is wrong.
"""


def setClock(path: Path, seconds: float) -> None:
    """
    Let the clock of whoever looks into a file be wrong by so many seconds, from now on.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Whoever looks finds all of it at any time, because nothing is truncated.
        os.pwrite(descriptor, FORMAT.pack(seconds), 0)
    finally:
        os.close(descriptor)


def install() -> None:
    """
    Let Python's wall clock and the reactor's in this process be wrong as the file says that
    L{VARIABLE} names.
    """
    descriptor = os.open(os.environ[VARIABLE], os.O_RDONLY)
    right = time.time

    def now() -> float:
        (seconds,) = FORMAT.unpack(os.pread(descriptor, FORMAT.size, 0))
        return right() + float(seconds)

    time.time = now
    ReactorBase.seconds = staticmethod(now)
