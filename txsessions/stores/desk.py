"""
The desk of a store in files: hands in to its thread what it is asked, and hands
out what comes back without having been asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger

from ..errors import CorruptRecord
from .files.batch import Performer, Request
from .files.bulletin import Bulletin
from .files.directory import Directory
from .files.owners import Owners
from .lookout import Lookout, Watcher
from .worker import Worker


class Desk:
    """
    What is between the reactor and the thread that works on the files.

    @ivar directory: The files, for the thread.
    @ivar owners: Which sessions an owner has, for the thread.
    @ivar _bulletin: What has ended lately, for the thread.
    @ivar _performer: Does what is asked, for the thread.
    @ivar _worker: The thread.
    @ivar _lookout: Who watches for endings.
    @ivar _clock: What is waited with between two looks.
    """

    _log = Logger()

    def __init__(self, path: str | os.PathLike[str], reactor: IReactorFromThreads | None) -> None:
        self._bulletin = Bulletin(os.path.abspath(os.fspath(path)))
        self.directory = Directory(path, self._damaged, self._bulletin.note)
        self.owners = Owners(self.directory)
        self._performer = Performer(self.directory, self.owners)
        self._worker: Worker[Request] = Worker(
            f"JSON store {self.directory.path}", self._perform, self._performer.finish, reactor
        )
        self._lookout = Lookout(self._look)
        self._clock: IReactorTime | None = None

    def submit(self, request: Request) -> Deferred[Any]:
        """
        Have something done in the thread.
        """
        if self._clock is not None:
            self._lookout.resume(self._clock)
        return self._worker.submit(request)

    def watch(self, watcher: Watcher, clock: IReactorTime | None) -> Callable[[], None]:
        """
        Tell somebody of endings.

        @param clock: What to wait with between two looks; C{None}: the global
            reactor.
        @return: Call it to tell no more.
        """
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self._clock = clock
        return self._lookout.watch(watcher, clock)

    def close(self) -> Deferred[None]:
        """
        Do what was asked so far, then let the thread end.
        """
        self._lookout.pause()
        return self._worker.stop()

    def dropped(self, observer: str, count: int) -> None:
        """
        Tell that an observer is not told of endings.  For the thread.
        """
        self._worker.tell(self._tellDropped, observer, count)

    def _look(self, since: float) -> Deferred[Any]:
        """
        Look for what others have ended.
        """
        return self._worker.submit(Request(self._bulletin.look, (since,)))

    def _perform(self, requests: list[Request]) -> Sequence[Any]:
        """
        Do a batch, and say what has ended by it.  For the thread.
        """
        outcomes = self._performer.perform(requests)
        endings = self._bulletin.publish()
        if endings:
            self._worker.tell(self._lookout.tell, endings)
        return outcomes

    def _damaged(self, error: CorruptRecord) -> None:
        """
        Report a damaged file that was put aside.  For the thread.
        """
        self._worker.tell(self._tellDamaged, error)

    def _tellDamaged(self, error: CorruptRecord) -> None:
        """
        Report a damaged file that was put aside.
        """
        self._log.error("{error}", error=error, sid=error.sid)

    def _tellDropped(self, observer: str, count: int) -> None:
        """
        Tell that an observer is not told of endings.
        """
        self._log.warn(
            "the journal has dropped {count} endings of which {observer} was not told: "
            "they were too old or too many",
            count=count,
            observer=observer,
        )
