"""
The directory that holds everything: shards, quarantine, and a file that says
what it is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from ...errors import StoreTimedOut, StoreUnavailable, StoreUnusable
from .folder import Folder
from .lock import HURRY, PATIENCE, lockDirectory
from .shard import Announce, Report, Shard

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""
The names of the shards: a session is in that with the first two digits of its
C{sid}.  So a million sessions are 4000 to a directory.
"""

QUARANTINE: Final = "quarantine"
"""
The name of the directory of damaged files.
"""

OWNERS: Final = "owners"
"""
The name of the directory that says which sessions an owner has, in as many
buckets as there are shards.
"""

JOURNAL: Final = "journal"
"""
The name of the directory of endings that observers have to be told of.
"""

NOTICES: Final = "notices"
"""
The name of the directory of what has ended lately.
"""

LABEL: Final = "store.json"
"""
The name of the file that says what the directory is.
"""

NEW_LABEL: Final = "store.tmp"
"""
The name of that file while it is being written.
"""

FOUND: Final = "lost+found"
"""
The name of what a file system has of its own where a volume is mounted.
"""

FORMAT: Final = 2
"""
The arrangement of directories and names.  In format 1 nothing said which
sessions an owner has.
"""

LABEL_TEXT: Final = b'{"store":"txsessions","format":%d}\n' % FORMAT
"""
What it says.
"""

_ADVICE: Final = {
    errno.EACCES: "this user may not read and write there; change its owner",
    errno.EPERM: "this user may not read and write there; change its owner",
    errno.EROFS: "it is on a file system that may only be read",
    errno.ENOENT: "it, or a directory above it, does not exist",
    errno.ENOTDIR: "it, or one above it, is no directory",
    errno.ELOOP: "it, or a part of it, is a symbolic link",
}
"""
What only somebody can mend, by the system's number.
"""


class Label(msgspec.Struct):
    """
    What the file says that says what the directory is.
    """

    store: str
    format: int


class Directory:
    """
    The directory of a store.

    @ivar path: Where it is, absolute.
    @ivar report: Called with the L{CorruptRecord} of each file that was put
        aside.
    @ivar isOld: Whether it was found to be of format 1.
    @ivar _announce: Called with what was ended, when it is durable.
    @ivar _openShard: Opens a shard: L{Shard}.
    @ivar _stuck: The shards and buckets whose lock could not be had the last
        time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        report: Report,
        announce: Announce | None = None,
        openShard: type[Shard] = Shard,
    ) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.report = report
        self.isOld = False
        self._announce = announce
        self._openShard = openShard
        self._stuck: set[str] = set()

    def join(self, *names: str) -> str:
        """
        The path of what is in here.
        """
        return os.path.join(self.path, *names)

    @contextmanager
    def shard(self, name: str) -> Iterator[Shard]:
        """
        Open a shard for a context.

        @param name: One of L{SHARDS}.
        """
        shard = self._openShard(
            self.join(name),
            self.join(QUARANTINE),
            self._patience(name),
            self.report,
            self._announce,
        )
        with shard, self._watched(name, shard):
            yield shard

    @contextmanager
    def bucket(self, name: str) -> Iterator[Folder]:
        """
        Open a bucket of owners for a context.  Who needs the lock of a bucket
        takes it before that of any shard.

        @param name: One of L{SHARDS}.
        """
        place = os.path.join(OWNERS, name)
        folder = Folder(self.join(place), self._patience(place))
        with folder, self._watched(place, folder):
            yield folder

    def setup(self) -> None:
        """
        Make it ready: what is missing is made, what is there stays, what a
        crash left half-written is removed.

        @raise StoreUnusable: It cannot be the directory of a store.
        """
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
            _sync(os.path.dirname(self.path))
        with self._locked() as descriptor:
            self._refuseForeign(descriptor)
            os.fchmod(descriptor, 0o700)
            self._complete(descriptor)
        for name in SHARDS:
            with self.shard(name) as shard, suppress(StoreTimedOut):
                shard.sweep()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """
        Open it for a context, and keep others from making it ready.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lockDirectory(descriptor, self.path)
            yield descriptor
        finally:
            os.close(descriptor)

    def _patience(self, name: str) -> float:
        """
        How long to wait for a lock, in seconds.
        """
        return HURRY if name in self._stuck else PATIENCE

    @contextmanager
    def _watched(self, name: str, folder: Folder) -> Iterator[None]:
        """
        Note whether a lock could be had.
        """
        try:
            yield
        finally:
            if folder.lockFailure is not None:
                self._stuck.add(name)
            elif folder.isLocked:
                self._stuck.discard(name)

    def renew(self) -> None:
        """
        Say that it is of the present format.
        """
        with self._locked() as descriptor:
            self._writeLabel(descriptor)
        self.isOld = False

    def explain(self, error: OSError) -> StoreUnavailable:
        """
        One line for what the system says.
        """
        advice = _ADVICE.get(error.errno or 0)
        if advice is not None:
            return StoreUnusable(f"the sessions in {self.path} cannot be used: {advice}")
        return StoreUnavailable(
            f"the sessions in {self.path} cannot be reached now: "
            f"{os.strerror(error.errno or errno.EIO)}"
        )

    def _refuseForeign(self, descriptor: int) -> None:
        """
        See that it is ours, or empty.
        """
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise StoreUnusable(
                f"{self.path} belongs to another user; name a directory of this user's own"
            )
        names = set(os.listdir(descriptor)) - {NEW_LABEL, FOUND}
        if LABEL in names:
            self._refuseLabel(descriptor)
        elif names:
            raise StoreUnusable(
                f"{self.path} holds something else already; name a directory that is empty, "
                "or that does not exist yet"
            )

    def _refuseLabel(self, descriptor: int) -> None:
        """
        See that the file which says what the directory is says what it should.
        """
        label = os.open(LABEL, os.O_RDONLY | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            found = msgspec.json.decode(os.read(label, 4096), type=Label)
        except msgspec.MsgspecError:
            found = Label("", 0)
        finally:
            os.close(label)
        if found.store != "txsessions":
            raise StoreUnusable(f"{self.path} is no directory of sessions: see its {LABEL}")
        self.isOld = found.format < FORMAT
        if found.format > FORMAT:
            raise StoreUnusable(
                f"{self.path} was made by a newer version of txsessions; update this one"
            )

    def _complete(self, descriptor: int) -> None:
        """
        Make what is missing.  What says whose directory it is comes first, so
        that a crash leaves nothing that looks foreign.
        """
        names = set(os.listdir(descriptor))
        if LABEL not in names:
            self._writeLabel(descriptor)
        for name in {*SHARDS, QUARANTINE, OWNERS, JOURNAL, NOTICES} - names:
            os.mkdir(name, 0o700, dir_fd=descriptor)
        os.fsync(descriptor)
        missing = {*SHARDS} - set(os.listdir(self.join(OWNERS)))
        for name in missing:
            os.mkdir(self.join(OWNERS, name), 0o700)
        if missing:
            _sync(self.join(OWNERS))

    def _writeLabel(self, descriptor: int) -> None:
        """
        Say what it is.
        """
        with suppress(FileNotFoundError):
            os.unlink(NEW_LABEL, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        label = os.open(NEW_LABEL, flags, 0o600, dir_fd=descriptor)
        try:
            os.write(label, LABEL_TEXT)
            os.fsync(label)
        finally:
            os.close(label)
        os.rename(NEW_LABEL, LABEL, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        os.fsync(descriptor)


def _sync(path: str) -> None:
    """
    Make the names in a directory durable.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
