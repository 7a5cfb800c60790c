"""
Whether anybody else has written to a database file, at one look and in any thread.
"""

from __future__ import annotations

from contextlib import suppress

import attrs

from .walindex import WalIndex, areKnown, commitsBetween, letGo


@attrs.frozen
class Epoch:
    """
    A time in which nobody has written to a file but one connection.

    @ivar number: Counts those that were noticed.
    @ivar index: The wal-index of the file.
    @ivar head: Its head after whatever that connection has written so far.
    """

    number: int
    index: WalIndex = attrs.field(repr=False)
    head: bytes = attrs.field(repr=False)


class Epochs:
    """
    The epochs of a file, as one connection sees them.  For its thread, but for L{now}.

    @ivar _epoch: The last one, whole for other threads too; C{None} if nothing can be
        told.
    @ivar _count: How many there were.
    """

    def __init__(self) -> None:
        self._epoch: Epoch | None = None
        self._count = 0

    def now(self) -> int | None:
        """
        The number of the epoch, in any thread; C{None} if it is over, or that cannot be
        told.
        """
        epoch = self._epoch
        return None if epoch is None or epoch.index.head() != epoch.head else epoch.number

    def last(self) -> int | None:
        """
        The number of the epoch in which the last transaction has begun; C{None} if
        nothing can be told.
        """
        return None if self._epoch is None else self._epoch.number

    def open(self, path: str) -> None:
        """
        The connection is open.

        @param path: Of the database file.
        """
        # Without it every question goes to the file, which is slower, and right.
        with suppress(OSError, ValueError):
            index = WalIndex(path)
            self._begin(index, index.head())

    def close(self) -> None:
        """
        The connection is about to be closed, and nothing of it is to be read any more.
        """
        self._epoch = None

    def closed(self) -> None:
        """
        It has been closed.
        """
        letGo()

    def begun(self) -> bytes:
        """
        The connection begins a transaction.  If that is to write, it keeps others from
        it by now.

        @return: The head; empty if there is none.
        """
        epoch = self._epoch
        if epoch is None:
            return b""
        head = epoch.index.head()
        if head != epoch.head:
            self._begin(epoch.index, head)
        return head

    def committed(self, before: bytes, hasWritten: bool) -> None:
        """
        The connection has committed.

        @param before: What L{begun} has returned.
        @param hasWritten: Whether it had written anything; otherwise SQLite counts
            nothing.
        """
        epoch = self._epoch
        if epoch is None:
            return
        head = epoch.index.head()
        if areKnown(before, head) and commitsBetween(before, head) <= hasWritten:
            self._epoch = Epoch(epoch.number, epoch.index, head)
        else:
            self._begin(epoch.index, head)

    def _begin(self, index: WalIndex, head: bytes) -> None:
        """
        Begin an epoch, if the head has a form that is known.
        """
        self._count += 1
        self._epoch = Epoch(self._count, index, head) if areKnown(head) else None
