"""
Which sessions an owner has: a list in file names, for each owner, under a lock
of their own.

A session is in one of 256 shards, and those of one owner are in many.  So
whoever gives a session an owner says so here before, while it holds the lock of
the owner's bucket, and lets go of that when the session is saved: under that
lock nobody misses a session which somebody else logged in a moment ago.

A bucket is a directory of empty files.  C{digest-sid} says that the session may
have that owner; its record says whether it has.  C{digest.ended.time} says when
all sessions of that owner were ended.  So all of it is done by making and
removing names, and there is nothing that could be damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from ..remembrance import RETENTION
from ..sid import isSid
from .digest import digestOf
from .directory import Directory
from .folder import Folder

FENCE: Final = ".ended."
"""
What is in the name that says when all sessions of an owner were ended.
"""


class Owners:
    """
    The owners of the sessions in a directory.

    @ivar _directory: Where they are.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    @contextmanager
    def locked(self, sessionKey: str) -> Iterator[Owner]:
        """
        An owner, for a context.  In the meantime nobody else gives a session
        this owner.
        """
        digest = digestOf(sessionKey)
        with self._directory.bucket(bucketOf(sessionKey)) as folder:
            folder.lock()
            yield Owner(folder, digest)

    def enter(self, stack: ExitStack, bucket: str, owned: Iterable[tuple[str, str]]) -> None:
        """
        Say that sessions may have owners who are in one bucket.

        @param stack: Keeps others from giving sessions these owners until it is
            closed.  Who enters several buckets does it in their order.
        @param owned: Pairs of an owner and a C{sid}.
        """
        folder = stack.enter_context(self._directory.bucket(bucket))
        folder.lock()
        for sessionKey, sid in owned:
            Owner(folder, digestOf(sessionKey)).add(sid)
        folder.sync()

    def listed(self, bucket: str) -> list[str]:
        """
        All names in a bucket.
        """
        with self._directory.bucket(bucket) as folder:
            return folder.names()

    def tidy(self, bucket: str, names: Iterable[str], isStale: Callable[[str], bool]) -> None:
        """
        Remove those of the names in a bucket that say nothing any more.

        @param isStale: Called with a name, while the bucket is locked.
        """
        with self._directory.bucket(bucket) as folder:
            folder.lock()
            for name in names:
                if isStale(name):
                    folder.unlink(name)


class Owner:
    """
    One owner, in a bucket that is open.

    @ivar _folder: The bucket.
    @ivar _digest: What tells the owner from all others.
    """

    def __init__(self, folder: Folder, digest: str) -> None:
        self._folder = folder
        self._digest = digest

    def sids(self) -> list[str]:
        """
        The sessions that may be this owner's.
        """
        mine = (name for name in self._folder.names() if name.startswith(self._digest))
        return [sid for sid in map(sidIn, mine) if sid is not None]

    def add(self, sid: str) -> None:
        """
        Note that a session may be this owner's.
        """
        self._folder.mark(f"{self._digest}-{sid}")

    def discard(self, sid: str) -> None:
        """
        Note that a session is not this owner's.
        """
        self._folder.unlink(f"{self._digest}-{sid}")

    def endedAt(self, now: float) -> float | None:
        """
        When all sessions of this owner were ended the last time, in seconds on
        the store's clock; C{None} if that was never, or long ago.
        """
        fences = [moment for _, moment in self._fences()]
        return max((each for each in fences if each + RETENTION > now), default=None)

    def endAt(self, moment: float) -> None:
        """
        Note when all sessions of this owner are ended.  Durable when this
        returns.
        """
        old = self._fences()
        self._folder.mark(f"{self._digest}{FENCE}{moment!r}")
        self._folder.sync()
        for name, earlier in old:
            if earlier < moment:
                self._folder.unlink(name)

    def sync(self) -> None:
        """
        Make durable what was noted.
        """
        self._folder.sync()

    def _fences(self) -> list[tuple[str, float]]:
        """
        The names that say when all sessions were ended, and what they say.
        """
        mine = [name for name in self._folder.names() if name.startswith(self._digest)]
        pairs = [(name, fenceIn(name)) for name in mine]
        return [(name, moment) for name, moment in pairs if moment is not None]


def bucketOf(sessionKey: str) -> str:
    """
    The bucket of an owner.
    """
    return digestOf(sessionKey)[:2]


def isOf(name: str, sessionKey: str | None) -> bool:
    """
    Whether a name is about this owner.
    """
    return sessionKey is not None and name.startswith(digestOf(sessionKey))


def sidIn(name: str) -> str | None:
    """
    The session that a name is about; C{None} if it is about none.
    """
    _, separator, sid = name.partition("-")
    return sid if separator and isSid(sid) else None


def fenceIn(name: str) -> float | None:
    """
    The moment that a name is about, in seconds; C{None} if it is about none.
    """
    _, separator, moment = name.partition(FENCE)
    if separator:
        with suppress(ValueError):
            return float(moment)
    return None
