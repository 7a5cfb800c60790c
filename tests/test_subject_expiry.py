"""
Tests for L{txsessions.subject}: sessions that nobody destroys, the end, and durable observers;
and for L{txsessions.claims}.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from listening import Listener, TurningClock, clockOf, logged, settle, texts
from subjects import story, subjectOf
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.claims import Claims
from txsessions.errors import StoreTimedOut
from txsessions.interfaces import (
    ISessionExpired,
    ISessionStorage,
    ISessionSweep,
)
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.record import Record
from txsessions.stores.memory import MemoryStore
from txsessions.stores.storage import StoreStorage
from txsessions.subject import SessionSubject
from txsessions.testing import HangingStore, resultOf

EXAMPLES = Path(__file__).parents[1] / "examples"
OWN = runpy.run_path(str(EXAMPLES / "own_storage.py"))
ID = -5577006791947779410


@implementer(ISessionStorage)
@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


class TestExpiry:
    """
    Sessions that nobody destroys.
    """

    def test_expires(self, clock: TurningClock) -> None:
        """
        A session ends at its time, not before, and its observers are told with its own id and
        the reason.
        """
        store = MemoryStore()
        subject, listener = subjectOf(StoreStorage(store, 60.0), clock, ISessionExpired)
        subject.start()
        resultOf(subject.createSession(ID))
        resultOf(subject.createSession(7))
        resultOf(subject.destroySession(7))
        clock.advance(59.999)
        assert not listener.heard and resultOf(subject.hasSession(ID))
        clock.advance(0.001)
        (event,) = listener.heard
        assert (event.sessionID, event.reason, event.time) == (ID, IDLE, 1e9 + 60)
        assert resultOf(subject.hasSession(ID)) is False
        resultOf(subject.stop())
        assert not clock.getDelayedCalls()

    def test_whileStopped(self, clock: TurningClock) -> None:
        """
        What expired while nobody swept is told at the start; a stopped subject ends nothing.
        """
        store = MemoryStore()
        subject, listener = subjectOf(StoreStorage(store, 60.0), clock)
        subject.start()
        resultOf(subject.createSession(ID))
        stopped = subject.stop()
        settle(clock)
        assert stopped.called
        clock.advance(1000)
        settle(clock)
        assert story(listener) == [("created", ID)] and not clock.getDelayedCalls()
        again, other = subjectOf(StoreStorage(store, 60.0), clock)
        again.start()
        settle(clock)
        assert story(other) == [("destroyed", ID)]
        resultOf(again.stop())

    def test_many(self, clock: TurningClock) -> None:
        """
        Of very many sessions that end at once, an observer that is not slow is told of all, and
        what waits for it stays within bounds.
        """
        subject, listener = subjectOf(StoreStorage(MemoryStore(), 60.0), clock, ISessionExpired)

        def work(event: Any) -> None:
            clock.rightNow += 0.0001

        listener.do = work
        subject.start()
        for sessionID in range(5000):
            subject.createSession(sessionID)
        clock.advance(60.0)
        assert len(listener.heard) == 5000
        assert subject._publisher.dropped == 0
        resultOf(subject.stop())

    def test_strangers(self, clock: TurningClock) -> None:
        """
        A session of somebody else's in the same store is none of the observers' business.
        """
        store = MemoryStore()
        subject, listener = subjectOf(store, clock)
        store.createSession(Record("0" * 32, bytes(32), 1e9, 1e9, 10.0))
        subject.start()
        clock.advance(10)
        assert not listener.heard
        resultOf(subject.stop())

    def test_orderOverLives(self, clock: TurningClock) -> None:
        """
        The end of one life of an id is told before the beginning of the next, also when the
        store's answer to the sweep comes late.
        """
        store = HangingStore(MemoryStore())
        subject, listener = subjectOf(StoreStorage(store, 60.0), clock)
        subject.start()
        resultOf(subject.createSession(ID))
        store.hang("claimExpired", answersOnly=True)
        clock.advance(60)
        creating = subject.createSession(ID)
        settle(clock)
        assert story(listener) == [("created", ID)]
        store.release()
        settle(clock)
        assert resultOf(creating) is True
        assert story(listener) == [("created", ID), ("destroyed", ID), ("created", ID)]
        resultOf(subject.stop())

    def test_orderBroken(self, clock: TurningClock, monkeypatch: Any) -> None:
        """
        The test before finds out what is broken on purpose: a subject that does not wait for the
        sweep.
        """

        async def settled(self: Any) -> None:
            pass

        monkeypatch.setattr(Claims, "settled", settled)
        with pytest.raises(AssertionError):
            self.test_orderOverLives(clock)

    def test_claims(self) -> None:
        """
        What says whether a sweep is under way is a sweep.
        """
        claims = Claims(MemoryStore())
        assert verifyObject(ISessionSweep, claims)
        assert resultOf(claims.claimExpired(5)).endings == []
        assert resultOf(Deferred.fromCoroutine(claims.settled())) is None  # type: ignore[func-returns-value]  # that it has fired


class TestStopping:
    """
    The end.
    """

    def test_tellsTheRest(self, clock: TurningClock) -> None:
        """
        All that happened before the end is told, slow observers having some seconds for it; then
        the store is let go of.
        """
        store = MemoryStore()
        held: list[Deferred[None]] = []

        def wait(event: Any) -> Deferred[None]:
            held.append(Deferred())
            return held[-1]

        subject, listener = subjectOf(store, clock)
        listener.do = wait
        subject.start()
        resultOf(subject.createSession(1))
        resultOf(subject.destroySession(1))
        stopped = subject.stop()
        for each in (0, 1):
            settle(clock)
            assert not stopped.called
            held[each].callback(None)
        settle(clock)
        assert resultOf(stopped) is None  # type: ignore[func-returns-value]  # that it has fired
        assert story(listener) == [("created", 1), ("destroyed", 1)]
        assert not clock.getDelayedCalls()

    def test_hangs(self, clock: TurningClock) -> None:
        """
        A store that hangs is not waited for without end, and what is the matter is logged.
        """
        store = HangingStore(MemoryStore())
        subject = SessionSubject(store, clock)
        subject.start()
        store.hang("createSession", "hasSession")
        creating = subject.createSession(1)
        with logged() as events:
            stopped = subject.stop()
            clock.advance(9.9)
            assert not stopped.called
            clock.advance(0.1)
            assert stopped.called
        with pytest.raises(StoreTimedOut):
            resultOf(creating)
        assert [text for text in texts(events) if "Stopping, although" in text]
        store.release()
        assert not clock.getDelayedCalls()

    def test_again(self, clock: TurningClock) -> None:
        """
        A subject that was stopped can be started again, with its observers.
        """
        subject, listener = subjectOf(MemoryStore(), clock)
        subject.start()
        resultOf(subject.stop())
        subject.start()
        resultOf(subject.createSession(1))
        settle(clock)
        assert story(listener) == [("created", 1)]
        resultOf(subject.stop())


class TestDurable:
    """
    Observers with a name.
    """

    def test_told(self, clock: TurningClock) -> None:
        """
        A durable observer is told of endings, by the id of the caller's own and with the reason,
        also of those that happened while nobody was there to hear.
        """
        store = MemoryStore()
        subject, durable = SessionSubject(StoreStorage(store, 60.0), clock), Listener()
        subject.subscribe(durable, name="mailer")
        subject.start()
        settle(clock)
        for sessionID in (1, 2):
            resultOf(subject.createSession(sessionID))
        resultOf(subject.destroySession(1))
        clock.advance(1)
        assert [(e.type, e.sessionID, e.reason) for e in durable.heard] == [
            ("destroyed", 1, LOGOUT)
        ]
        resultOf(subject.stop())
        other = SessionSubject(StoreStorage(store, 60.0), clock)
        other.start()
        clock.advance(60)
        resultOf(other.stop())
        subject.start()
        clock.advance(5)
        assert [(e.sessionID, e.reason) for e in durable.heard[1:]] == [(2, IDLE)]
        subject.unsubscribe(durable)
        resultOf(subject.stop())
        assert not clock.getDelayedCalls()

    def test_noJournal(self, clock: TurningClock) -> None:
        """
        What keeps no journal can have no durable observers, and says so at once.
        """
        subject = SessionSubject(OWN["SetStorage"](), clock)
        with pytest.raises(TypeError, match="keeps no journal of endings"):
            subject.subscribe(print, name="mailer")


def test_example(clock: TurningClock, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The example's server knows the sessions that its clients have chosen, and tells of their
    beginnings and ends.
    """
    names = runpy.run_path(str(EXAMPLES / "protocol_sessions.py"))
    store = MemoryStore()
    server = names["Server"](StoreStorage(store, 60.0), clock)
    server.subject.start()

    def send(sessionID: int, body: bytes) -> bytes:
        return resultOf(Deferred.fromCoroutine(server.received(names["message"](sessionID, body))))

    assert send(ID, b"ping") == b"new_session_created pong"
    assert send(ID, b"ping") == b"pong"
    assert send(ID, b"destroy_session") == b"destroy_session_ok"
    assert send(ID, b"destroy_session") == b"destroy_session_none"
    assert send(2**63 - 1, b"ping") == b"new_session_created pong"
    clock.advance(60)
    assert server.online == 0
    assert capsys.readouterr().out.splitlines() == [
        "a session has begun",
        "a session has ended: logout",
        "a session has begun",
        "a session has ended: expired-idle",
    ]
    resultOf(server.subject.stop())
