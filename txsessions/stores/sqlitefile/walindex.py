"""
The head of the wal-index, by which the connections to a file in WAL mode learn of each
other's commits: the C{-shm} file, which is the same in the memory of all processes.

See "WAL-mode File Format", 2, U{https://www.sqlite.org/walformat.html}.
"""

from __future__ import annotations

import os
from mmap import MAP_SHARED, PROT_READ, mmap
from struct import Struct, pack
from threading import Lock
from typing import Final

HEAD: Final = Struct("=8xI36x")
"""
What is read of it: the number of the commits so far.  The rest, checksums among it,
changes with each commit as well.
"""

BEGINNING: Final = pack("=I", 3007000)
"""
The version of the format, by which a head begins.  SQLite has had no other.
"""

COUNTED: Final = 2**32
"""
Where the number of the commits begins anew.
"""

_known: dict[tuple[int, int], tuple[int, mmap]] = {}
"""
Those that this process has opened, by device and inode: descriptors, and what they hold.
"""

_opening: Final = Lock()


class WalIndex:
    """
    The wal-index of a database file to which there is a connection.  It can be read in
    any thread.

    @ivar _memory: What it holds.
    """

    __slots__ = ("_memory",)

    def __init__(self, path: str) -> None:
        """
        @param path: Of the database file.
        @raise OSError: It cannot be read.
        @raise ValueError: It is empty.
        """
        self._memory = _mapped(f"{path}-shm")

    def head(self) -> bytes:
        """
        What the head is now.  One that somebody is just changing may come in parts of
        both, and is neither then.
        """
        return self._memory[: HEAD.size]


def areKnown(*heads: bytes) -> bool:
    """
    Whether all of these are heads of the format that is known here.
    """
    return all(head.startswith(BEGINNING) for head in heads)


def commitsBetween(before: bytes, after: bytes) -> int:
    """
    How many commits there were between two heads.
    """
    (first,), (last,) = HEAD.unpack(before), HEAD.unpack(after)
    count: int = (last - first) % COUNTED
    return count


def letGo() -> None:
    """
    Close what is of no use any more.

    That is what has no name any more: whoever had it open last, in any process, has
    removed it.  As long as it has one it stays open, for when anybody in a process
    closes a file, the system drops all locks that the process has on it, and those on
    this one are SQLite's (U{https://www.sqlite.org/howtocorrupt.html}, 2.2).
    """
    with _opening:
        for key, (descriptor, _) in list(_known.items()):
            if os.fstat(descriptor).st_nlink == 0:
                del _known[key]
                os.close(descriptor)


def _mapped(path: str) -> mmap:
    """
    What a file holds.
    """
    with _opening:
        found = os.stat(path)
        key = (found.st_dev, found.st_ino)
        if key not in _known:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            _known[key] = (descriptor, mmap(descriptor, HEAD.size, MAP_SHARED, PROT_READ))
        return _known[key][1]
