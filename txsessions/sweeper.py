"""
The sweep: end what has expired.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .duties import BATCH, CHUNK, SLICE, TRIP_CHUNK, TRIP_SLICE
from .errors import StoreUnavailable, UnknownKey
from .interfaces import ISessionSweep
from .patience import Patience
from .stores.claim import Claim, Ending

LONGEST_REST: Final = 30.0
"""
How long a sweeper rests at the most, in seconds: so late it notices what other
processes have stored, and what was to end earlier than it knew.
"""

LONGEST_BACKOFF: Final = 60.0
"""
How long it rests at the most after the store could not answer, in seconds.
"""


CLAIM_TIMEOUT: Final = 30.0
"""
How long it waits for one batch, in seconds: longer than any store needs, since
what is given up goes on in the store.
"""


class Sweeper:
    """
    Ends what has expired in a store, in batches, at the time at which it
    expires.

    Once started it looks again and again; C{run} looks at once, started or
    not.

    @ivar _tell: Called with each L{Ending}; must not raise.
    @ivar _prepare: Called before each batch, with a L{Deferred} to wait for:
        tells the store what it has to know before it ends anything.
    @ivar _running: The run that is under way, as the Deferreds that wait for
        its end; C{None} when none is.
    @ivar _isStarted: Whether it looks by itself.
    @ivar _isStopping: Whether the run that is under way is to end early.
    @ivar _call: The next run, or the next batch of the one under way.
    @ivar _at: When the next run comes, in seconds on the clock.
    @ivar _wanted: When something expires that became known during a run.
    @ivar _failures: How often in a row the store could not answer.
    @ivar _limit: How many endings the next batch has at the most: so many that
        it holds the reactor for a few milliseconds.
    """

    _log = Logger()

    def __init__(
        self,
        store: ISessionSweep,
        clock: IReactorTime,
        tell: Callable[[Ending], object],
        prepare: Callable[[], Deferred[None]] = lambda: succeed(None),
    ) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell
        self._prepare = prepare
        self._patience = Patience(clock, CLAIM_TIMEOUT)
        self._running: list[Deferred[None]] | None = None
        self._isStarted = False
        self._isStopping = False
        self._call: IDelayedCall | None = None
        self._at = 0.0
        self._wanted = inf
        self._failures = 0
        self._limit = BATCH

    def start(self) -> None:
        """
        Look at once, and from then on whenever something may have expired.
        """
        self._isStarted = True
        self.run()

    def stop(self) -> Deferred[None]:
        """
        Look no longer, and end no more than the batch that is under way.

        @return: A L{Deferred} that fires with L{None} when none is.
        """
        self._isStarted = False
        if self._running is None:
            self._cancel()
            return succeed(None)
        self._isStopping = True
        done: Deferred[None] = Deferred()
        self._running.append(done)
        if self._call is not None:
            self._finished(None)
        return done

    def wakeBy(self, time: float) -> None:
        """
        Something expires at that time, in seconds on the clock: look then, if
        not before.
        """
        if self._running is not None:
            self._wanted = min(self._wanted, time)
        elif self._isStarted and time < self._at and not self._failures:
            self._restUntil(time)

    def run(self) -> Deferred[None]:
        """
        End all that has expired.

        @return: A L{Deferred} that fires with L{None} when that is done, or
            when the store could not answer.
        """
        done: Deferred[None] = Deferred()
        if self._running is not None:
            self._running.append(done)
            return done
        self._running = [done]
        self._cancel()
        self._endSome()
        return done

    def _endSome(self) -> None:
        """
        End one batch.
        """
        self._call = None
        batch: Deferred[Any] = maybeDeferred(self._prepare)
        batch.addCallback(lambda _: self._patience.wait(self._claim()))
        batch.addCallbacks(self._claimed, self._failed)

    def _claim(self) -> Deferred[Claim]:
        """
        Claim one batch, and tell what it brings in, however late.
        """

        began, limit = self._clock.seconds(), self._limit
        claiming = self._store.claimExpired(limit)
        # A store in memory has held the reactor for it.
        isHere = claiming.called

        def tell(claim: Claim) -> Claim:
            start = began if isHere else self._clock.seconds()
            for ending in claim.endings:
                self._tell(ending)
            used = self._clock.seconds() - start
            if isHere:
                self._learn(limit, used, SLICE, CHUNK)
            else:
                self._learn(limit, used, TRIP_SLICE, TRIP_CHUNK)
            return claim

        return claiming.addCallback(tell)

    def _learn(self, limit: int, seconds: float, slice: float, least: int) -> None:
        """
        Find out from one batch how large the next one may be.

        @param limit: How large it could be.  It may have ended few, and have looked
            at many that were touched.
        @param seconds: How long it held the reactor.
        @param slice: How long it may.
        @param least: How large one is at the least.
        """
        fitting = int(limit * slice / seconds) if seconds > 0 else BATCH
        # One that had little to do says little.
        self._limit = max(least, min(BATCH, 2 * limit, fitting))

    def _claimed(self, claim: Claim) -> None:
        """
        One batch has been ended: let the reactor run before the next one.
        """
        self._failures = 0
        next = claim.nextDeadline
        if next is None or next > self._clock.seconds() or self._isStopping:
            self._finished(next)
        else:
            self._call = self._clock.callLater(0.0, self._endSome)

    def _failed(self, failure: Failure) -> None:
        """
        The store could not answer: rest longer each time.
        """
        self._failures += 1
        if self._failures == 1:
            self._tellTrouble(failure)
        rest = min(2.0 ** min(self._failures, 6), LONGEST_BACKOFF)
        self._finished(self._clock.seconds() + rest)

    def _tellTrouble(self, failure: Failure) -> None:
        """
        Log why nothing was ended: in one line, if that is known to happen.
        """
        text = "Could not end what has expired; trying again"
        if failure.check(StoreUnavailable, UnknownKey):
            self._log.error(f"{text}: {{error}}", error=failure.value)
        else:
            self._log.failure(f"{text}.", failure)

    def _finished(self, next: float | None) -> None:
        """
        Rest until there may be something to do again.

        @param next: When that is, as far as the store knows.
        """
        waiting, self._running = self._running or [], None
        wanted, self._wanted = self._wanted, inf
        self._isStopping = False
        self._cancel()
        if self._isStarted:
            latest = inf if self._failures else min(wanted, self._clock.seconds() + LONGEST_REST)
            self._restUntil(latest if next is None else min(latest, next))
        for done in waiting:
            done.callback(None)

    def _restUntil(self, time: float) -> None:
        """
        Set the delayed call.
        """
        self._cancel()
        self._at = time
        self._call = self._clock.callLater(max(0.0, time - self._clock.seconds()), self.run)

    def _cancel(self) -> None:
        """
        Leave no delayed call behind.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
