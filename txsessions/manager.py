"""
The manager: loads, sweeps and starts and stops sessions over a store, without
the web.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .clock import steady
from .errors import CorruptRecord, SessionEnded, StoreUnavailable
from .interfaces import IConnectedStore, ISessionStore, ISessionSweep
from .patience import Patience, PatientStore
from .record import Record
from .size import USUAL
from .stores.claim import Ending
from .sweeper import Sweeper
from .token import Token, matches

GRACE: Final = 10.0
"""
How long a store that is to be let go of may take for each of the steps, in
seconds: twice as long as a write may take.
"""


class SessionManager:
    """
    Sessions over a store.

    @ivar clock: The time by which sessions live: an L{IReactorTime} that does
        not jump.
    @ivar store: The store, which answers in time here.
    @ivar isOwner: Whether this process is the only one that uses the store, so
        that what it knows of a session is all there is to know.
    @ivar _grace: Waits for a store that is to be let go of.
    """

    _log = Logger()

    def __init__(
        self,
        store: ISessionStore,
        clock: IReactorTime,
        ended: Callable[[Ending], object] = lambda ending: None,
        beforeSweep: Callable[[], Deferred[None]] = lambda: succeed(None),
    ) -> None:
        """
        @param store: Anything that adapts to L{ISessionStore}.
        @param clock: A reactor, or any other L{IReactorTime}.
        @param ended: Called with each L{Ending} that a sweep brings in.
        @param beforeSweep: Called before anything is ended; the L{Deferred}
            that it returns is waited for.
        """
        self._store = ISessionStore(store)
        self.clock = steady(clock)
        if self._store.clock is None:
            self._store.clock = self.clock
        self.store = PatientStore(self._store, self.clock)
        self._grace = Patience(self.clock, GRACE)
        self.limits = USUAL
        self.isOwner = not getattr(self._store, "isMultiprocessSafe", False)
        self._ended = ended
        sweep = ISessionSweep(self._store, None)
        self._sweeper = (
            None if sweep is None else Sweeper(sweep, self.clock, self._tell, beforeSweep)
        )

    def start(self) -> None:
        """
        Begin to end what has expired, at the time at which it expires.
        """
        if self._sweeper is not None:
            self._sweeper.start()

    @inlineCallbacks
    def stop(self):  # type: ignore[no-untyped-def]  # inlineCallbacks
        """
        Finish what is under way, and let go of the store.  A store that hangs
        is not waited for without end.

        @return: A L{Deferred} that fires with L{None} when all that was
            acknowledged is stored.
        """
        if self._sweeper is not None:
            yield self._grace.wait(self._sweeper.stop()).addErrback(self._notDone)
        yield self._grace.wait(self.store.whenIdle()).addErrback(self._notDone)
        connected = IConnectedStore(self._store, None)
        if connected is not None:
            yield self._grace.wait(connected.close()).addErrback(self._notDone)

    def sweep(self) -> Deferred[None]:
        """
        End all that has expired by now.

        @return: A L{Deferred} that fires with L{None} when that is done, or
            when the store could not answer.
        """
        return succeed(None) if self._sweeper is None else self._sweeper.run()

    def wakeBy(self, time: float) -> None:
        """
        A session that was stored now expires at that time, in seconds on the
        clock.
        """
        if self._sweeper is not None:
            self._sweeper.wakeBy(time)

    def load(self, token: Token, audience: bytes, superseded: Any = None) -> Deferred[Any]:
        """
        The record that this token opens; it may be past its deadline.

        @param audience: L{txsessions.token.SECURE} or
            L{txsessions.token.INSECURE}.
        @param superseded: What to give when the verifier is wrong.
        @return: A L{Deferred} that fires with the record, or with L{None} when
            the token opens none: there is no such session, it has ended, its
            record is damaged (which is reported); or with C{superseded}; and
            fails with L{StoreUnavailable<txsessions.errors.StoreUnavailable>}
            or L{UnknownKey<txsessions.errors.UnknownKey>}.
        """

        def check(record: Record | None) -> Any:
            if record is None or matches(token, audience, record.verifier):
                return record
            return superseded

        return self.store.loadSession(token.sid).addCallbacks(check, self._noRecord)

    def _noRecord(self, failure: Failure) -> None:
        """
        A session that has ended, and one whose record is damaged, is none.
        """
        failure.trap(SessionEnded, CorruptRecord)
        if failure.check(CorruptRecord):
            self._log.error("{error}", error=failure.value)

    def _notDone(self, failure: Failure) -> None:
        """
        The store could not finish in time; the process ends nevertheless.
        """
        failure.trap(StoreUnavailable)
        self._log.error("Stopping, although {error}.", error=failure.value)

    def _tell(self, ending: Ending) -> None:
        """
        Pass an ending on; what goes wrong hurts no other.
        """
        try:
            self._ended(ending)
        except Exception:
            self._log.failure("Telling the end of session {sid} failed.", sid=ending.record.sid)
