"""
What concerns the files of all sessions: to look for what has changed, and to
end what has expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ...errors import SessionError
from ...lifetime import IDLE, deadline, endReason
from ...record import Record
from ..claim import Claim, Ending
from ..index import Index
from .directory import SHARDS, Directory
from .housekeeping import Housekeeping
from .keeper import Keeper
from .shard import Shard, Signature, byShard

SLICE: Final = 0.05
"""
How long one request may take of those that concern all sessions, in seconds;
what is left is done by the next.  So no other request waits much longer.
"""

LEAST: Final = 16
"""
How many shards are worked in before the time counts.  So a slow machine does
no less than this, and a quick one is not held up by it.
"""

LEAST_READ: Final = 256
"""
How many files are read before the time counts, for the same reason.
"""

REST: Final = 10.0
"""
How long to rest, in seconds on the store's clock, before a sweep looks again
for what other processes have stored, or at what it could not lock.
"""

SETTLING: Final = 2_000_000_000
"""
How old a change must be, in nanoseconds, before its time tells it from a later
one: file systems keep time in steps, the coarsest of two seconds.
"""

FORGET: Final = 250
"""
How many ends are forgotten at the most in one request.
"""


class Survey:
    """
    Knows the files of a directory as far as it has looked.  For one thread.

    @ivar _directory: Where the files are.
    @ivar _keeper: What changes them.
    @ivar _index: What is known of them.
    @ivar _housekeeping: What is done now and then, a little at each sweep.
    @ivar _changed: For each shard the time of its last change that has been
        looked at, by the clock of the file system.
    @ivar _listed: For each shard the sessions that had files in it then.
    @ivar _unreadable: For each shard with files that could not be read, why.
    @ivar _position: Which shard a sweep looks into next.
    @ivar _lookedAt: When a sweep began to look, in seconds on the store's
        clock.
    """

    def __init__(
        self, directory: Directory, keeper: Keeper, index: Index, housekeeping: Housekeeping
    ) -> None:
        self._directory = directory
        self._keeper = keeper
        self._index = index
        self._housekeeping = housekeeping
        self._changed: dict[str, int] = {}
        self._listed: dict[str, frozenset[str]] = {}
        self._unreadable: dict[str, SessionError | OSError] = {}
        self._position = len(SHARDS)
        self._lookedAt: float | None = None

    def look(self, position: int) -> int:
        """
        Look for what has changed since the last time, in as many shards as
        can be done in a L{SLICE}.

        @param position: Which shard is the first.
        @return: Which is the next; past the last one when all are done.
        """
        end = time.monotonic() + SLICE
        read = 0
        while position < len(SHARDS) and (read < LEAST_READ or time.monotonic() < end):
            read += self._lookInto(SHARDS[position])
            position += 1
        return position

    def endOld(self, shard: Shard, sids: Iterable[str], moment: float, now: float) -> int:
        """
        End those of the sessions that were last touched at that moment or
        before.

        @param now: The time on the store's clock.
        @return: How many.
        """

        def reasonOf(record: Record) -> str | None:
            return IDLE if record.lastModified <= moment else None

        keeper = self._keeper
        ended = [keeper.quietly(sid, keeper.end, shard, sid, reasonOf, now) for sid in sids]
        return sum(ending is not None for ending in ended)

    def claim(self, limit: int, now: float) -> Claim:
        """
        End what has expired.

        @param now: The time on the store's clock.
        """
        failure = self._lookAgain(now)
        self._housekeeping.step(now)
        self._each(self._index.popForgotten(now, FORGET), self._keeper.forget, now)
        endings: list[Ending] = []

        def end(shard: Shard, sid: str) -> None:
            ending = self._keeper.end(shard, sid, lambda record: endReason(record, now), now)
            if ending is not None:
                endings.append(ending)

        failure = self._each(self._index.popDue(now, limit), end, now) or failure
        if failure is not None and not endings:
            raise failure
        endings.sort(key=lambda ending: deadline(ending.record))
        isLooking = self._position < len(SHARDS)
        return Claim(endings, now if isLooking else self._index.next())

    def _each(
        self, sids: list[str], function: Callable[[Shard, str], object], now: float
    ) -> Exception | None:
        """
        Call a function for each of the sessions, in a L{SLICE}.  Those that
        are not done by then, or could not be done, come up again.

        @return: Why something could not be done.
        """
        failure: Exception | None = None
        end = time.monotonic() + SLICE
        for count, (name, some) in enumerate(byShard(sids)):
            if count >= LEAST and time.monotonic() >= end:
                for sid in some:
                    self._index.again(sid, now)
                continue
            for sid, error in self._eachIn(name, some, function).items():
                self._index.again(sid, now + REST)
                failure = error
        return failure

    def _eachIn(
        self, name: str, sids: list[str], function: Callable[[Shard, str], object]
    ) -> dict[str, Exception]:
        """
        Call a function for each of some sessions of one shard.

        @return: Those for which it could not be done, and why.
        """
        undone: dict[str, Exception] = {}
        try:
            with self._directory.shard(name) as shard:
                for sid in sids:
                    try:
                        self._keeper.quietly(sid, function, shard, sid)
                    except (SessionError, OSError) as e:
                        undone[sid] = e
        except OSError as e:
            undone = dict.fromkeys(sids, e)
        return undone

    def _lookAgain(self, now: float) -> Exception | None:
        """
        Look for what has changed, if it is time to, or go on with it.

        @return: Why a shard could not be looked into.
        """
        isDone = self._position >= len(SHARDS)
        isRested = self._lookedAt is None or not 0 <= now - self._lookedAt < REST
        if isDone and (isRested or self._unreadable):
            self._position, self._lookedAt = 0, now
        self._position = self.look(self._position)
        errors = self._unreadable.values()
        return next((error for error in errors if isinstance(error, OSError)), None)

    def _lookInto(self, name: str) -> int:
        """
        Look for what has changed in one shard.

        @return: How many files were read for that.
        """
        self._unreadable.pop(name, None)
        try:
            with self._directory.shard(name) as shard:
                return self._update(name, shard)
        except (SessionError, OSError) as e:
            self._unreadable[name] = e
            return 0

    def _update(self, name: str, shard: Shard) -> int:
        """
        Read those files of a shard that are not known yet.

        @return: How many.
        @raise StoreUnavailable: One could not be read; all others were.
        """
        read = 0
        changed = shard.changed()
        if self._changed.pop(name, None) != changed:
            files = shard.signatures()
            for sid in self._listed.get(name, frozenset()) - files.keys():
                self._index.drop(sid)
            self._listed[name] = frozenset(files)
            read = self._learn(shard, files)
        if _isSettled(changed):
            self._changed[name] = changed
        return read

    def _learn(self, shard: Shard, files: Mapping[str, Signature]) -> int:
        """
        Read those of the files that are not known yet.

        @return: How many.
        @raise StoreUnavailable: One could not be read; all others were.
        """
        failure: SessionError | None = None
        new = [sid for sid in files if files[sid] != self._index.signature(sid)]
        for sid in new:
            try:
                found = self._keeper.quietly(sid, shard.read, sid)
            except SessionError as e:
                failure = e
            except OSError as e:
                failure = self._directory.explain(e)
            else:
                signature = files[sid]
                isSettled = _isSettled(signature[1])
                self._keeper.note(sid, found, signature if isSettled else None)
        if failure is not None:
            raise failure
        return len(new)


def _isSettled(change: int) -> bool:
    """
    Whether the time of a change tells it from later ones.

    @param change: By the clock of the file system, in nanoseconds.
    """
    return time.time_ns() - change > SETTLING
