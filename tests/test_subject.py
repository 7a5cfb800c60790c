"""
Tests for L{txsessions.subject}, L{txsessions.claims} and L{txsessions.ownstorage}.
"""

from __future__ import annotations

import random
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import Listener, TurningClock, clockOf, logged, settle, texts
from subjects import story, subjectOf
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.errors import StoreTimedOut, StoreUnavailable
from txsessions.interfaces import (
    ISessionCreated,
    ISessionObserver,
    ISessionStorage,
)
from txsessions.lifetime import LOGOUT
from txsessions.stores.memory import MemoryStore
from txsessions.stores.storage import sidsOf
from txsessions.subject import ANSWER_TIMEOUT, SessionSubject
from txsessions.testing import FailingStore, GatedStore, HangingStore, resultOf

EXAMPLES = Path(__file__).parents[1] / "examples"
OWN = runpy.run_path(str(EXAMPLES / "own_storage.py"))
ID = -5577006791947779410


@implementer(ISessionStorage)
class Silent:
    """
    A storage whose methods take turns of their own and say nothing.

    @ivar sessions: The ids.
    @ivar calls: The methods that were called.
    @ivar gates: The Deferreds of the calls that wait; C{None}: none does.
    """

    def __init__(self, gates: list[Deferred[None]] | None = None) -> None:
        self.sessions: set[Any] = set()
        self.calls: list[str] = []
        self.gates = gates

    async def createSession(self, sessionID: Any) -> Any:
        await self._wait("create")
        self.sessions.add(sessionID)

    async def hasSession(self, sessionID: Any) -> Any:
        await self._wait("has")
        return sessionID in self.sessions

    async def destroySession(self, sessionID: Any) -> Any:
        await self._wait("destroy")
        self.sessions.discard(sessionID)

    async def _wait(self, name: str) -> None:
        self.calls.append(name)
        if self.gates is not None:
            self.gates.append(Deferred())
            await self.gates[-1]


@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


@pytest.fixture(params=["memory", "synchronous", "coroutines", "deferreds", "example"])
def storage(request: Any) -> Any:
    """
    A storage of each sort.
    """
    if request.param == "memory":
        return MemoryStore()
    if request.param == "example":
        return OWN["SetStorage"]()
    if request.param == "coroutines":
        return Silent()

    @implementer(ISessionStorage)
    class Storage:
        def __init__(self) -> None:
            self.sessions: set[Any] = set()

        def createSession(self, sessionID: Any) -> Any:
            return self.answer(self.sessions.add(sessionID))

        def hasSession(self, sessionID: Any) -> Any:
            return self.answer(sessionID in self.sessions)

        def destroySession(self, sessionID: Any) -> Any:
            return self.answer(self.sessions.discard(sessionID))

        def answer(self, result: Any) -> Any:
            return succeed(result) if request.param == "deferreds" else result

    return Storage()


class TestChanges:
    """
    Sessions that are created and destroyed.
    """

    def test_life(self, clock: TurningClock, storage: Any) -> None:
        """
        There is one event for each real change, in any storage, and none for what changes
        nothing.
        """
        subject, listener = subjectOf(storage, clock)
        for method, expected in [
            ("hasSession", False),
            ("destroySession", False),
            ("createSession", True),
            ("createSession", False),
            ("hasSession", True),
            ("destroySession", True),
            ("destroySession", False),
            ("createSession", True),
        ]:
            assert resultOf(getattr(subject, method)(ID)) is expected, method
        assert resultOf(subject.createSession(b"bytes")) is True
        settle(clock)
        life = [("created", ID), ("destroyed", ID), ("created", ID)]
        assert story(listener) == [*life, ("created", b"bytes")]
        resultOf(subject.stop())
        assert not clock.getDelayedCalls()

    def test_events(self, clock: TurningClock) -> None:
        """
        An event says which session, when, why and in which record; each has an id of its own.
        """
        subject, listener = subjectOf(MemoryStore(), clock)
        subject.createSession(ID)
        clock.advance(5)
        subject.destroySession(ID)
        settle(clock)
        first, last = listener.heard
        assert (first.sessionID, first.sid, first.reason) == (ID, sidsOf(ID)[0], None)
        assert (last.sessionID, last.sid, last.reason) == (ID, sidsOf(ID)[0], LOGOUT)
        assert (first.time, last.time, last.created) == (1e9, 1e9 + 5, 1e9)
        assert first.eventID != last.eventID and first.eventID.startswith(first.sid)
        assert str(ID) not in repr(listener.heard)

    def test_own(self, clock: TurningClock) -> None:
        """
        An event of a storage that keeps no records has no handle, and its id does not show the
        session's.
        """
        subject, listener = subjectOf(Silent(), clock)
        resultOf(subject.createSession(b"tuna"))
        settle(clock)
        (event,) = listener.heard
        assert (event.sessionID, event.sid, event.created, dict(event.data)) == (
            b"tuna",
            None,
            None,
            {},
        )
        assert "tuna" not in repr(event) + event.eventID

    def test_nobody(self, clock: TurningClock) -> None:
        """
        Where nobody listens, nothing is left to do after a change.
        """
        subject = SessionSubject(MemoryStore(), clock)
        assert resultOf(subject.createSession(1)) and resultOf(subject.destroySession(1))
        assert not clock.getDelayedCalls()

    @pytest.mark.parametrize("method", ["createSession", "hasSession", "destroySession"])
    @pytest.mark.parametrize("kind", [MemoryStore, Silent])
    def test_noID(self, clock: TurningClock, method: str, kind: Any) -> None:
        """
        What is no id is an error that does not repeat it.
        """
        with pytest.raises(TypeError, match=r"^a session ID is an int or bytes, and no str$"):
            resultOf(getattr(SessionSubject(kind(), clock), method)("tuna"))

    def test_noStorage(self, clock: TurningClock) -> None:
        """
        What is no storage is refused at once.
        """
        with pytest.raises(TypeError):
            SessionSubject(object(), clock)

    def test_subscribing(self, clock: TurningClock) -> None:
        """
        Observers ask for kinds, leave, and read a feed, as of any publisher.
        """
        subject, listener = subjectOf(MemoryStore(), clock, ISessionCreated)
        assert verifyObject(ISessionObserver, listener)
        feed = subject.feed(ISessionCreated)
        for sessionID in (1, 2):
            resultOf(subject.createSession(sessionID))
            resultOf(subject.destroySession(sessionID))
            settle(clock)
            subject.unsubscribe(listener)
        assert story(listener) == [("created", 1)]
        assert [resultOf(Deferred.fromCoroutine(feed.__anext__())).sessionID for _ in "12"] == [
            1,
            2,
        ]
        resultOf(subject.stop())

    def test_restart(self, clock: TurningClock) -> None:
        """
        Sessions from before the start are known, and their end is told.
        """
        store = MemoryStore()
        resultOf(SessionSubject(store, clock).createSession(ID))
        subject, listener = subjectOf(store, clock)
        assert resultOf(subject.hasSession(ID)) is True
        assert resultOf(subject.createSession(ID)) is False
        assert resultOf(subject.destroySession(ID)) is True
        settle(clock)
        assert story(listener) == [("destroyed", ID)]


class TestConcurrency:
    """
    Calls at the same time.
    """

    def test_oneEvent(self, clock: TurningClock) -> None:
        """
        Of many who create, or destroy, at the same time, one does it, and there is one event,
        also where the storage answers nothing to all.
        """
        gates: list[Deferred[None]] = []
        subject, listener = subjectOf(Silent(gates), clock)
        calls = [subject.createSession(ID) for _ in range(3)]
        calls += [subject.destroySession(ID) for _ in range(3)]
        while gates:
            gates.pop().callback(None)
        assert [resultOf(call) for call in calls] == [True, False, False] * 2
        settle(clock)
        assert story(listener) == [("created", ID), ("destroyed", ID)]

    def test_broken(self, clock: TurningClock) -> None:
        """
        Control: a subject that does not let the calls for one id wait for each other tells two
        destructions of one session.
        """
        gates: list[Deferred[None]] = []
        subject, listener = subjectOf(Silent(gates), clock)
        subject._lines = Chaos()
        creating = subject.createSession(ID)
        while gates:
            gates.pop().callback(None)
        resultOf(creating)
        for _ in range(2):
            subject.destroySession(ID)
        while gates:
            gates.pop(0).callback(None)
        settle(clock)
        assert story(listener).count(("destroyed", ID)) == 2

    def test_others(self, clock: TurningClock) -> None:
        """
        Calls for different ids do not wait for each other.
        """
        gates: list[Deferred[None]] = []
        subject, listener = subjectOf(Silent(gates), clock)
        hanging = subject.createSession(1)
        other = subject.createSession(2)
        assert len(gates) == 2
        gates.pop(1).callback(None)
        gates.pop(1).callback(None)
        assert resultOf(other) is True and not hanging.called
        settle(clock)
        assert story(listener) == [("created", 2)]
        while gates:
            gates.pop().callback(None)
        assert resultOf(hanging) is True

    @given(
        st.lists(st.tuples(st.sampled_from("cd"), st.integers(0, 2)), max_size=30),
        st.randoms(use_true_random=False),
        st.booleans(),
    )
    def test_order(self, calls: list[Any], chance: random.Random, isOwn: bool) -> None:
        """
        Whatever the order in which the storage answers, each session is told to begin and to end
        in turn, as often as it did.
        """
        clock = clockOf()
        storage: Any = Silent([]) if isOwn else GatedStore(MemoryStore())
        subject, listener = subjectOf(storage, clock)
        answers = [
            (kind, id, (subject.createSession if kind == "c" else subject.destroySession)(id))
            for kind, id in calls
        ]
        while storage.gates:
            gate = chance.choice(storage.gates)
            if isOwn:
                storage.gates.remove(gate)
                gate.callback(None)
            else:
                gate.open()
        settle(clock)
        for id in range(3):
            told = [type for type, each in story(listener) if each == id]
            done = [kind for kind, each, answer in answers if each == id and tried(answer)]
            assert [type[0] for type in told] == done
            assert told == (["created", "destroyed"] * len(told))[: len(told)]


def tried(answer: Deferred[bool]) -> bool:
    """
    Whether a call has made a change; an id that was used too often makes none.
    """
    try:
        return resultOf(answer)
    except StoreUnavailable:
        return False


class TestIsolation:
    """
    Observers that hurt nobody.
    """

    def test_tenThousand(self, clock: TurningClock) -> None:
        """
        With one observer that raises each time, one that never finishes, and one that ends the
        sessions of others, callers get their answers at once, and the other observers 10,000
        events in the order of each session.
        """
        subject, first = subjectOf(MemoryStore(), clock)
        ended: list[Any] = []

        def endOther(event: Any) -> None:
            if event.type == "created":
                other = event.sessionID - 1
                subject.destroySession(other).addCallback(ended.append)

        def raiseError(event: Any) -> None:
            raise ZeroDivisionError

        last = Listener()
        hanging = Listener(lambda event: Deferred())
        for observer in (raiseError, hanging, endOther, last):
            subject.subscribe(observer)
        with logged() as events:
            for sessionID in range(5000):
                assert subject.createSession(sessionID).result is True
                if sessionID % 200 == 0:
                    settle(clock)
            settle(clock)
            subject.destroySession(4999)
            settle(clock)
            assert len(first.heard) == 10_000 and first.heard == last.heard
            told: dict[int, list[str]] = {}
            for event in first.heard:
                told.setdefault(event.sessionID, []).append(event.type)
            assert list(told.values()) == [["created", "destroyed"]] * 5000
            assert ended == [False] + [True] * 4999
            assert len(hanging.heard) == 1 and len(texts(events)) == 2
            stopped = subject.stop()
            clock.advance(10)
            assert stopped.called and not clock.getDelayedCalls()


class Chaos:
    """
    Broken on purpose: lines that nobody waits in.
    """

    def call(self, sid: str, function: Callable[[], Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(function())

    def whenIdle(self) -> Deferred[None]:
        return succeed(None)


class TestFailures:
    """
    A storage that cannot answer.
    """

    @pytest.mark.parametrize("method", ["createSession", "hasSession", "destroySession"])
    def test_unavailable(self, clock: TurningClock, method: str) -> None:
        """
        The caller gets the failure, no event is told, and all goes on afterwards.
        """
        store = FailingStore(MemoryStore())
        subject, listener = subjectOf(store, clock)
        store.fail()
        with pytest.raises(StoreUnavailable):
            resultOf(getattr(subject, method)(1))
        store.mend()
        assert resultOf(subject.createSession(1)) is True
        settle(clock)
        assert story(listener) == [("created", 1)]

    def test_raises(self, clock: TurningClock) -> None:
        """
        What a storage of one's own raises reaches the caller as it is.
        """

        class Broken(Silent):
            def createSession(self, sessionID: Any) -> Any:
                raise ZeroDivisionError

        subject, listener = subjectOf(Broken(), clock)
        with pytest.raises(ZeroDivisionError):
            resultOf(subject.createSession(1))
        settle(clock)
        assert not listener.heard

    def test_hangs(self, clock: TurningClock) -> None:
        """
        A storage that hangs fails its caller after a while; a change that it confirms later is
        told then, and the next call has waited for it.
        """
        store = HangingStore(MemoryStore())
        subject, listener = subjectOf(store, clock)
        store.hang()
        creating, having = subject.createSession(1), subject.hasSession(1)
        clock.advance(ANSWER_TIMEOUT)
        for call in (creating, having):
            with pytest.raises(StoreTimedOut):
                resultOf(call)
        store.release()
        settle(clock)
        assert story(listener) == [("created", 1)]
        assert not clock.getDelayedCalls()
