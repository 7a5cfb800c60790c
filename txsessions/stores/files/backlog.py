"""
The entries of the journal that one observer has not acknowledged yet.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from heapq import nsmallest
from itertools import chain
from typing import Final

from ...errors import CorruptRecord, SessionError
from .. import journal
from ..journal import JournalEntry
from .directory import JOURNAL, QUARANTINE, Directory
from .entry import EntryName, decodeEntry, isFree, isLeftover, parseEventID, parseName
from .folder import DIRECTORY
from .shard import READ, readAll, shardOf
from .text import Damaged

PLACES: Final = tuple("0123456789abcdef")
"""
The names of the directories of an observer: an entry is in that with the first
digit of its C{sid}.  So to look through them all is quick, and none has more
than 62,500 files.
"""

FRESH: Final = "-0-0.json"
"""
How the name of an entry ends that nobody was given yet.
"""

QUEUE: Final = 5000
"""
How many names are remembered when there are more.
"""

FEW: Final = 1000
"""
With fewer names than that, all entries are looked at again: that is quick, and
then the oldest come first for sure.
"""

AT_ONCE: Final = 1000
"""
How many entries are dropped in one request.
"""

SLICE: Final = 0.05
"""
How long one request may take, in seconds; see L{txsessions.stores.files.survey}.
"""

LEAST: Final = 100
"""
How many entries are given out before the time counts.
"""


class Backlog:
    """
    What one observer still has to be told of.  For one thread.

    @ivar _directory: The directory of the store.
    @ivar _observer: The name of the observer's directory.
    @ivar _tell: Called with that name and how many endings were dropped.
    @ivar _queue: Names of entries that may be given out, the oldest first.
    @ivar _given: For each C{eventID} the name of the entry that was given out.
    @ivar _position: Which of the L{PLACES} is looked into next.
    @ivar _found: The oldest names in those that have been looked into.
    @ivar _count: How many entries are in those.
    @ivar _dropped: How many were too many the last time.
    """

    def __init__(
        self, directory: Directory, observer: str, tell: Callable[[str, int], object]
    ) -> None:
        self._directory = directory
        self._observer = observer
        self._tell = tell
        self._queue: deque[str] = deque()
        self._given: dict[str, str] = {}
        self._position = 0
        self._found: list[str] = []
        self._count = 0
        self._dropped = 0

    def take(self, limit: int, lease: float, now: float) -> list[JournalEntry] | None:
        """
        Give some entries out.

        @return: C{None}: there was no time to look through all; ask again.
        """
        if len(self._queue) < max(limit, FEW) and not self._look(now):
            return None
        if self._drop(self._outdated(now)) == AT_ONCE:
            return None
        taken = self._giveSome(limit, lease, now)
        # Where more were found than are remembered, others may have taken those.
        return taken if taken or len(self._found) < QUEUE else None

    def acknowledge(self, eventIDs: Sequence[str]) -> None:
        """
        Remove entries.
        """
        names = [name for name in map(parseEventID, eventIDs) if name is not None]
        with ExitStack() as stack:
            opened: list[int] = []
            for place in sorted({placeOf(name.sid) for name in names}):
                opened.append(stack.enter_context(self._open(place)))
                here = [name for name in names if placeOf(name.sid) == place]
                left = [name for name in here if not self._removeGiven(name, opened[-1])]
                if left:
                    self._removeSearched(left, opened[-1])
            # Many file systems write all that has changed with the first of these.
            for descriptor in opened:
                os.fsync(descriptor)

    def discard(self, sid: str, isWrong: Callable[[JournalEntry], bool]) -> None:
        """
        Remove those entries of a session that are wrong.
        """
        with self._open(placeOf(sid)) as descriptor:
            for found in os.listdir(descriptor):
                name = parseName(found) if sid in found else None
                entry = None if name is None else self._read(name, descriptor)
                if entry is not None and isWrong(entry):
                    _unlink(found, descriptor)

    def tidy(self, now: float) -> Iterator[None]:
        """
        Drop what is too old or too much, a little at each step.

        @param now: The time on the store's clock.
        """
        dropped = 1
        while dropped:
            while not self._look(now):
                yield
            dropped = self._dropped + self._drop(self._outdated(now))
            yield

    def _look(self, now: float) -> bool:
        """
        Look through the entries, as long as there is time.

        @return: Whether all have been looked at.
        """
        end = time.monotonic() + SLICE
        if self._position == 0:
            self._found, self._count = [], 0
        while self._position < len(PLACES):
            with self._open(PLACES[self._position]) as descriptor:
                names = os.listdir(descriptor)
            self._count += len(names)
            free = (name for name in names if name.endswith(FRESH) or isFree(name, now))
            self._found = nsmallest(QUEUE, chain(self._found, free))
            self._position += 1
            if time.monotonic() >= end and self._position < len(PLACES):
                return False
        self._position = 0
        self._queue = deque(self._found)
        excess = min(max(self._count - journal.MAXIMUM, 0), len(self._queue), AT_ONCE)
        self._dropped = self._drop(self._queue.popleft() for _ in range(excess))
        return True

    def _outdated(self, now: float) -> Iterator[str]:
        """
        Take the names of entries that have been held for long enough, or some
        of them if they are many.
        """
        for _ in range(min(len(self._queue), AT_ONCE)):
            name = parseName(self._queue[0])
            if name is not None and not name.isOlder(now - journal.RETENTION):
                return
            yield self._queue.popleft()

    def _drop(self, names: Iterator[str]) -> int:
        """
        Drop entries that nobody was told of, and tell how many.
        """
        dropped = 0
        for name in names:
            parsed = parseName(name)
            if parsed is not None:
                with self._open(placeOf(parsed.sid)) as descriptor:
                    dropped += _unlink(name, descriptor)
        if dropped:
            self._tell(self._observer, dropped)
        return dropped

    def _giveSome(self, limit: int, lease: float, now: float) -> list[JournalEntry]:
        """
        Give out entries that are in the queue.
        """
        given: list[JournalEntry] = []
        failures: dict[str, SessionError | OSError] = {}
        end = time.monotonic() + SLICE
        while self._queue and len(given) < limit:
            if len(given) >= LEAST and time.monotonic() >= end:
                break
            name = parseName(self._queue.popleft())
            # A shard whose lock cannot be had is waited for once.
            if name is None or shardOf(name.sid) in failures:
                continue
            try:
                entry = self._give(name, name.taken(now + lease))
            except (SessionError, OSError) as e:
                failures[shardOf(name.sid)] = e
            else:
                given += [] if entry is None else [entry]
        for failure in failures.values() if not given else ():
            raise failure
        return given

    def _give(self, name: EntryName, taken: EntryName) -> JournalEntry | None:
        """
        Give out an entry.

        @return: C{None}: it is gone, or somebody else was faster.
        """
        with self._open(placeOf(name.sid)) as descriptor:
            entry = self._read(name, descriptor, taken)
            if entry is None:
                return None
            if not self._isTrue(entry):
                _unlink(name.file, descriptor)
                return None
            try:
                os.rename(name.file, taken.file, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except FileNotFoundError:
                return None
        self._given[taken.eventID] = taken.file
        if len(self._given) > QUEUE:
            del self._given[next(iter(self._given))]
        return entry

    def _isTrue(self, entry: JournalEntry) -> bool:
        """
        Whether the session has ended, and not just been about to when there was
        a crash.

        Whoever is ending it at this moment has the lock until that is on the
        disk: what may still not have happened is told to nobody.
        """
        sid = entry.record.sid
        with self._directory.shard(shardOf(sid)) as shard, suppress(CorruptRecord):
            shard.lock()
            return not isLeftover(entry, shard.read(sid))
        return True

    def _read(
        self, name: EntryName, descriptor: int, taken: EntryName | None = None
    ) -> JournalEntry | None:
        """
        What an entry says; C{None} if it is gone, or damaged and put aside.
        """
        try:
            opened = os.open(name.file, READ, dir_fd=descriptor)
        except FileNotFoundError:
            return None
        try:
            text = readAll(opened, os.fstat(opened).st_size)
        finally:
            os.close(opened)
        try:
            return decodeEntry(taken or name, text)
        except Damaged as e:
            target = self._directory.join(QUARANTINE, f"{name.file}.damaged")
            os.rename(name.file, target, src_dir_fd=descriptor)
            self._directory.report(CorruptRecord(name.sid, f"its last one; {e}; moved to {target}"))
            return None

    def _removeGiven(self, name: EntryName, descriptor: int) -> bool:
        """
        Remove an entry that was given out here.

        @return: Whether it was there.
        """
        given = self._given.pop(name.eventID, None)
        return given is not None and _unlink(given, descriptor)

    def _removeSearched(self, names: Sequence[EntryName], descriptor: int) -> None:
        """
        Remove entries wherever they were given out.
        """
        prefixes = {name.prefix for name in names}
        for found in os.listdir(descriptor):
            name = parseName(found)
            if name is not None and name.prefix in prefixes:
                _unlink(found, descriptor)

    @contextmanager
    def _open(self, place: str) -> Iterator[int]:
        """
        One of the directories, open for a context.
        """
        path = self._directory.join(JOURNAL, self._observer, place)
        descriptor = os.open(path, DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def placeOf(sid: str) -> str:
    """
    In which of the L{PLACES} the entries of a session are.
    """
    return sid[0]


def _unlink(name: str, descriptor: int) -> bool:
    """
    Remove an entry.

    @return: Whether it was there.
    """
    try:
        os.unlink(name, dir_fd=descriptor)
    except FileNotFoundError:
        return False
    return True
