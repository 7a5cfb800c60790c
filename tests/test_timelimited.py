"""
Tests for L{txsessions.stores.timelimited} and L{txsessions.stores.breaker}.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from txsessions.errors import SessionNotFound, StoreTimedOut, StoreUnavailable
from txsessions.interfaces import ISessionIndex, ISessionStore, ISessionSweep
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.breaker import Breaker
from txsessions.stores.memory import MemoryStore
from txsessions.stores.timelimited import TimeLimitedStore
from txsessions.testing import FailingStore, HangingStore, RecordingStore
from txsessions.testing.contract import (
    AdministrationContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)

SID = "0123456789abcdef" * 2


class TestContract(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
):
    """
    A store with limits keeps the promises of the store inside.
    """

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return TimeLimitedStore(MemoryStore(self.clock), self.clock)


def newRecord(**facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 100.0}
    return Record(**{"sid": SID, "verifier": bytes(32), **usual, **facts})


class TestBreaker:
    """
    Who is known to be down is asked seldom.
    """

    def test_opens(self) -> None:
        """
        It opens after so many failures in a row, and not when there was an
        answer among them.
        """
        breaker = Breaker(Clock(), failures=3)
        for _ in range(2):
            breaker.failed()
        breaker.answered()
        for _ in range(2):
            breaker.failed()
        assert not breaker.isOpen
        assert breaker.admits()
        breaker.failed()
        assert breaker.isOpen
        assert not breaker.admits()

    def test_probes(self) -> None:
        """
        While it is open it admits one call in a second, and none before.
        """
        clock = Clock()
        breaker = Breaker(clock, failures=1, pause=1.0)
        breaker.failed()
        clock.advance(0.875)
        assert not breaker.admits()
        for _ in range(3):
            clock.advance(0.125)
            assert breaker.admits()
            assert not breaker.admits()
            breaker.failed()
            clock.advance(0.875)
            assert not breaker.admits()

    def test_closes(self) -> None:
        """
        The first answer closes it.
        """
        breaker = Breaker(Clock(), failures=1)
        breaker.failed()
        breaker.answered()
        assert all(breaker.admits() for _ in range(10))

    def test_clockSetBack(self) -> None:
        """
        A clock that was set back does not keep probes waiting.
        """
        clock = Clock()
        clock.advance(10_000)
        breaker = Breaker(clock, failures=1)
        breaker.failed()
        clock.rightNow = 0.0
        assert breaker.admits()


class TestTimeLimitedStore:
    """
    A store that answers in time.
    """

    @pytest.fixture(autouse=True)
    def stores(self) -> None:
        """
        A clock, a store that hangs when it should, and that store with limits.
        """
        self.clock = Clock()
        self.memory = MemoryStore(self.clock)
        self.memory.createSession(newRecord())
        self.hanging = HangingStore(self.memory)
        self.store = TimeLimitedStore(self.hanging, self.clock, 2.0, 5.0)

    def calls(self) -> list[Any]:
        """
        One call of each operation that has a limit, and that limit.
        """
        store: Any = self.store
        change = Change(SID, set={"data:a": b"1"})
        return [
            (lambda: store.loadSession(SID), 2.0),
            (lambda: store.hasSession(SID), 2.0),
            (lambda: store.findSessions("anna"), 2.0),
            (lambda: store.createSession(newRecord(sid="f" * 32)), 5.0),
            (lambda: store.saveSession(change), 5.0),
            (lambda: store.deleteSession("e" * 32), 5.0),
            (lambda: store.claimExpired(10), 5.0),
            (lambda: store.logInSession(Change(SID, sessionKey="anna")), 5.0),
            (lambda: store.endSessions("nobody"), 30.0),
            (lambda: store.takeEndings("mail", 10, 60.0), 5.0),
        ]

    def test_provides(self) -> None:
        """
        It provides what the store inside provides.
        """
        for interface in (ISessionStore, ISessionSweep, ISessionIndex):
            assert interface.providedBy(self.store)
        assert not ISessionSweep.providedBy(TimeLimitedStore(Bare(), self.clock))

    @pytest_twisted.ensureDeferred
    async def test_limits(self) -> None:
        """
        Each operation on a store that hangs fails at its limit, and not before.
        """
        for call, limit in self.calls():
            self.hanging.hang()
            answer = call()
            self.clock.advance(limit - 0.125)
            assert not answer.called
            self.clock.advance(0.125)
            with pytest.raises(StoreTimedOut):
                await answer
            self.hanging.release()
        assert self.clock.getDelayedCalls() == []

    @pytest_twisted.ensureDeferred
    async def test_inTime(self) -> None:
        """
        An answer that comes in time is given, and leaves no delayed call.
        """
        for call, limit in self.calls():
            self.hanging.hang()
            answer = call()
            self.clock.advance(limit - 0.125)
            self.hanging.release()
            await answer
        assert self.clock.getDelayedCalls() == []

    @pytest_twisted.ensureDeferred
    async def test_goesOn(self) -> None:
        """
        What was given up is done all the same, before what comes later.
        """
        self.hanging.hang()
        first = self.store.saveSession(Change(SID, set={"data:a": b"1"}))
        self.clock.advance(5)
        with pytest.raises(StoreTimedOut):
            await first
        second = self.store.saveSession(Change(SID, set={"data:a": b"2"}))
        self.hanging.release()
        assert await second == 3
        assert (await self.store.loadSession(SID)).attributes == {"data:a": b"2"}

    @pytest_twisted.ensureDeferred
    async def test_browsing(self) -> None:
        """
        Browsing fails when a step hangs, and ends when there is no more.
        """
        assert [sid async for sid, _ in self.store.iterSessions()] == [SID]
        self.hanging.hang("iterSessions")
        step = ensure(anext(self.store.iterSessions()))
        self.clock.advance(5)
        with pytest.raises(StoreTimedOut):
            await step
        self.hanging.release()

    @pytest_twisted.ensureDeferred
    async def test_people(self) -> None:
        """
        What people start may take longer.
        """
        self.hanging.hang()
        answer = self.store.deleteOldSessions(10)
        self.clock.advance(1000)
        assert not answer.called
        self.hanging.release()
        assert await answer == 1

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("cancel", [False, True])
    async def test_lateClaims(self, cancel: bool) -> None:
        """
        What a claim brings in that was given up, or that its caller gave up, is
        given to the next ones, each at most once and never more than they ask for.
        """
        for number in range(4):
            await self.memory.createSession(newRecord(sid=f"{number:032x}"))
        self.clock.advance(100)
        self.hanging.hang(answersOnly=True)
        claim: Any = self.store.claimExpired(10)  # type: ignore[attr-defined]
        if cancel:
            claim.cancel()
        self.clock.advance(5)
        with pytest.raises(CancelledError if cancel else StoreTimedOut):
            await claim
        self.hanging.release()
        found = []
        for expected in (3, 2, 0):
            claim = await self.store.claimExpired(3)  # type: ignore[attr-defined]
            assert len(claim.endings) == expected
            assert (claim.nextDeadline is None) is (expected == 0)
            found += [ending.record.sid for ending in claim.endings]
        assert len(set(found)) == 5

    @pytest_twisted.ensureDeferred
    async def test_lateEvictions(self) -> None:
        """
        Sessions that had to make room for a log-in that was given up, or that ended with
        all of their owner when that was given up, are given to the next claims.
        """
        store: Any = self.store
        for number in range(4):
            await self.memory.createSession(
                newRecord(sid=f"{number:032x}", sessionKey="anna", created=float(number))
            )
        self.hanging.hang("logInSession", "endSessions", answersOnly=True)
        entering = store.logInSession(Change(SID, sessionKey="anna"), SessionLimit(3))
        self.clock.advance(5)
        with pytest.raises(StoreTimedOut):
            await entering
        ending = store.endSessions("anna", exceptFor=SID)
        self.clock.advance(30)
        with pytest.raises(StoreTimedOut):
            await ending
        assert list((await store.claimExpired(10)).endings) == []
        self.hanging.release()
        found = []
        for expected in (3, 1, 0):
            claim = await store.claimExpired(3)
            assert len(claim.endings) == expected
            assert not expected or claim.nextDeadline <= self.clock.seconds()
            found += [(ending.record.sid, ending.reason) for ending in claim.endings]
        assert len({sid for sid, _ in found}) == 4
        assert [reason for _, reason in found] == ["evicted"] * 2 + ["revoked"] * 2

    def test_watching(self) -> None:
        """
        Endings of a store that hangs, or that is not asked, are heard of all the same.
        """
        heard: list[str] = []
        self.hanging.hang()
        store: Any = self.store
        stop = store.watchEndings(lambda sid, reason: heard.append(sid), lambda: None)
        self.memory.deleteSession(SID)
        assert heard == [SID]
        stop()

    @pytest_twisted.ensureDeferred
    async def test_breaker(self) -> None:
        """
        After ten failures in a row the store is asked once a second, whatever
        the operation, and when it answers it is asked again for all.
        """
        failing = FailingStore(self.memory)
        recording = RecordingStore(failing)
        store = TimeLimitedStore(recording, self.clock)
        failing.fail()
        for _ in range(10):
            with pytest.raises(StoreUnavailable, match="broke"):
                await store.loadSession(SID)
        for seconds in range(3):
            for _ in range(20):
                with pytest.raises(StoreUnavailable, match="many times in a row"):
                    await store.hasSession(SID)
            assert recording.count() == 10 + seconds
            self.clock.advance(1)
            with pytest.raises(StoreUnavailable, match="broke"):
                await store.saveSession(Change(SID, set={"data:a": b"1"}))
        failing.mend()
        self.clock.advance(1)
        for _ in range(20):
            assert await store.loadSession(SID) == newRecord()

    @pytest_twisted.ensureDeferred
    async def test_hanging(self) -> None:
        """
        A store that hangs opens the breaker, so that later calls fail at once.
        """
        self.hanging.hang()
        answers = [self.store.loadSession(SID) for _ in range(10)]
        self.clock.advance(2)
        for answer in answers:
            with pytest.raises(StoreTimedOut):
                await answer
        with pytest.raises(StoreUnavailable, match="many times in a row"):
            await self.store.loadSession(SID)
        self.hanging.release()
        self.clock.advance(1)
        assert await self.store.loadSession(SID) == newRecord()

    @pytest_twisted.ensureDeferred
    async def test_answersAreNoFailures(self) -> None:
        """
        A session that is not there, or a caller that gave up, opens nothing.
        """
        for _ in range(20):
            with pytest.raises(SessionNotFound):
                await self.store.saveSession(Change("f" * 32))
        self.hanging.hang()
        for _ in range(20):
            answer = self.store.loadSession(SID)
            answer.addErrback(lambda failure: None)
            answer.cancel()
        self.hanging.release()
        assert await self.store.loadSession(SID) == newRecord()


class Bare:
    """
    Something that provides nothing.
    """


def ensure(awaitable: Any) -> Any:
    """
    A Deferred for something that is awaited.
    """
    from twisted.internet.defer import ensureDeferred

    async def wait() -> Any:
        return await awaitable

    return ensureDeferred(wait())
