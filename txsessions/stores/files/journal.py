"""
The journal of a directory: for each observer that is enrolled the endings that
it has to be told of, in files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from ...record import Record
from ..journal import JournalEntry
from ..sid import isSid
from .backlog import PLACES, Backlog, placeOf
from .digest import digestOf
from .directory import JOURNAL, Directory
from .entry import encodeEntry, isLeftover, nameOf
from .folder import DIRECTORY, Folder
from .lock import PATIENCE
from .shard import Shard
from .text import End

OBSERVER: Final = "observer.json"
"""
The name of the file that says whose directory it is, for whoever looks at it.
"""

NEW: Final = ".new"
"""
What follows the name of an observer's directory that is being made.
"""

GONE: Final = ".gone"
"""
What follows the name of one that is to be removed.
"""


class Journal:
    """
    The endings that observers have to be told of.  For one thread.

    The directory of an observer has a name of 32 hexadecimal digits while it is
    enrolled.  Who ends a session looks which there are, writes an entry into
    each, to the disk, and only then ends it, all under the lock of the
    session's shard.  So an ending that happened has its entries, whenever a
    crash comes; and an entry whose session has not ended by then is left over
    from a crash, and told to nobody.

    @ivar _directory: Where it is.
    @ivar _tell: Called with the name of an observer and a number: it will not
        be told of so many endings.
    @ivar _backlogs: What is known of each observer's entries.
    """

    def __init__(self, directory: Directory, tell: Callable[[str, int], object]) -> None:
        self._directory = directory
        self._tell = tell
        self._backlogs: dict[str, Backlog] = {}

    def enrol(self, observer: str) -> None:
        """
        Write endings down for an observer from now on.
        """
        name = digestOf(observer)
        with self._locked() as folder:
            if name in folder.names():
                return
            new = self._directory.join(JOURNAL, name + NEW)
            os.makedirs(new, 0o700, exist_ok=True)
            for place in PLACES:
                os.makedirs(os.path.join(new, place), 0o700, exist_ok=True)
            with Folder(new, PATIENCE) as made:
                made.lock()
                made.replace(OBSERVER, msgspec.json.encode({"observer": observer}) + b"\n")
            folder.move(name + NEW, name)

    def dismiss(self, observer: str) -> None:
        """
        Write nothing down for an observer any more.  What is there is told to
        nobody, and removed bit by bit.
        """
        name = digestOf(observer)
        self._backlogs.pop(name, None)
        with self._locked() as folder:
            names = set(folder.names())
            if name in names:
                folder.move(name, next(each for each in _goneNames(name) if each not in names))

    def take(
        self, observer: str, limit: int, lease: float, now: float
    ) -> Sequence[JournalEntry] | None:
        """
        Some endings that an observer has to be told of.

        @return: C{None}: it takes longer to look for them; ask again.
        """
        with self._enrolled(observer) as backlog:
            return backlog.take(limit, lease, now) if backlog is not None else ()
        return ()

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> None:
        """
        An observer has been told of these endings.
        """
        with self._enrolled(observer) as backlog:
            if backlog is not None:
                backlog.acknowledge(eventIDs)

    @contextmanager
    def written(self, shard: Shard, record: Record, reason: str, now: float) -> Iterator[None]:
        """
        A context in which a session is ended, with that written down before.

        @param shard: The shard of the session, locked.
        """
        observers = self.observers()
        if not observers:
            yield
            return
        name = nameOf(record.sid, now).file
        text = encodeEntry(record, reason, now)
        places = [self._directory.join(JOURNAL, each, placeOf(record.sid)) for each in observers]
        try:
            for place in places:
                _post(shard, place, name, text)
            yield
        except BaseException:
            for place in places:
                with suppress(OSError):
                    os.unlink(os.path.join(place, name))
            raise

    def discardLeftovers(self, end: End) -> None:
        """
        Before an end is forgotten by which it is known what is left over from
        a crash, discard that.  For who has locked the session's shard.
        """
        for observer in self.observers():
            # It may be dismissed at this moment.
            with suppress(FileNotFoundError):
                self._backlog(observer).discard(end.sid, lambda entry: isLeftover(entry, end))

    def observers(self) -> list[str]:
        """
        The directories of those that are enrolled.
        """
        return [name for name in os.listdir(self._directory.join(JOURNAL)) if isSid(name)]

    def tidy(self, now: float) -> Iterator[None]:
        """
        Keep it bounded, a little at each step.

        @param now: The time on the store's clock.
        """
        for name in os.listdir(self._directory.join(JOURNAL)):
            if name.endswith(GONE):
                yield from _remove(self._directory.join(JOURNAL, name))
        for observer in self.observers():
            with suppress(FileNotFoundError):
                yield from Backlog(self._directory, observer, self._dropped).tidy(now)

    @contextmanager
    def _enrolled(self, observer: str) -> Iterator[Backlog | None]:
        """
        What is known of the entries of an observer, C{None} if it is not
        enrolled, for a context that ends when it is dismissed.
        """
        name = digestOf(observer)
        try:
            yield self._backlog(name) if name in self.observers() else None
        except FileNotFoundError:
            if name in self.observers():
                raise

    def _backlog(self, observer: str) -> Backlog:
        """
        What is known of the entries of an observer.
        """
        if observer not in self._backlogs:
            self._backlogs[observer] = Backlog(self._directory, observer, self._dropped)
        return self._backlogs[observer]

    def _dropped(self, observer: str, count: int) -> None:
        """
        Tell that an observer will not be told of so many endings.
        """
        with open(self._directory.join(JOURNAL, observer, OBSERVER), "rb") as file:
            self._tell(msgspec.json.decode(file.read())["observer"], count)

    @contextmanager
    def _locked(self) -> Iterator[Folder]:
        """
        Keep others from enrolling and dismissing observers.
        """
        with Folder(self._directory.join(JOURNAL), PATIENCE) as folder:
            folder.lock()
            yield folder


def _post(shard: Shard, place: str, name: str, text: bytes) -> None:
    """
    Write an entry, to the disk, unless its observer has been dismissed in the
    meantime.
    """
    try:
        descriptor = os.open(place, DIRECTORY)
    except FileNotFoundError:
        return
    try:
        shard.post(name, text, descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _goneNames(name: str) -> Iterator[str]:
    """
    Names for what is to be removed.
    """
    number = 0
    while True:
        yield f"{name}.{number}{GONE}"
        number += 1


def _remove(path: str) -> Iterator[None]:
    """
    Remove what is left of an observer, a little at each step.
    """
    for place in PLACES:
        directory = os.path.join(path, place)
        with suppress(FileNotFoundError):
            for count, name in enumerate(os.listdir(directory)):
                os.unlink(os.path.join(directory, name))
                if count % 250 == 249:
                    yield
            os.rmdir(directory)
    # Another process may do the same.
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(path, OBSERVER))
    with suppress(FileNotFoundError):
        os.rmdir(path)
