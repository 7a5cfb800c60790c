"""
One of the directories that hold the files of sessions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from ...errors import CorruptRecord, StoreTimedOut
from ...record import Record
from ..sid import isSid
from .lock import lockDirectory
from .text import MAXIMUM_SIZE, Damaged, End, decode

TEMPORARY: Final = "next.tmp"
"""
The one name of a file that is being written.  Only who holds the lock writes,
so that one name is enough and a crash leaves one such file at the most.
"""

SUFFIX: Final = ".json"
"""
What follows the C{sid} in the name of a session's file.
"""

Signature = tuple[int, int, int]

Report = Callable[[CorruptRecord], object]

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def shardOf(sid: str) -> str:
    """
    The name of the shard of a session.
    """
    return sid[:2]


class Shard:
    """
    A directory of sessions, open.  As a context manager, it makes durable what
    was changed, and lets the lock go.

    A file is only ever replaced as a whole: what is there is read without a
    lock, and is old or new.

    @ivar _path: The directory.
    @ivar _quarantine: Where damaged files go.
    @ivar _report: Called with the L{CorruptRecord} of a file that was put
        aside.
    @ivar _descriptor: The directory, open: what the lock is on.
    @ivar isLocked: Whether all others are kept from changing anything.
    @ivar _isChanged: Whether something is not yet durable.
    @ivar lockFailure: That the lock could not be had; it is waited for once.
    """

    def __init__(self, path: str, quarantine: str, patience: float, report: Report) -> None:
        """
        @param patience: How long to wait for the lock, in seconds.
        """
        self._path = path
        self._quarantine = quarantine
        self._patience = patience
        self._report = report
        self.isLocked = False
        self._isChanged = False
        self.lockFailure: StoreTimedOut | None = None
        self._descriptor = os.open(path, _DIRECTORY)

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._isChanged:
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def lock(self) -> None:
        """
        Keep all others from changing what is in here, in all processes, until
        the end of the context.

        @raise StoreTimedOut: Somebody else has had the lock for too long.
        """
        if self.isLocked:
            return
        if self.lockFailure is not None:
            raise self.lockFailure
        try:
            lockDirectory(self._descriptor, self._path, self._patience)
        except StoreTimedOut as e:
            self.lockFailure = e
            raise
        self.isLocked = True

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
        Replace a session's file.  Durable at the end of the context; when this
        raises, the old file is as it was and no other is left.
        """
        assert self.isLocked, "only who holds the lock writes"
        try:
            self._writeTemporary(text)
            os.rename(
                TEMPORARY,
                sid + SUFFIX,
                src_dir_fd=self._descriptor,
                dst_dir_fd=self._descriptor,
            )
        except BaseException:
            self._discardTemporary()
            raise
        self._isChanged = True

    def remove(self, sid: str) -> None:
        """
        Remove a session's file, if there is one.
        """
        assert self.isLocked, "only who holds the lock removes"
        with suppress(FileNotFoundError):
            os.unlink(sid + SUFFIX, dir_fd=self._descriptor)
            self._isChanged = True

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
            descriptor = os.open(sid + SUFFIX, _READ, dir_fd=self._descriptor)
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
            return decode(sid, _readAll(descriptor, status.st_size))
        finally:
            os.close(descriptor)

    def _isLink(self, sid: str) -> bool:
        """
        Whether there is a symbolic link in the place of a session's file.
        """
        status = os.stat(sid + SUFFIX, dir_fd=self._descriptor, follow_symlinks=False)
        return stat.S_ISLNK(status.st_mode)

    def _writeTemporary(self, text: bytes) -> None:
        """
        Write all of the text into the temporary file, and to the disk.
        """
        try:
            descriptor = os.open(TEMPORARY, _WRITE, 0o600, dir_fd=self._descriptor)
        except FileExistsError:
            self._discardTemporary()
            descriptor = os.open(TEMPORARY, _WRITE, 0o600, dir_fd=self._descriptor)
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _discardTemporary(self) -> None:
        """
        Remove what was not written to its end.
        """
        with suppress(OSError):
            os.unlink(TEMPORARY, dir_fd=self._descriptor)

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


def _readAll(descriptor: int, size: int) -> bytes:
    """
    What is in a file of that size.
    """
    text = b""
    while piece := os.read(descriptor, size - len(text)):
        text += piece
    return text
