"""
What has ended lately, so that all processes that watch hear of it soon.

It is in files of lines in one directory, with a number for a name: whoever has
ended sessions adds to the one with the highest number, and begins the next when
that is full; the last two are kept.  To look whether something is new is to
list that directory and to read what was added.  Nothing waits for the disk, and
nobody relies on it: it is a hint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import Final
from uuid import uuid4

import attrs
import msgspec

from ..sid import isSid
from .directory import NOTICES

FULL: Final = 1024 * 1024
"""
With how many bytes a file is full: 10,000 endings or more.  Who looks once a
second misses none.
"""

PIECE: Final = 65_536
"""
How many bytes are read at a time: of so many endings the reactor can be told
without being held.
"""


LONGEST: Final = 100
"""
How many characters of a reason are written: so a line is never longer than a
piece.
"""


@attrs.frozen
class News:
    """
    What has ended since the last look.

    @ivar endings: The C{sid} and the reason of each, as far as others ended it.
    @ivar isMissed: Whether there was more, that is not known any more.
    @ivar hasMore: Whether there is more to be read now.
    """

    endings: Sequence[tuple[str, str]]
    isMissed: bool = False
    hasMore: bool = False


class Bulletin:
    """
    Writes and reads what has ended.  For one thread.

    @ivar _path: Where it is.
    @ivar _writer: What tells this process's lines from those of others.
    @ivar _fresh: What was ended here and is not written yet.
    @ivar _positions: Up to which place each of the files has been read, by its
        number; C{None}: nobody has looked.
    @ivar _since: What was written before is no news, in seconds.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, NOTICES)
        self._writer = uuid4().hex[:12]
        self._fresh: list[tuple[str, str]] = []
        self._positions: dict[int, int] | None = None
        self._since = inf

    def note(self, endings: Iterable[tuple[str, str]]) -> None:
        """
        Note what has been ended here: each C{sid} and reason.
        """
        self._fresh += endings

    def publish(self) -> Sequence[tuple[str, str]]:
        """
        Write what was noted.

        @return: What that was.
        """
        fresh, self._fresh = self._fresh, []
        if fresh:
            # Sessions end as well when there is no room for the news of it.
            with suppress(OSError):
                self._append(fresh)
        return fresh

    def look(self, since: float) -> News:
        """
        Read what others have ended since the last look.

        @param since: What was written before that moment is no news, in seconds.
            The first look from a certain moment on begins there.
        """
        if since != self._since:
            self._positions, self._since = None, since
        numbers = self._numbers()
        known = self._positions
        isMissed = bool(known) and max(known or ()) not in numbers
        self._positions = {number: (known or {}).get(number, 0) for number in numbers}
        endings: list[tuple[str, str]] = []
        hasMore = False
        for number in numbers:
            lines, isCut = self._read(number)
            endings += self._parse(lines)
            hasMore = hasMore or isCut
        return News(endings, isMissed, hasMore)

    def _append(self, endings: Sequence[tuple[str, str]]) -> None:
        """
        Add lines to the last file, in one piece so that those of several
        processes do not mix.
        """
        numbers = self._numbers()
        number = numbers[-1] if numbers else 0
        start = f"{self._writer} {time.time():.6f} "
        lines = [
            f"{start}{sid} ".encode() + msgspec.json.encode(reason[:LONGEST])
            for sid, reason in endings
        ]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._pathOf(number), flags, 0o600)
        try:
            os.write(descriptor, b"\n".join(lines) + b"\n")
            isFull = os.fstat(descriptor).st_size >= FULL
        finally:
            os.close(descriptor)
        if isFull:
            os.close(os.open(self._pathOf(number + 1), flags, 0o600))
            for old in numbers[:-1]:
                with suppress(FileNotFoundError):
                    os.unlink(self._pathOf(old))

    def _read(self, number: int) -> tuple[list[bytes], bool]:
        """
        Read some whole lines that were added to a file.

        @return: The lines, and whether there are more.
        """
        assert self._positions is not None
        position = self._positions[number]
        try:
            with open(self._pathOf(number), "rb") as file:
                file.seek(position)
                text = file.read(PIECE)
        except FileNotFoundError:
            return [], False
        whole = text[: text.rfind(b"\n") + 1]
        self._positions[number] = position + len(whole)
        return whole.splitlines(), bool(whole) and len(text) == PIECE

    def _parse(self, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
        """
        What lines say that others have written.  After a crash anything may be
        in them.
        """
        for line in lines:
            with suppress(ValueError):
                writer, moment, sid, reason = line.decode().split(" ", 3)
                isNews = writer != self._writer and float(moment) >= self._since
                if isNews and isSid(sid):
                    yield sid, msgspec.json.decode(reason, type=str)

    def _numbers(self) -> list[int]:
        """
        The numbers of the files, the oldest first.
        """
        names = os.listdir(self._path)
        return sorted(int(name) for name in names if name.isdecimal())

    def _pathOf(self, number: int) -> str:
        """
        Where a file is.
        """
        return os.path.join(self._path, str(number))
