"""
The sweep: end what has expired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from .duties import BATCH
from .interfaces import ISessionSweep
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
    @ivar _failures: How often in a row the store could not answer.
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
        self._running: list[Deferred[None]] | None = None
        self._isStarted = False
        self._call: IDelayedCall | None = None
        self._at = 0.0
        self._failures = 0

    def start(self) -> None:
        """
        Look at once, and from then on whenever something may have expired.
        """
        self._isStarted = True
        self.run()

    def stop(self) -> Deferred[None]:
        """
        Look no longer.

        @return: A L{Deferred} that fires with L{None} when no run is under way.
        """
        self._isStarted = False
        self._cancel()
        done: Deferred[None] = Deferred()
        if self._running is None:
            done.callback(None)
        else:
            self._running.append(done)
        return done

    def wakeBy(self, time: float) -> None:
        """
        Something expires at that time, in seconds on the clock: look then, if
        not before.
        """
        if self._isStarted and self._running is None and time < self._at:
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
        self._sweep().addErrback(self._failed).addCallback(self._finished)
        return done

    @inlineCallbacks
    def _sweep(self) -> Any:
        """
        Claim one batch after the other, and let the reactor run in between.

        @return: A L{Deferred} that fires with the next deadline, or C{None}.
        """
        while True:
            yield self._prepare()
            claim: Claim = yield self._store.claimExpired(BATCH)
            for ending in claim.endings:
                self._tell(ending)
            self._failures = 0
            if claim.nextDeadline is None or claim.nextDeadline > self._clock.seconds():
                return claim.nextDeadline
            yield deferLater(self._clock, 0.0)

    def _failed(self, failure: Failure) -> float:
        """
        The store could not answer: rest longer each time.

        @return: When to look again, in seconds on the clock.
        """
        self._failures += 1
        if self._failures == 1:
            self._log.failure("Could not end what has expired; trying again.", failure)
        return self._clock.seconds() + min(2.0 ** min(self._failures, 6), LONGEST_BACKOFF)

    def _finished(self, next: float | None) -> None:
        """
        Rest until there may be something to do again.
        """
        waiting, self._running = self._running, None
        if self._isStarted:
            latest = self._clock.seconds() + (LONGEST_BACKOFF if self._failures else LONGEST_REST)
            self._restUntil(latest if next is None else min(latest, next))
        for done in waiting or ():
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
