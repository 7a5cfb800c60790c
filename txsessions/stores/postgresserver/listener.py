"""
A connection that hears notices, in a thread of its own.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from ...errors import StoreTimedOut, StoreUnavailable
from .kind import unescape
from .outage import LONGEST, SHORTEST
from .refusal import refusal

BEGIN: Final = (
    "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings "
    "WHERE name = 'idle_session_timeout'; LISTEN {channel}"
)
"""
What it says first.  A server that ends idle connections is not to end this one.
"""


class Listener:
    """
    Hears of endings.  It connects again whenever the connection is lost.

    What is called is called in the thread.

    @ivar _connect: Makes a connection.
    @ivar _heard: Called with some endings: each a C{sid} and a reason.
    @ivar _begun: Called when it hears from now on: what was before that may
        have been missed.
    @ivar _failed: Called with an error when it hears no more, for now.
    @ivar _wake: Two ends of a pipe, to be written to when it is to stop.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        channel: str,
        timeout: float,
        *,
        heard: Callable[[list[tuple[str, str]]], object],
        begun: Callable[[], object],
        failed: Callable[[StoreUnavailable], object],
    ) -> None:
        """
        @param timeout: How long the server may take to answer, in seconds.
        """
        self._connect = connect
        self._channel = channel
        self._timeout = timeout
        self._heard = heard
        self._begun = begun
        self._failed = failed
        self._wake = os.pipe()
        self._isStopping = False

    def stop(self) -> None:
        """
        Stop soon.  This is for another thread.
        """
        self._isStopping = True
        os.write(self._wake[1], b"\0")

    def run(self) -> None:
        """
        Hear until L{stop} is called.  This is the thread.
        """
        failures = 0
        while not self._isStopping:
            try:
                connection = self._opened()
                try:
                    failures = 0
                    self._hear(connection)
                finally:
                    connection.close()
            except StoreUnavailable as e:
                if not failures:
                    self._failed(e)
                self._wait([], min(LONGEST, SHORTEST * 2.0 ** min(failures, 10)))
                failures += 1

    def close(self) -> None:
        """
        Let go of the pipe.  This is for another thread, when L{run} has ended.
        """
        for end in self._wake:
            os.close(end)

    def _opened(self) -> psycopg.Connection:
        """
        A connection on which notices come.
        """
        connection = self._connect()
        try:
            pgconn = connection.pgconn
            pgconn.nonblocking = 1
            pgconn.send_query(BEGIN.format(channel=self._channel).encode())
            self._finish(pgconn)
        except BaseException as e:
            connection.close()
            if isinstance(e, psycopg.Error):
                raise _lost() from None
            raise
        self._begun()
        return connection

    def _finish(self, pgconn: PGconn) -> None:
        """
        Wait until the server has done what it was asked.
        """
        end = time.monotonic() + self._timeout
        while True:
            while pgconn.flush() or pgconn.is_busy():
                if not self._wait([pgconn.socket], end - time.monotonic()):
                    raise StoreTimedOut(f"PostgreSQL did not answer for {self._timeout:g} seconds")
                if self._isStopping:
                    raise _lost()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return
            if result.status == ExecStatus.FATAL_ERROR:
                raise refusal(result)

    def _hear(self, connection: psycopg.Connection) -> None:
        """
        Hear until the connection is lost, or L{stop} is called.

        @raise StoreUnavailable: It is lost.
        """
        pgconn = connection.pgconn
        try:
            while not self._isStopping:
                while (notice := pgconn.notifies()) is not None:
                    self._heard(endingsIn(bytes(notice.extra)))
                self._wait([pgconn.socket], None)
                pgconn.consume_input()
        except psycopg.Error:
            raise _lost() from None

    def _wait(self, descriptors: list[int], seconds: float | None) -> bool:
        """
        Wait until there is something to read, or L{stop} is called.

        @param seconds: How long, or C{None} for any time.
        @return: Whether that is so, or L{False} when the time is over.
        """
        poll = select.poll()
        for descriptor in (*descriptors, self._wake[0]):
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def endingsIn(notice: bytes) -> list[tuple[str, str]]:
    """
    The endings in a notice: in each line a C{sid} and a reason.
    """
    lines = unescape(notice.decode("utf-8", "replace")).split("\n")
    return [(sid, reason) for sid, _, reason in (line.partition(" ") for line in lines)]


def _lost() -> StoreUnavailable:
    """
    The error when the connection has ended.
    """
    return StoreUnavailable("the connection to PostgreSQL that hears of endings was lost")
