"""
Requests that are done together.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.python.failure import Failure

from ...errors import SessionError, StoreUnavailable
from .file import SQLiteFile
from .known import Known
from .news import News
from .row import MustWrite
from .rows import Rows
from .trouble import explain


@attrs.define(eq=False)
class Request:
    """
    Something to do in a transaction.  (Not frozen, which would cost more to make
    than the rest of its way to the thread.)

    @ivar work: Called with the L{Rows} and the arguments.
    @ivar arguments: What else it is called with.
    @ivar isWrite: Whether it may change anything.
    @ivar sid: Which session it is about; C{None}: it may be about any.
    """

    work: Callable[..., Any]
    arguments: tuple[Any, ...] = attrs.field(repr=False)
    isWrite: bool
    sid: str | None = None


def parts(requests: Sequence[Request]) -> list[list[int]]:
    """
    Divide a batch: first what only reads, then what writes, with what reads
    what was written before it.

    @return: The places of the requests in each part.
    """
    reads: list[int] = []
    writes: list[int] = []
    written: set[str | None] = set()
    for place, request in enumerate(requests):
        if request.isWrite:
            written.add(request.sid)
            writes.append(place)
        elif written and (request.sid is None or not written.isdisjoint((request.sid, None))):
            writes.append(place)
        else:
            reads.append(place)
    return [part for part in (reads, writes) if part]


class Batches:
    """
    Does batches of requests on a file.  For one thread.

    @ivar _known: What is known of the rows.
    @ivar _report: Called with the L{News} of a transaction that has any, when
        they are on the disk.
    """

    def __init__(self, file: SQLiteFile, report: Callable[[News], object]) -> None:
        self._file: Final = file
        self._report: Final = report
        self._known: Final = Known()

    def perform(self, requests: list[Request]) -> list[Any]:
        """
        Do one part of a batch (L{parts}).

        @return: The outcome of each, a L{Failure} where it failed.
        """
        until = self._file.patience()
        try:
            if any(request.isWrite for request in requests):
                return self._write(requests, until)
            return self._read(requests, until)
        except (StoreUnavailable, sqlite3.Error) as e:
            return [_failure(explain(self._file.path, e))] * len(requests)

    def _read(self, requests: list[Request], until: float) -> list[Any]:
        """
        Do what only reads.  What comes upon something that is to be mended is
        done again where it may write.
        """
        with self._file.reading(until) as connection:
            rows = self._rows(connection, mayWrite=False)
            outcomes = [self._outcome(rows, request) for request in requests]
        again = [place for place, outcome in enumerate(outcomes) if outcome is MustWrite]
        if again:
            better = self._write([requests[place] for place in again], until)
            for place, outcome in zip(again, better, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _outcome(self, rows: Rows, request: Request) -> Any:
        """
        What one request gives that only reads; L{MustWrite} if it has to be
        done again.
        """
        try:
            return request.work(rows, *request.arguments)
        except SessionError as e:
            return _failure(e)
        except (MustWrite, sqlite3.Error):
            return MustWrite
        except Exception:
            return Failure()

    def _write(self, requests: list[Request], until: float) -> list[Any]:
        """
        Do requests in one transaction; if that fails, in two, so that the one
        that is to blame harms no other in the end.
        """
        try:
            return self._together(requests, until)
        except StoreUnavailable as e:
            return [_failure(e)] * len(requests)
        except Exception as e:
            half = len(requests) // 2
            if not half or time.monotonic() > until:
                return [self._blamed(e)] * len(requests)
            first = self._write(requests[:half], until)
            return first + self._write(requests[half:], until)

    def _blamed(self, error: Exception) -> Failure:
        """
        The failure for what has undone a transaction.  Only a mistake in a
        program is shown with where it was made.
        """
        explained = explain(self._file.path, error)
        return Failure(error) if explained is error else _failure(explained)

    def _together(self, requests: list[Request], until: float) -> list[Any]:
        """
        Do requests in one transaction.
        """
        outcomes = []
        try:
            with self._file.writing(until) as connection:
                rows = self._rows(connection, mayWrite=True)
                for request in requests:
                    try:
                        outcomes.append(request.work(rows, *request.arguments))
                    except SessionError as e:
                        outcomes.append(_failure(e))
                rows.write()
        except BaseException:
            # What is known is what was undone.
            self._known.clear()
            raise
        if rows.news:
            self._report(rows.news)
        return outcomes

    def close(self) -> None:
        """
        Let go of the file, and of what is known of it.
        """
        self._known.clear()
        self._file.close()

    def _rows(self, connection: sqlite3.Connection, mayWrite: bool) -> Rows:
        """
        The rows, in a transaction that has just begun.
        """
        self._known.begin(self._file.epochs.last())
        return Rows(connection, mayWrite, self._known)


def _failure(error: Exception) -> Failure:
    """
    A failure that holds on to nothing of this thread.
    """
    error.__context__ = None
    return Failure(error.with_traceback(None))
