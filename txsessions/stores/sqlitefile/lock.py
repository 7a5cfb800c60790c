"""
The lock of a database file, which all processes of one host respect.
"""

from __future__ import annotations

import fcntl
import os


class FileLock:
    """
    A lock on a file of its own, beside the file that it protects.

    SQLite's own locks are not enough: its versions 3.7.0 to 3.51.2 can corrupt
    a database in WAL mode when two connections write or checkpoint at the same
    instant.  The file stays where it is when nobody needs it: whoever removes
    it while one process has it open lets a second one lock another file of the
    same name.

    @ivar path: Where the file is.
    @ivar _descriptor: The open file; C{None} until it is needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """
        Take the lock, if it is free.

        @raise BlockingIOError: Somebody else has it.
        @raise OSError: The file cannot be opened.
        """
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """
        Give the lock back.  It is no error not to have it.
        """
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """
        Give the lock back and close the file.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
