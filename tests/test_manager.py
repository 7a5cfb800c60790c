"""
Tests for L{txsessions.manager}.
"""

from __future__ import annotations

import os
from binascii import hexlify
from typing import Any

import pytest
from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from txsessions.clock import SteadyClock
from txsessions.custody import GRACE
from txsessions.errors import CorruptRecord, StoreTimedOut, StoreUnavailable, UnknownKey
from txsessions.interfaces import IConnectedStore, ISessionStore
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.manager import SessionManager
from txsessions.record import Record
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, HangingStore, RecordingStore, resultOf
from txsessions.token import INSECURE, SECURE, Token, digest, parse

TOKEN = hexlify(bytes(range(32)))


def parsed(token: bytes = TOKEN) -> Token:
    """
    A token in its halves.
    """
    halves = parse(token)
    assert halves is not None
    return halves


def newRecord(audience: bytes = INSECURE) -> Record:
    """
    The record of the session that the token opens.
    """
    token = parsed()
    return Record(
        token.sid,
        digest(token.verifier, audience),
        created=0.0,
        lastModified=0.0,
        sessionTimeout=900.0,
    )


def outcomes(deferred: Deferred[Any]) -> list[Any]:
    """
    A list to which the result of the Deferred will be added.
    """
    results: list[Any] = []
    deferred.addBoth(
        lambda result: results.append(result.value if isinstance(result, Failure) else result)
    )
    return results


@implementer(ISessionStore)
class PlainStore:
    """
    A store that can do no more than it has to.
    """

    clock = None

    def loadSession(self, sid: str, default: Any = None) -> Any:
        """
        Nothing is there.
        """
        return succeed(default)


@implementer(IConnectedStore)
class ConnectedStore(MemoryStore):
    """
    A store that has to be closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closing: list[Deferred[None]] = []

    def close(self) -> Deferred[None]:
        """
        Wait for the test.
        """
        self.closing.append(Deferred())
        return self.closing[-1]


@pytest.fixture
def events() -> Any:
    """
    What is logged.
    """
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


class Place:
    """
    A host: where sessions might be alive.

    @ivar ends: What it was told of endings.
    @ivar error: What it raises then.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.ends: list[tuple[str, str]] = []
        self.error = error

    def sessionEnded(self, sid: str, reason: str) -> None:
        """
        See L{txsessions.custody.Host}.
        """
        self.ends.append((sid, reason))
        if self.error is not None:
            raise self.error

    def sessionChanged(self, sid: str) -> None:
        """
        See L{txsessions.custody.Host}.
        """

    def endingsMissed(self) -> None:
        """
        See L{txsessions.custody.Host}.
        """

    def saveTouches(self) -> Deferred[None]:
        """
        See L{txsessions.custody.Host}.
        """
        return succeed(None)


class TestClock:
    """
    One clock for all.
    """

    def test_lends(self) -> None:
        """
        A store without a clock gets the manager's, one that has a clock keeps it.
        """
        clock, own = Clock(), Clock()
        manager = SessionManager(MemoryStore(), clock)
        assert manager.clock is clock and manager.store.clock is clock
        assert SessionManager(MemoryStore(own), clock).store.clock is own

    def test_steady(self) -> None:
        """
        That of a real reactor is made steady.
        """
        reactor: Any = realReactor
        assert isinstance(SessionManager(MemoryStore(), reactor).clock, SteadyClock)

    def test_isOwner(self) -> None:
        """
        A process owns the sessions of a store that no other process can use.
        """
        assert SessionManager(MemoryStore(), Clock()).isOwner
        shared = MemoryStore()
        shared.isMultiprocessSafe = True
        assert not SessionManager(shared, Clock()).isOwner

    def test_adapts(self) -> None:
        """
        Whatever does not adapt to a store is refused at once.
        """
        with pytest.raises(TypeError):
            SessionManager(object(), Clock())  # type: ignore[arg-type]  # on purpose


class TestLoad:
    """
    From a token to a record.
    """

    def test_opens(self) -> None:
        """
        The right token opens the record, also one whose deadline has passed.
        """
        clock = Clock()
        manager = SessionManager(MemoryStore(), clock)
        manager.store.createSession(newRecord())
        clock.advance(10_000)
        assert resultOf(manager.load(parsed(), INSECURE)) == newRecord()

    def test_opensNone(self) -> None:
        """
        No session, one that has ended, and one for another audience are the same to whoever
        asks: there is none.  So is a wrong verifier, unless the caller wants to know.
        """
        manager = SessionManager(MemoryStore(), Clock())
        assert resultOf(manager.load(parsed(), INSECURE)) is None
        manager.store.createSession(newRecord())
        wrong = parsed(TOKEN[:32] + hexlify(os.urandom(16)))
        assert resultOf(manager.load(wrong, INSECURE)) is None
        assert resultOf(manager.load(wrong, INSECURE, "superseded")) == "superseded"
        assert resultOf(manager.load(parsed(), SECURE)) is None
        manager.store.deleteSession(parsed().sid, LOGOUT)
        assert resultOf(manager.load(parsed(), INSECURE, "superseded")) is None

    @pytest.mark.parametrize("error", [StoreUnavailable, StoreTimedOut, UnknownKey])
    def test_cannotAnswer(self, error: type[Exception]) -> None:
        """
        A store that cannot answer is an error, never "no session".
        """
        store = FailingStore(MemoryStore())
        manager = SessionManager(store, Clock())
        store.fail(error=error)
        assert type(outcomes(manager.load(parsed(), INSECURE))[0]) is error

    def test_damaged(self, events: list[Any]) -> None:
        """
        A damaged record is no session, and is reported.
        """
        store = FailingStore(MemoryStore())
        manager = SessionManager(store, Clock())
        store.fail(error=lambda: CorruptRecord(parsed().sid, "it is cut short"))
        assert resultOf(manager.load(parsed(), INSECURE)) is None
        [event] = events
        assert "cut short" in str(event["error"]) and TOKEN[32:].decode() not in str(event)

    def test_hangs(self) -> None:
        """
        A store that hangs is given up after two seconds.
        """
        clock = Clock()
        store = HangingStore(MemoryStore())
        manager = SessionManager(store, clock)
        store.hang()
        result = outcomes(manager.load(parsed(), INSECURE))
        clock.advance(1.999)
        assert not result
        clock.advance(0.001)
        assert isinstance(result[0], StoreTimedOut)
        store.release()


class TestSweep:
    """
    Ends that come by themselves.
    """

    def test_endings(self) -> None:
        """
        What expires is told where it may be alive, at that moment.
        """
        clock = Clock()
        place = Place()
        manager = SessionManager(MemoryStore(), clock)
        manager.join(place)
        manager.store.createSession(newRecord())
        manager.start()
        clock.pump([899.0, 0.875])
        assert place.ends == []
        clock.advance(0.125)
        assert place.ends == [(newRecord().sid, IDLE)]

    def test_raising(self, events: list[Any]) -> None:
        """
        Whoever is told and raises is reported, and hurts nobody.
        """
        clock = Clock()
        places = [Place(ZeroDivisionError()), Place()]
        manager = SessionManager(MemoryStore(), clock)
        for place in places:
            manager.join(place)
        for number in range(3):
            record = newRecord()
            manager.store.createSession(
                Record(f"{number:032}", record.verifier, 0.0, 0.0, sessionTimeout=9.0)
            )
        clock.advance(10)
        assert manager.sweep().called
        assert [len(place.ends) for place in places] == [3, 3] and len(events) == 3

    def test_asked(self) -> None:
        """
        Nothing is swept before it was started, or asked to.
        """
        clock = Clock()
        store = RecordingStore(MemoryStore())
        manager = SessionManager(store, clock)
        manager.wakeBy(1.0)
        clock.advance(100)
        assert store.count() == 0
        resultOf(manager.sweep())
        assert store.count("claimExpired") == 1

    def test_cannotSweep(self) -> None:
        """
        A store that cannot sweep is not asked to.
        """
        manager = SessionManager(PlainStore(), Clock())
        manager.start()
        manager.wakeBy(1.0)
        assert resultOf(manager.sweep()) is None
        assert resultOf(manager.stop()) is None


class TestStop:
    """
    The end of the process.
    """

    def test_drains(self) -> None:
        """
        Writes that are under way are waited for, then the store is closed, then it is done.
        """
        clock = Clock()
        inside = ConnectedStore()
        store = HangingStore(inside)
        manager = SessionManager(store, clock)
        manager.start()
        store.hang()
        manager.store.createSession(newRecord())
        stopped = outcomes(manager.stop())
        clock.advance(1)
        assert not stopped and not inside.closing
        store.release()
        assert not stopped and len(inside.closing) == 1
        inside.closing[0].callback(None)
        assert stopped == [None] and not clock.getDelayedCalls()
        assert resultOf(inside.hasSession(parsed().sid))

    def test_hangs(self, events: list[Any]) -> None:
        """
        A store that hangs for ever does not keep the process from ending; that is reported.
        """
        clock = Clock()
        inside = ConnectedStore()
        store = HangingStore(inside)
        manager = SessionManager(store, clock)
        store.hang()
        manager.start()
        outcomes(manager.store.createSession(newRecord()))
        stopped = outcomes(manager.stop())
        clock.pump([GRACE] * 3)
        assert stopped == [None] and len(inside.closing) == 1
        assert sum(event["log_format"].startswith("Stopping, although") for event in events) == 3
        clock.advance(60)
        assert not clock.getDelayedCalls()

    def test_failsToClose(self, events: list[Any]) -> None:
        """
        So it is with a store that cannot be closed.
        """
        inside = ConnectedStore()
        inside.close = lambda: fail(StoreUnavailable("its server is gone"))  # type: ignore[method-assign]  # on purpose
        assert resultOf(SessionManager(inside, Clock()).stop()) is None
        assert "its server is gone" in str(events[0]["error"])

    def test_twice(self) -> None:
        """
        One that was stopped may be started again, and stopped again.
        """
        clock = Clock()
        manager = SessionManager(MemoryStore(), clock)
        for _ in range(2):
            manager.start()
            assert clock.getDelayedCalls()
            assert resultOf(manager.stop()) is None
            assert not clock.getDelayedCalls()
        assert resultOf(manager.stop()) is None
