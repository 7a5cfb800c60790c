"""
One of the directories that hold the files of sessions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from ...errors import CorruptRecord
from ...record import Record
from ..sid import isSid
from .folder import TEMPORARY, Folder
from .text import MAXIMUM_SIZE, Damaged, End, decode

SUFFIX: Final = ".json"
"""
What follows the C{sid} in the name of a session's file.
"""

Signature = tuple[int, int, int]

Report = Callable[[CorruptRecord], object]

Announce = Callable[[Sequence[tuple[str, str]]], object]

READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def shardOf(sid: str) -> str:
    """
    The name of the shard of a session.
    """
    return sid[:2]


def byShard(sids: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """
    The sessions, shard by shard, in the order in which the locks of shards are
    taken where more than one is needed.
    """
    for name, some in groupby(sorted(sids), shardOf):
        yield name, list(some)


class Shard(Folder):
    """
    A directory of sessions, open.

    @ivar _quarantine: Where damaged files go.
    @ivar _report: Called with the L{CorruptRecord} of a file that was put
        aside.
    @ivar _announce: Called with what was ended, when it is durable.
    @ivar endings: What was ended in here: the C{sid} and the reason of each.
    """

    def __init__(
        self,
        path: str,
        quarantine: str,
        patience: float,
        report: Report,
        announce: Announce | None = None,
    ) -> None:
        """
        @param patience: How long to wait for the lock, in seconds.
        """
        super().__init__(path, patience)
        self._quarantine = quarantine
        self._report = report
        self._announce = announce
        self.endings: list[tuple[str, str]] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self.endings and self._announce is not None:
            self._announce(self.endings)

    def read(self, sid: str) -> Record | End | None:
        """
        What is kept of a session.

        @raise CorruptRecord: What was there has been put into quarantine.
        """
        try:
            return self._read(sid)
        except Damaged:
            self.lock()
        try:
            return self._read(sid)
        except Damaged as e:
            error = CorruptRecord(sid, f"{e}; moved to {self._putAside(sid)}")
        self._report(error)
        raise error

    def write(self, sid: str, text: bytes) -> None:
        """
        Replace a session's file, as L{Folder.replace} does.
        """
        self.replace(sid + SUFFIX, text)

    def remove(self, sid: str) -> None:
        """
        Remove a session's file, if there is one.
        """
        self.unlink(sid + SUFFIX)

    def sweep(self) -> None:
        """
        Remove what a crash left half-written.

        @raise PermissionError: This user may not write here.
        """
        if not os.access(self._path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with suppress(FileNotFoundError):
            os.stat(TEMPORARY, dir_fd=self._descriptor, follow_symlinks=False)
            self.lock()
            self._discardTemporary()

    def sids(self) -> list[str]:
        """
        The sessions that have a file in here.
        """
        return [sid for sid, _ in self._files()]

    def signatures(self) -> dict[str, Signature]:
        """
        For each session that has a file in here, what tells this file from
        one that replaces it: inode, time of change in nanoseconds, size.
        """
        found = {}
        for sid, entry in self._files():
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                found[sid] = (status.st_ino, status.st_ctime_ns, status.st_size)
        return found

    def changed(self) -> int:
        """
        When a file was last put in here, replaced or removed, by the clock of
        the file system in nanoseconds.
        """
        return os.fstat(self._descriptor).st_mtime_ns

    def _files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """
        The files whose names are those of sessions.
        """
        with os.scandir(self._descriptor) as entries:
            for entry in entries:
                sid = entry.name.removesuffix(SUFFIX)
                if sid != entry.name and isSid(sid):
                    yield sid, entry

    def _read(self, sid: str) -> Record | End | None:
        """
        What a session's file says.

        @raise Damaged: Something else is there.
        """
        try:
            descriptor = os.open(sid + SUFFIX, READ, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError:
            if self._isLink(sid):
                raise Damaged("it is a link") from None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAXIMUM_SIZE:
                raise Damaged("it is no file of ours")
            return decode(sid, readAll(descriptor, status.st_size))
        finally:
            os.close(descriptor)

    def _isLink(self, sid: str) -> bool:
        """
        Whether there is a symbolic link in the place of a session's file.
        """
        status = os.stat(sid + SUFFIX, dir_fd=self._descriptor, follow_symlinks=False)
        return stat.S_ISLNK(status.st_mode)

    def _putAside(self, sid: str) -> str:
        """
        Move a damaged file into quarantine.

        @return: Where it is now.
        """
        name = sid + SUFFIX
        inode = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_ino
        target = os.path.join(self._quarantine, f"{sid}.{inode}.damaged")
        os.rename(name, target, src_dir_fd=self._descriptor)
        self._isChanged = True
        return target


def readAll(descriptor: int, size: int) -> bytes:
    """
    What is in a file of that size.
    """
    text = b""
    while piece := os.read(descriptor, size - len(text)):
        text += piece
    return text
