"""
A delivery: a batch of endings that a durable observer is told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from .event import DESTROYED, SessionEvent
from .ownid import ownIDOf
from .stores.journal import JournalEntry
from .update import Waiting, begin

ATTEMPTS: Final = 10
"""
How often an observer that fails is told of one ending: for five minutes, if
nothing else is to be told.
"""

SLICE: Final = 0.005
"""
After how many seconds of updates the reactor has its turn.
"""


class Delivery:
    """
    Tells an observer of endings, one after the other.

    @ivar told: How many endings it has confirmed.
    @ivar dropped: How many it was not told of after L{ATTEMPTS}.
    @ivar isCut: Whether to come to the end at once.
    @ivar _observer: As L{ISessionObserver}.
    @ivar _name: What the observer is called in the journal.
    @ivar _kinds: The interfaces of the events that it wants; none: all.
    @ivar _timeout: How long an update may take, in seconds.
    @ivar _waiting: The update that is under way, if it takes its time.
    """

    _log = Logger()

    def __init__(
        self,
        observer: Any,
        name: str,
        kinds: Sequence[Any],
        clock: IReactorTime,
        *,
        timeout: float,
        attempts: int,
    ) -> None:
        self.told = 0
        self.dropped = 0
        self._observer = observer
        self._name = name
        self._kinds = kinds
        self._clock = clock
        self._timeout = timeout
        self._attempts = attempts
        self._waiting: Waiting | None = None
        self.isCut = False

    async def deliver(self, entries: Iterable[JournalEntry], until: float) -> list[str]:
        """
        Tell the observer of these endings.

        @param until: When to begin no further update, in seconds on the clock.
        @return: The C{eventID}s of those that are done with.
        """
        done = []
        slice = self._clock.seconds() + SLICE
        for entry in entries:
            now = self._clock.seconds()
            if now >= until or self.isCut:
                break
            if now >= slice:
                await deferLater(self._clock, 0.0)
                slice = self._clock.seconds() + SLICE
            if await self._isDone(entry):
                done.append(entry.eventID)
        return done

    def cut(self) -> None:
        """
        Come to the end at once.  An update that is under way is cancelled, and
        does not count as confirmed.
        """
        self.isCut = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _isDone(self, entry: JournalEntry) -> bool:
        """
        Tell the observer of one ending, if it wants to know.

        @return: Whether it never has to be told again.
        """
        event = eventOf(entry)
        if self._kinds and not any(kind.providedBy(event) for kind in self._kinds):
            return True
        try:
            await self._tell(event)
        except Exception:
            return self._hasHadEnough(entry, Failure())
        if self.isCut:
            return False
        self.told += 1
        return True

    async def _tell(self, event: SessionEvent) -> None:
        """
        Tell the observer, and wait until it is done.
        """
        answer = begin(self._observer, event)
        if answer is None:
            return
        outcome: Deferred[None] = Deferred()
        waiting = Waiting(answer, self._clock, self._timeout, outcome.callback)
        if not outcome.called:
            self._waiting = waiting
        try:
            await outcome
        finally:
            self._waiting = None

    def _hasHadEnough(self, entry: JournalEntry, failure: Failure) -> bool:
        """
        The observer has failed.

        @return: Whether it has failed so often that it is told no more.
        """
        isLast = entry.attempt >= self._attempts
        text = "giving up" if isLast else "it will be told again"
        self._log.failure(
            "Durable observer {observer} failed to hear of ending {eventID}, at attempt {attempt}: "
            + text,
            failure,
            observer=self._name,
            eventID=entry.eventID,
            attempt=entry.attempt,
        )
        self.dropped += isLast
        return isLast


def eventOf(entry: JournalEntry) -> SessionEvent:
    """
    The event of an ending in a journal.
    """
    record = entry.record
    own = ownIDOf(record)
    return SessionEvent(
        DESTROYED,
        record.sid if own is None else own,
        record.sid,
        entry.reason,
        entry.eventID,
        entry.endedAt,
        record,
    )
