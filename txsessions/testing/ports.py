"""
Free ports, for servers that are started for a test and may be stopped and started
again on the same one.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

RANGE: Final = range(20000, 32000)
"""
Where ports are looked for: below those that connections get.
"""


def freePort() -> int:
    """
    A TCP port of the loopback interface at which nobody listens, and which nobody
    else gets from here while this process lives, though its server be down for a
    while.

    @raise OSError: No port is free.
    """
    directory = Path(tempfile.gettempdir(), f"txsessions-ports-{os.getuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    for port in RANGE:
        if port not in _held and _hold(port, directory / str(port)):
            return port
    raise OSError("no port is free")


_held: Final[dict[int, int]] = {}
"""
The ports that this process has got, and the descriptors of the files that it keeps
locked for them as long as it lives.
"""


def _hold(port: int, path: Path) -> bool:
    """
    Get this port, if it is there to be got.
    """
    lock = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    if _isTaken(port):
        os.close(lock)
        return False
    _held[port] = lock
    return True


def _isTaken(port: int) -> bool:
    """
    Whether somebody listens there who has not asked here.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
