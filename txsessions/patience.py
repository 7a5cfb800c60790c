"""
A store that hangs is a store that cannot answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from .duties import BATCH
from .errors import StoreTimedOut
from .interfaces import ISessionIndex, ISessionOwners, ISessionStore
from .interruptible import Interruptible, isInterruptible
from .lifetime import REVOKED
from .limit import SessionLimit
from .record import Change, Record
from .stores.claim import Ending, LogIn

T = TypeVar("T")

LOAD_TIMEOUT: Final = 2.0
"""
How long a read may take, in seconds: a person who waits for a page waits that
long without leaving.
"""

SAVE_TIMEOUT: Final = 5.0
"""
How long a write may take, in seconds; longer than a read, because nobody knows
whether a write that was given up was made.
"""


ENDING_TIMEOUT: Final = 30.0
"""
How long it may take to end all sessions of an owner, in seconds: some have
thousands.
"""


class Patience:
    """
    Waits for Deferreds, each for the same time and no longer.

    The one that waits too long fails with L{StoreTimedOut}.  That is another
    Deferred than that of the store, which is left alone, since a write that is
    under way cannot be called back; but the same where that is an L{Interruptible}
    to which nobody has added a callback.
    There is one delayed call for all that wait.

    @ivar _waiting: When each will have waited too long, in seconds on the
        clock, and what waits; in that order.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: deque[tuple[float, Deferred[Any]]] = deque()
        self._call: IDelayedCall | None = None
        self._watchers = (self._told,)

    def wait(self, answer: Deferred[T]) -> Deferred[T]:
        """
        Wait for this answer.

        @return: A Deferred that fires as this does, or fails with
            L{StoreTimedOut}; the same one if it has fired, or may fail as it is.
        """
        if isInterruptible(answer):
            return self.watch(answer)
        if answer.called and not answer.paused:
            return answer
        waiting: Deferred[T] = Deferred()
        waiting.addBoth(self._passed, waiting)
        answer.addBoth(self._answered, waiting)
        self._await(waiting)
        return waiting

    def watch(self, answer: Interruptible[T]) -> Interruptible[T]:
        """
        Wait for an answer that may fail as it is.

        @param answer: One that is L{isInterruptible}.
        @return: The same.
        """
        answer.watchers += self._watchers
        self._await(answer)
        return answer

    def pending(self) -> list[Interruptible[Any]]:
        """
        Those that have not fired, and are not others than those of the store.
        """
        return [
            each for _, each in self._waiting if isinstance(each, Interruptible) and not each.called
        ]

    def _await(self, waiting: Deferred[Any]) -> None:
        """
        Let this one wait from now on.
        """
        self._waiting.append((self._clock.seconds() + self._seconds, waiting))
        if self._call is None:
            self._arm()

    def _answered(self, result: Any, waiting: Deferred[Any]) -> None:
        """
        Pass the answer on, unless it comes too late.
        """
        if not waiting.called:
            waiting.callback(result)

    def _passed(self, result: T, waiting: Deferred[T]) -> T:
        """
        Pass on what another Deferred than that of the store has fired with.
        """
        self._told(waiting)
        return result

    def _told(self, waiting: Deferred[Any]) -> None:
        """
        Watch no longer what fires now, before anybody goes on who may want to find
        nothing left behind.
        """
        queue = self._waiting
        while queue and (queue[0][1] is waiting or queue[0][1].called):
            queue.popleft()
        if not queue and self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self) -> None:
        """
        Set the delayed call for the one that has waited longest.
        """
        left = self._waiting[0][0] - self._clock.seconds()
        self._call = self._clock.callLater(max(0.0, left), self._giveUp)

    def _giveUp(self) -> None:
        """
        Fail those that have waited long enough; so many that the reactor is
        not held, and the others a moment later.
        """
        self._call = None
        queue, now = self._waiting, self._clock.seconds()
        for _ in range(BATCH):
            if not queue or queue[0][0] > now:
                break
            waiting = queue.popleft()[1]
            if not waiting.called:
                waiting.errback(
                    StoreTimedOut(f"the store has not answered for {self._seconds:g} seconds")
                )
        if queue and self._call is None:
            self._arm()


@implementer(ISessionStore, ISessionIndex, ISessionOwners)
class PatientStore:
    """
    A store that answers in time, or fails with L{StoreTimedOut}.

    @ivar _store: The store that it asks, which also provides
        L{ISessionIndex} and L{ISessionOwners} if anybody asks for that.
    @ivar _underWay: How many operations the store has not answered yet, besides
        those that wait in the same Deferred as the store's.
    @ivar _idle: Fires when that becomes 0; C{None} when nobody waits for it.
    """

    def __init__(
        self,
        store: Any,
        clock: IReactorTime,
        loadTimeout: float = LOAD_TIMEOUT,
        saveTimeout: float = SAVE_TIMEOUT,
    ) -> None:
        self._store = store
        self._reads = Patience(clock, loadTimeout)
        self._writes = Patience(clock, saveTimeout)
        self._endings = Patience(clock, ENDING_TIMEOUT)
        self._underWay = 0
        self._idle: Deferred[None] | None = None

    @property
    def clock(self) -> IReactorTime | None:
        """
        See L{ISessionStore}.
        """
        clock: IReactorTime | None = self._store.clock
        return clock

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        return self._reads.wait(self._store.loadSession(sid, default))

    def createSession(self, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        return self._write(self._store.createSession(record))

    def saveSession(self, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        return self._write(self._store.saveSession(change))

    def deleteSession(self, sid: str, reason: str = REVOKED) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.
        """
        return self._write(self._store.deleteSession(sid, reason))

    def hasSession(self, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        return self._reads.wait(self._store.hasSession(sid))

    def logInSession(self, change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        See L{ISessionOwners.logInSession}.
        """
        return self._write(self._store.logInSession(change, limit))

    def endSessions(
        self, sessionKey: str, reason: str = REVOKED, exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        See L{ISessionOwners.endSessions}.
        """
        ending = self._store.endSessions(sessionKey, reason, exceptFor)
        return self._write(ending, self._endings)

    def findSessions(self, sessionKey: str) -> Deferred[list[Record]]:
        """
        See L{ISessionIndex.findSessions}.
        """
        return self._endings.wait(self._store.findSessions(sessionKey))

    def whenIdle(self) -> Deferred[None]:
        """
        Wait for the writes that are under way.

        @return: A L{Deferred} that fires with L{None} when none is.
        """
        left = [
            _fired(answer) for each in (self._writes, self._endings) for answer in each.pending()
        ]
        if self._underWay:
            if self._idle is None:
                self._idle = Deferred()
            idle: Deferred[None] = Deferred()
            self._idle.chainDeferred(idle)
            left.append(idle)
        return gatherResults(left).addCallback(lambda _: None)

    def _write(self, answer: Deferred[T], patience: Patience | None = None) -> Deferred[T]:
        """
        Wait for a write, and count it.

        @param patience: How long; C{None}: as for most.
        """
        if patience is None:
            patience = self._writes
        if isInterruptible(answer):
            return patience.watch(answer)
        if answer.called and not answer.paused:
            return answer
        self._underWay += 1
        return patience.wait(answer.addBoth(self._written))

    def _written(self, result: T) -> T:
        """
        A write has been answered, in time or not.
        """
        self._underWay -= 1
        if not self._underWay and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
        return result


def _fired(answer: Interruptible[Any]) -> Deferred[None]:
    """
    Fires with C{None} when another Deferred does, before anybody has its result.
    """
    fired: Deferred[None] = Deferred()
    answer.watchers += (lambda _: fired.callback(None),)
    return fired
