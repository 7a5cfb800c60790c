"""
A directory whose files are only ever replaced as a whole.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, TypeVar

from ...errors import StoreTimedOut
from .lock import lockDirectory

TEMPORARY: Final = "next.tmp"
"""
The one name of a file that is being written.  Only who holds the lock writes,
so that one name is enough and a crash leaves one such file at the most.
"""

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

F = TypeVar("F", bound="Folder")


class Folder:
    """
    A directory, open.  As a context manager, it makes durable what was changed,
    and lets the lock go.

    What is there may be read without a lock: it is old or new.

    @ivar _path: The directory.
    @ivar _patience: How long to wait for the lock, in seconds.
    @ivar _descriptor: The directory, open: what the lock is on.
    @ivar isLocked: Whether all others are kept from changing anything.
    @ivar _isChanged: Whether something is not yet durable.
    @ivar lockFailure: That the lock could not be had; it is waited for once.
    """

    def __init__(self, path: str, patience: float) -> None:
        """
        @param patience: How long to wait for the lock, in seconds.
        """
        self._path = path
        self._patience = patience
        self.isLocked = False
        self._isChanged = False
        self.lockFailure: StoreTimedOut | None = None
        self._descriptor = os.open(path, DIRECTORY)

    def __enter__(self: F) -> F:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.sync()
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

    def sync(self) -> None:
        """
        Make durable what was changed so far.
        """
        if self._isChanged:
            os.fsync(self._descriptor)
            self._isChanged = False

    def names(self) -> list[str]:
        """
        What is in here.
        """
        return os.listdir(self._descriptor)

    def replace(self, name: str, text: bytes) -> None:
        """
        Put a text into the place of a file, if there is one.  Durable at the end
        of the context; when this raises, the old file is as it was and no other
        is left.
        """
        self._put(name, text, self._descriptor)
        self._isChanged = True

    def post(self, name: str, text: bytes, directory: int) -> None:
        """
        Put a text into a file of another directory that is open, by way of this
        one, so that nobody sees a part of it.  Its name is not durable yet.
        """
        self._put(name, text, directory)

    def mark(self, name: str) -> None:
        """
        Make an empty file, unless there is one.  Durable at the end of the
        context.
        """
        assert self.isLocked, "only who holds the lock writes"
        with suppress(FileExistsError):
            os.close(os.open(name, _WRITE, 0o600, dir_fd=self._descriptor))
            self._isChanged = True

    def move(self, name: str, new: str) -> None:
        """
        Give another name to what is in here.  Durable at the end of the context.
        """
        assert self.isLocked, "only who holds the lock moves"
        os.rename(name, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        self._isChanged = True

    def unlink(self, name: str) -> None:
        """
        Remove a file, if there is one.  Durable at the end of the context.
        """
        assert self.isLocked, "only who holds the lock removes"
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)
            self._isChanged = True

    def _put(self, name: str, text: bytes, directory: int) -> None:
        """
        Write a file, and move it to where it belongs.
        """
        assert self.isLocked, "only who holds the lock writes"
        try:
            self._writeTemporary(text)
            os.rename(TEMPORARY, name, src_dir_fd=self._descriptor, dst_dir_fd=directory)
        except BaseException:
            self._discardTemporary()
            raise

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
