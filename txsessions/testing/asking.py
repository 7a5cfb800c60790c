"""
A state machine that asks a store and a model the same.  It needs C{hypothesis}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, cast

import attrs
from hypothesis.stateful import RuleBasedStateMachine
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from ..errors import SessionEnded, SessionError, SessionNotFound
from ..interfaces import IConnectedStore, ISessionStoreAdministration
from ..record import Record
from ..stores.claim import Ending
from .model import StoreModel, dies, whyDies
from .outcome import resultOf

START: Final = 1_000_000_000.0
"""
Where the clock begins, in seconds since the epoch.
"""

NEAR: Final = 0.001
"""
How far a time may be off that a server has kept by its own clock, in seconds.
"""

REMEMBERED: Final = 60.0
"""
How long an end is remembered at the least, in seconds; later it may be.
"""


class ComparingMachine(RuleBasedStateMachine):
    """
    Has a store and a L{StoreModel}, and wants the same of both.

    @cvar isTimed: Whether the store goes by C{clock}, so that time can be made
        to pass.  One with a time of its own (a server's) does not.
    @ivar clock: The time.
    @ivar store: The store.
    @ivar model: What it should be like.
    """

    isTimed: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.clock: Any = Clock()
        self.clock.advance(START)
        self.model = StoreModel()
        self.store: Any = None

    def makeStore(self) -> Any:
        """
        An empty store with C{clock} for its clock, or a L{Deferred} that fires
        with it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define makeStore()")

    def reopen(self, store: Any) -> Any:
        """
        Let go of the store, or kill it, and open again what it has kept.

        @return: The new one; the same, if it keeps nothing; or a L{Deferred} that
            fires with it.
        """
        return store

    def call(self, function: Callable[[], Any]) -> Any:
        """
        What a function returns, or what the L{Deferred} fires with that it
        returns; or raise what it fails with.  Where the machine runs in a thread
        (L{runMachine<txsessions.testing.machine.runMachine>}), the function is
        called in that of the reactor.
        """
        if isInIOThread():
            return resultOf(maybeDeferred(function))
        from twisted.internet import reactor

        return blockingCallFromThread(cast("IReactorFromThreads", reactor), function)

    def now(self) -> float:
        """
        The present on the store's clock, in seconds since the epoch.
        """
        seconds: float = self.clock.seconds()
        return seconds

    def has(self, interface: Any) -> bool:
        """
        Whether the store has that ability.
        """
        return bool(interface.providedBy(self.store))

    def ask(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """
        What the store answers: a result, or one of our exceptions.
        """
        method = getattr(self.store, operation)
        return attempted(lambda: self.call(lambda: method(*arguments, **options)))

    def same(self, expected: Any, answer: Any) -> None:
        """
        See to it that the store answers what the model does.
        """
        if isinstance(expected, SessionEnded) and self._isForgotten(expected.sid):
            assert answer is None or isinstance(answer, SessionNotFound), answer
            return
        if isinstance(expected, Exception):
            assert type(answer) is type(expected), f"{answer!r}, not {expected!r}"
            assert str(answer) == str(expected)
            return
        assert self._told(answer) == self._told(expected), f"{answer!r}, not {expected!r}"

    def given(self, sids: Iterable[str], endings: Iterable[Ending]) -> None:
        """
        See to it that these endings were given, each with its last record and why
        it was.
        """
        assert not isinstance(endings, Exception), endings
        found = {ending.record.sid: ending for ending in endings}
        assert found.keys() == set(sids), f"{set(found)} have ended, not {set(sids)}"
        for sid, ending in found.items():
            self.same(self.model.endings[sid].record, ending.record)
            assert ending.reason == self.model.endings[sid].reason

    def claim(self, limit: int) -> None:
        """
        End what has expired, and see that it is that and nothing else.
        """
        now = self.now()
        overdue = {record.sid: record for record in self.model.overdue(now)}
        claim = self.ask("claimExpired", limit)
        assert not isinstance(claim, Exception), claim
        sids = [ending.record.sid for ending in claim.endings]
        assert set(sids) <= overdue.keys(), "what is not overdue was ended"
        assert len(sids) <= limit, "too many were ended"
        # Of those with one deadline, any may come first.
        moments = [dies(overdue[sid]) for sid in sids]
        assert moments == [dies(each) for each in overdue.values()][: len(sids)], "wrong order"
        for sid in sids:
            self.model.end([sid], whyDies(overdue[sid]), now)
        self.given(sids, claim.endings)
        earliest = min((dies(record) for record in self.model.live.values()), default=None)
        if earliest is not None:
            assert claim.nextDeadline is not None, "it forgets what is left"
            assert claim.nextDeadline <= earliest + NEAR, "it looks too late again"

    def finish(self) -> None:
        """
        See to it that the store holds what the model does and nothing else, and
        close it.
        """
        if self.has(ISessionStoreAdministration):
            found = self.call(lambda: Deferred.fromCoroutine(self._all()))
            assert found.keys() == self.model.live.keys()
            for sid, record in found.items():
                self.same(self.model.live[sid], record)
        if self.has(IConnectedStore):
            self.call(self.store.close)

    async def _all(self) -> dict[str, Record]:
        """
        All that is in the store.
        """
        return {sid: record async for sid, record in self.store.iterSessions()}

    def _isForgotten(self, sid: str | None) -> bool:
        """
        Whether a store may have forgotten that a session has ended.
        """
        ending = self.model.endings.get(sid or "")
        return ending is not None and self.now() >= ending.moment + REMEMBERED

    def _told(self, value: Any) -> Any:
        """
        A value in a form that compares with what a store gives, which may keep
        times by a clock of its own.
        """
        if isinstance(value, list):
            return [self._told(each) for each in value]
        if not isinstance(value, Record):
            return value
        facts = attrs.asdict(value, recurse=False)
        facts["attributes"] = dict(value.attributes)
        if not self.isTimed:
            for name in ("created", "lastModified"):
                facts[name] = round(facts[name], 3)
        return facts


def attempted(function: Callable[[], Any]) -> Any:
    """
    What a function returns, or the exception of ours that it raises.
    """
    try:
        return function()
    except SessionError as e:
        return e
