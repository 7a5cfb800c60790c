"""
What is to be done now and then, a little at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...errors import SessionError
from ...record import Record
from ..index import Index
from ..remembrance import RETENTION
from .directory import SHARDS, Directory
from .journal import Journal
from .keeper import Keeper
from .owners import Owners, fenceIn, isOf, sidIn
from .shard import shardOf

ROUND: Final = 600.0
"""
How long to rest between two rounds, in seconds on the store's clock.
"""

PAGE: Final = 250
"""
How many names are looked into at each step.
"""


class Housekeeping:
    """
    Removes what says nothing any more.  For one thread.

    @ivar _directory: Where the sessions are.
    @ivar _keeper: What reads them.
    @ivar _owners: Where sessions are listed that have ended since.
    @ivar _journal: Where endings are that nobody fetches.
    @ivar _index: What is known of the sessions.
    @ivar _round: What is left to do; C{None} when all is done.
    @ivar _begun: When the last round began, in seconds on the store's clock.
    """

    def __init__(
        self, directory: Directory, keeper: Keeper, owners: Owners, journal: Journal, index: Index
    ) -> None:
        self._directory = directory
        self._keeper = keeper
        self._owners = owners
        self._journal = journal
        self._index = index
        self._round: Iterator[None] | None = None
        self._begun: float | None = None

    def step(self, now: float) -> None:
        """
        Do a little, if there is something to do.  What cannot be done is tried
        in the next round.

        @param now: The time on the store's clock.
        """
        if self._round is None:
            if self._begun is not None and 0 <= now - self._begun < ROUND:
                return
            self._begun = now
            self._round = self._all(now)
        try:
            next(self._round)
        except StopIteration:
            self._round = None
        except (SessionError, OSError):
            self._round = None

    def _all(self, now: float) -> Iterator[None]:
        """
        All there is to do.
        """
        yield from self._journal.tidy(now)
        for bucket in SHARDS:
            names = [name for name in self._owners.listed(bucket) if self._isDoubtful(name)]
            for start in range(0, len(names), PAGE):
                some = names[start : start + PAGE]
                self._owners.tidy(bucket, some, lambda name: self._isStale(name, now))
                yield
            yield

    def _isDoubtful(self, name: str) -> bool:
        """
        Whether a name may say nothing any more, as far as is known without
        reading a file.
        """
        sid = sidIn(name)
        return sid is None or not isOf(name, self._index.ownerOf(sid))

    def _isStale(self, name: str, now: float) -> bool:
        """
        Whether a name says nothing any more.  For who has locked its bucket.
        """
        sid = sidIn(name)
        if sid is None:
            moment = fenceIn(name)
            return moment is not None and moment + RETENTION <= now
        with self._directory.shard(shardOf(sid)) as shard:
            record = self._keeper.quietly(sid, shard.read, sid)
        return not isinstance(record, Record) or not isOf(name, record.sessionKey)
