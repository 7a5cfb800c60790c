"""
What ends, in the memory of one process: written down for observers, and told
to those who watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from ..interfaces import ISessionJournal, ISessionNotices
from .journal import JournalEntry
from .memoryjournal import AT_ONCE, MemoryJournal
from .watchers import Watchers


@implementer(ISessionJournal, ISessionNotices)
class Chronicle:
    """
    A part of stores that know all endings, since there is but one process.

    @ivar clock: See L{ISessionStore<txsessions.interfaces.ISessionStore>}.
    @ivar _journal: What observers have still to be told.
    @ivar _watchers: Those who want to hear at once.
    """

    clock: IReactorTime | None

    def __init__(self) -> None:
        self._journal = MemoryJournal()
        self._watchers = Watchers()

    def enrol(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.enrol}.
        """
        return execute(self._journal.enrol, observer)

    def dismiss(self, observer: str) -> Deferred[None]:
        """
        See L{ISessionJournal.dismiss}.
        """
        return Deferred.fromCoroutine(self._dismiss(observer))

    def takeEndings(
        self, observer: str, limit: int, lease: float
    ) -> Deferred[Sequence[JournalEntry]]:
        """
        See L{ISessionJournal.takeEndings}.
        """
        return execute(self._journal.take, observer, self._now(), limit, lease)

    def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        See L{ISessionJournal.acknowledge}.
        """
        return execute(self._journal.acknowledge, observer, eventIDs)

    def watchEndings(
        self, ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        See L{ISessionNotices.watchEndings}.  They are called before the
        operation has its answer that ends a session.
        """
        return self._watchers.watch(ended, missed)

    async def _dismiss(self, observer: str) -> None:
        """
        Dismiss an observer, and let go of what he has still to be told: of a million
        endings at once that would hold the reactor for a second.
        """
        backlog = self._journal.dismiss(observer)
        while backlog is not None and backlog.forgetSome(AT_ONCE):
            await self._turn()

    async def _turn(self) -> None:
        """
        Let the reactor have its turn.
        """
        clock = self.clock
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        await deferLater(clock, 0.0)

    def _now(self) -> float:
        """
        The present, on the store's clock.
        """
        raise NotImplementedError("a store with a chronicle has a clock")
