"""
The courier: takes endings from the journal of a store to a durable observer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .delivery import ATTEMPTS, Delivery
from .errors import StoreUnavailable
from .interfaces import ISessionJournal
from .observers import adapt
from .patience import Patience
from .stores.journal import checkObserver as checkName

BATCH: Final = 50
"""
How many endings a courier holds at the most: as many may be told twice when its
process is killed.
"""

FIRST: Final = 8
"""
How many it takes at first, until it knows how fast the observer is.
"""

LEASE: Final = 30.0
"""
For how long it takes them, in seconds: so late somebody else takes over what a
process held that was killed.
"""

SOON: Final = 0.05
"""
How long it waits when something has ended just now, in seconds, so that it takes
many at once that end together.
"""

INTERVAL: Final = 1.0
"""
How long it rests, in seconds, after it has found something lately.
"""

LATELY: Final = 30.0
"""
How long lately is, in seconds.
"""

REST: Final = 5.0
"""
How long it rests when it has found nothing lately, in seconds.
"""

LONGEST_BACKOFF: Final = 60.0
"""
How long it rests at the most when it is of no use to look, in seconds.
"""

GRACE: Final = 10.0
"""
How long it may take to finish what it holds at the end, and how long any
question to the store may take, in seconds.
"""


class Courier:
    """
    Tells a durable observer of each ending that the store has written down for
    it, at least once, whichever processes die.

    The endings are told one after the other; the observer has confirmed one
    when its C{update} has returned, or when the L{Deferred} of that has fired,
    without a failure.  What it fails is told again when the lease has run out,
    and given up after some attempts.  What has been confirmed is acknowledged
    before more is taken.  Couriers of the same name, in any number of
    processes, share the work.

    An observer that is slow gets small batches, so that none outlasts its
    lease.  While it fails at everything, it is tried with one ending, and more
    and more seldom, so that it loses few of them.

    @ivar name: What the observer is called in the journal.
    @ivar observer: The observer, as it was given.
    @ivar _journal: The store, as L{ISessionJournal}.
    @ivar _confirmed: What is done with, and is to be acknowledged.
    @ivar _size: How many endings to take next.
    @ivar _running: Those who wait for the end; C{None} when it is not at work.
    @ivar _isStopping: Whether to finish.
    @ivar _isEnrolled: Whether the store knows the name.
    @ivar _isWanted: Whether something has ended since it last looked.
    @ivar _rest: Fires when the rest is over; C{None} when it does not rest.
    @ivar _restCall: The delayed call for that; C{None} when it does not rest.
    @ivar _restsUntil: When it is to come, in seconds on the clock.
    @ivar _foundAt: When it last found something, in seconds on the clock.
    @ivar _troubles: How often in a row the store could not answer.
    @ivar _refusals: How often in a row the observer has failed at everything.
    """

    _log = Logger()

    def __init__(
        self,
        journal: Any,
        name: str,
        observer: Any,
        clock: IReactorTime,
        kinds: Sequence[Any] = (),
        *,
        lease: float = LEASE,
        attempts: int = ATTEMPTS,
    ) -> None:
        """
        @param journal: Anything that adapts to L{ISessionJournal}.
        @param name: A L{str} of at most 200 characters.
        @param observer: Anything that adapts to
            L{ISessionObserver<txsessions.interfaces.ISessionObserver>}.
        @param kinds: The interfaces of the events that it wants, which are
            endings in any case; none: all.
        @param lease: For how long endings are taken, in seconds.
        @param attempts: How often an ending is told that the observer fails.
        @raise TypeError: The store keeps no journal, or that is no observer.
        @raise ValueError: That is no name.
        """
        adapted = adapt(observer)
        self.name = checkName(name)
        self.observer = observer
        self._journal: Any = ISessionJournal(journal)
        self._clock = clock
        self._lease = lease
        self._patience = Patience(clock, GRACE)
        # An update that begins in the first third of a lease is over before
        # the last third.
        self._delivery = Delivery(adapted, name, kinds, clock, timeout=lease / 3, attempts=attempts)
        self._confirmed: list[str] = []
        self._size = FIRST
        self._running: list[Deferred[None]] | None = None
        self._isStopping = False
        self._isEnrolled = False
        self._isWanted = False
        self._rest: Deferred[None] | None = None
        self._restCall: IDelayedCall | None = None
        self._restsUntil = 0.0
        self._foundAt = -LATELY
        self._troubles = 0
        self._refusals = 0

    @property
    def told(self) -> int:
        """
        How many endings the observer has confirmed.
        """
        return self._delivery.told

    @property
    def dropped(self) -> int:
        """
        How many endings were given up, because the observer failed too often.
        """
        return self._delivery.dropped

    def start(self) -> None:
        """
        Have the store write endings down for the observer from now on, if it
        does not do so already, and tell the observer of them.
        """
        if self._running is None:
            self._running = []
            self._isStopping = self._delivery.isCut = False
            Deferred.fromCoroutine(self._work()).addErrback(self._broken)

    def stop(self, grace: float = GRACE) -> Deferred[None]:
        """
        Take nothing more, and tell the observer of what was taken, but for no
        longer than C{grace} seconds.  What is left is told when the lease has
        run out, by another courier or the next time.

        @return: A L{Deferred} that fires with L{None} when all that the
            observer has confirmed is acknowledged, or the store could not.
        """
        if self._running is None:
            return succeed(None)
        self._isStopping = True
        done: Deferred[None] = Deferred()
        self._running.append(done)
        cut = self._clock.callLater(grace, self._delivery.cut)

        def stopped(result: None) -> None:
            if cut.active():
                cut.cancel()

        done.addCallback(stopped)
        self._wakeUp()
        return done

    def wake(self) -> None:
        """
        Something has ended just now: look soon.
        """
        if self._isWanted or self._running is None:
            return
        self._isWanted = True
        if self._rest is not None and not self._troubles and not self._refusals:
            self._restFor(SOON)

    async def _work(self) -> None:
        """
        Look and rest, until it is to stop.
        """
        while not self._isStopping:
            try:
                found = await self._look()
            except Exception:
                self._inTrouble(Failure())
                found = 0
            if not self._isStopping:
                self._rest = Deferred()
                self._restFor(self._howLong(found))
                await self._rest
        await self._finish()

    async def _look(self) -> int:
        """
        Take a batch, tell the observer, and acknowledge what it has confirmed.

        @return: How many endings there were.
        """
        if not self._isEnrolled:
            await self._ask(self._journal.enrol, self.name)
            self._isEnrolled = True
        await self._acknowledge()
        self._isWanted = False
        began = self._clock.seconds()
        entries = await self._ask(self._journal.takeEndings, self.name, self._size, self._lease)
        if entries:
            self._foundAt = began
            self._confirmed = await self._delivery.deliver(entries, began + self._lease / 3)
            self._learn(len(entries), len(self._confirmed), self._clock.seconds() - began)
            await self._acknowledge()
        self._troubles = 0
        return len(entries)

    async def _ask(self, operation: Any, *arguments: Any) -> Any:
        """
        Ask the store for something, but do not wait without end.
        """
        return await self._patience.wait(maybeDeferred(operation, *arguments))

    async def _acknowledge(self) -> None:
        """
        Have the store forget what is done with.
        """
        if self._confirmed:
            await self._ask(self._journal.acknowledge, self.name, self._confirmed)
            self._confirmed = []

    def _learn(self, taken: int, done: int, seconds: float) -> None:
        """
        Find out from one batch how large the next one may be.
        """
        if not done:
            self._refusals += 1
            self._size = 1
        elif done < taken or seconds > self._lease / 6:
            self._refusals = 0
            self._size = max(1, min(self._size, done) // 2)
        else:
            self._refusals = 0
            self._size = min(BATCH, 2 * self._size)

    def _howLong(self, found: int) -> float:
        """
        How long to rest now, in seconds.

        @param found: How many endings there were.
        """
        failures = max(self._troubles, self._refusals)
        if failures:
            return float(min(2.0 ** min(failures, 6), LONGEST_BACKOFF))
        if found:
            return 0.0
        if self._isWanted:
            return SOON
        return INTERVAL if self._clock.seconds() < self._foundAt + LATELY else REST

    def _restFor(self, seconds: float) -> None:
        """
        Rest for so long, or for as long as is left if that is shorter.
        """
        at = self._clock.seconds() + seconds
        if self._restCall is not None:
            if self._restsUntil <= at:
                return
            self._restCall.cancel()
        self._restsUntil = at
        self._restCall = self._clock.callLater(seconds, self._wakeUp)

    def _wakeUp(self) -> None:
        """
        The rest is over.
        """
        if self._restCall is not None and self._restCall.active():
            self._restCall.cancel()
        self._restCall = None
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.callback(None)

    def _inTrouble(self, failure: Failure) -> None:
        """
        The store could not answer: say so once.  It may be another one when it
        answers again, so it is told the name anew.
        """
        self._troubles += 1
        self._isEnrolled = False
        if self._troubles > 1:
            return
        text = "Could not get the endings for durable observer {observer}; trying again"
        if failure.check(StoreUnavailable):
            self._log.error(text + ": {error}", observer=self.name, error=failure.value)
        else:
            self._log.failure(text, failure, observer=self.name)

    async def _finish(self) -> None:
        """
        Acknowledge what could not be acknowledged before, and come to the end.
        """
        try:
            await self._acknowledge()
        except Exception:
            self._inTrouble(Failure())
        waiting, self._running = self._running or [], None
        for done in waiting:
            done.callback(None)

    def _broken(self, failure: Failure) -> None:
        """
        There is a mistake in this class.
        """
        self._log.failure("The courier of {observer} has stopped", failure, observer=self.name)
