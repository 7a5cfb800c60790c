"""
Tests for L{txsessions.patience}.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txsessions.duties import BATCH
from txsessions.errors import StoreTimedOut, StoreUnavailable
from txsessions.interfaces import ISessionStore
from txsessions.interruptible import Interruptible
from txsessions.patience import Patience, PatientStore
from txsessions.record import Change, Record
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, HangingStore

SID = "00112233445566778899aabbccddeeff"


def outcomes(deferred: Deferred[Any]) -> list[Any]:
    """
    A list to which the result of the Deferred will be added.
    """
    results: list[Any] = []
    deferred.addBoth(
        lambda result: results.append(result.value if isinstance(result, Failure) else result)
    )
    return results


def newRecord() -> Record:
    """
    A record of a session that begins at the epoch.
    """
    return Record(SID, verifier=bytes(32), created=0.0, lastModified=0.0, sessionTimeout=900.0)


class TestPatience:
    """
    Interruptible, and no longer than that.
    """

    def test_fired(self) -> None:
        """
        An answer that is there already is not waited for.
        """
        clock = Clock()
        patience = Patience(clock, 2.0)
        for answer in (succeed(1), fail(StoreUnavailable())):
            assert patience.wait(answer) is answer
            outcomes(answer)
        assert not clock.getDelayedCalls()

    def test_inTime(self) -> None:
        """
        An answer a moment before the time is up is passed on, and leaves no delayed call behind.
        """
        clock = Clock()
        answers: list[Deferred[int]] = [Deferred(), Deferred()]
        results = [outcomes(Patience(clock, 2.0).wait(answer)) for answer in answers]
        clock.advance(1.999)
        answers[0].callback(1)
        answers[1].errback(StoreUnavailable())
        assert results[0] == [1] and isinstance(results[1][0], StoreUnavailable)
        assert not clock.getDelayedCalls()

    def test_tooLate(self) -> None:
        """
        Whoever has waited for so long is told that the store does not answer; what comes later,
        an error as well, goes nowhere.
        """
        clock = Clock()
        answers: list[Deferred[int]] = [Deferred(), Deferred()]
        results = [outcomes(Patience(clock, 2.0).wait(answer)) for answer in answers]
        clock.advance(2)
        answers[0].callback(1)
        answers[1].errback(StoreUnavailable())
        for [result] in results:
            assert isinstance(result, StoreTimedOut) and str(result).endswith("for 2 seconds")
        assert not clock.getDelayedCalls()

    def test_oneDelayedCall(self) -> None:
        """
        However many wait, there is one delayed call; each waits as long as it may.
        """
        clock = Clock()
        patience = Patience(clock, 2.0)
        results = []
        for _ in range(10):
            results.append(outcomes(patience.wait(Deferred())))
            assert len(clock.getDelayedCalls()) == 1
            clock.advance(0.125)
        clock.advance(2 - 1.25)
        for number, result in enumerate(results):
            assert len(result) == (1 if number == 0 else 0)
        clock.advance(1.125)
        assert all(len(result) == 1 for result in results)
        assert not clock.getDelayedCalls()

    def test_askedAgainAtOnce(self) -> None:
        """
        Whoever asks again as soon as a wait was given up makes no other wait longer.
        """
        clock = Clock()
        patience = Patience(clock, 2.0)
        patience.wait(Deferred()).addErrback(lambda _: patience.wait(Deferred()))
        clock.advance(1)
        second = outcomes(patience.wait(Deferred()))
        clock.advance(1)
        assert not second
        clock.advance(1)
        assert isinstance(second[0], StoreTimedOut)

    def test_cancelled(self) -> None:
        """
        Whoever cancels waits no longer; the operation of the store goes on.
        """
        clock = Clock()
        answer: Deferred[int] = Deferred()
        waiting = Patience(clock, 2.0).wait(answer)
        result = outcomes(waiting)
        waiting.cancel()
        assert isinstance(result[0], CancelledError) and not answer.called
        answer.callback(1)
        assert not clock.getDelayedCalls()

    def test_manyAtOnce(self) -> None:
        """
        Many whose time is up in the same moment are told in batches, so that the reactor is not
        held.
        """
        clock = Clock()
        patience = Patience(clock, 2.0)
        told: list[float] = []
        for _ in range(10 * BATCH):
            patience.wait(Deferred()).addErrback(lambda _: told.append(0))
        clock.rightNow += 2
        turns = 0
        while clock.getDelayedCalls():
            before = len(told)
            [call] = clock.getDelayedCalls()
            clock.calls.remove(call)
            call.called = 1
            call.func()
            turns += 1
            assert len(told) - before <= BATCH
        assert (len(told), turns) == (10 * BATCH, 10)

    def test_sameDeferred(self) -> None:
        """
        What may fail before its result is there is waited for as it is: each for its own time
        and no longer, while the others go on waiting.
        """
        clock = Clock()
        patience = Patience(clock, 10.0)
        first, second = Interruptible[int](), Interruptible[int]()
        assert patience.wait(first) is first
        clock.advance(4.0)
        assert patience.wait(second) is second
        results = [outcomes(first), outcomes(second)]
        clock.advance(5.75)
        assert results == [[], []]
        clock.advance(0.25)
        assert isinstance(results[0][0], StoreTimedOut) and not results[1]
        clock.advance(4.0)
        assert isinstance(results[1][0], StoreTimedOut)
        assert not clock.getDelayedCalls()

    @pytest.mark.parametrize("isThere", [False, True])
    def test_workedOn(self, isThere: bool) -> None:
        """
        One on whose result somebody works is waited for until that is done, and no longer than
        any other.
        """
        clock = Clock()
        last: Deferred[int] = Deferred()
        first = Interruptible[int]()
        first.addCallback(lambda _: last)
        if isThere:
            first.callback(1)
        waiting = Patience(clock, 2.0).wait(first)
        result = outcomes(waiting)
        assert waiting is not first
        if not isThere:
            first.callback(1)
        clock.advance(2.0)
        assert isinstance(result[0], StoreTimedOut)
        last.callback(2)
        assert not clock.getDelayedCalls()

    def test_sameDeferredInTime(self) -> None:
        """
        One that has its result in time is forgotten before anybody has that, in whatever order
        they come; there is one delayed call for all.
        """
        clock = Clock()
        patience = Patience(clock, 10.0)
        waiting = [Interruptible[int]() for _ in range(3)]
        left: list[int] = []
        for each in waiting:
            patience.wait(each)
            each.addBoth(lambda _: left.append(len(clock.getDelayedCalls())))
        assert patience.pending() == waiting and len(clock.getDelayedCalls()) == 1
        waiting[1].callback(1)
        waiting[0].errback(StoreUnavailable())
        assert patience.pending() == waiting[2:]
        waiting[2].cancel()
        assert left == [1, 1, 0] and not patience.pending()

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 50)), max_size=20))
    def test_anyAnswers(self, plan: list[tuple[int, int]]) -> None:
        """
        Whenever questions are asked and answered: each one gets its answer if that comes in
        time, and is given up at the moment at which its time is up, exactly once.
        """
        clock = Clock()
        patience = Patience(clock, 10.0)
        results: list[tuple[int, list[tuple[float, Any]]]] = []
        for begin, duration in plan:

            def ask(duration: int = duration, begin: int = begin) -> None:
                answer: Deferred[int] = Deferred()
                result: list[tuple[float, Any]] = []
                results.append((begin + min(duration, 10), result))
                patience.wait(answer).addBoth(lambda r: result.append((clock.seconds(), r)))
                clock.callLater(duration, answer.callback, 1)

            clock.callLater(begin, ask)
        clock.pump([0.0, *[1.0] * 90])
        assert len(results) == len(plan)
        assert all([moment for moment, _ in result] == [due] for due, result in results)
        assert not clock.getDelayedCalls()


class TestPatientStore:
    """
    The store that answers in time.
    """

    def test_provides(self) -> None:
        """
        It is a store as the one inside is.
        """
        store = MemoryStore()
        patient = PatientStore(store, Clock())
        assert verifyObject(ISessionStore, patient)
        store.clock = Clock()
        assert patient.clock is store.clock

    @pytest.mark.parametrize(
        ("operation", "arguments", "seconds"),
        [
            ("loadSession", (SID, "nothing"), 2),
            ("hasSession", (SID,), 2),
            ("createSession", (newRecord(),), 5),
            ("saveSession", (Change(SID),), 5),
            ("deleteSession", (SID, "logout"), 5),
        ],
    )
    def test_hangs(self, operation: str, arguments: Any, seconds: int) -> None:
        """
        An operation that hangs is given up: a read after 2 seconds, a write after 5.
        """
        clock = Clock()
        hanging = HangingStore(MemoryStore())
        patient = PatientStore(hanging, clock)
        hanging.hang()
        result = outcomes(getattr(patient, operation)(*arguments))
        clock.advance(seconds - 0.001)
        assert not result
        clock.advance(0.001)
        assert isinstance(result[0], StoreTimedOut)
        hanging.release()
        assert not clock.getDelayedCalls()

    def test_passesOn(self) -> None:
        """
        Answers of all kinds are passed on as they are.
        """
        failing = FailingStore(MemoryStore())
        patient = PatientStore(failing, Clock())
        record = newRecord()
        assert outcomes(patient.loadSession(SID, "nothing")) == ["nothing"]
        assert outcomes(patient.createSession(record)) == [True]
        assert outcomes(patient.saveSession(Change(SID, set={"data:a": b"1"}))) == [2]
        assert outcomes(patient.hasSession(SID)) == [True]
        assert outcomes(patient.deleteSession(SID))[0].version == 2
        failing.fail()
        assert isinstance(outcomes(patient.hasSession(SID))[0], StoreUnavailable)

    def test_whenIdle(self) -> None:
        """
        It is idle when the last write was answered, given up or not; reads do not count.
        """
        clock = Clock()
        hanging = HangingStore(MemoryStore())
        patient = PatientStore(hanging, clock)
        assert outcomes(patient.whenIdle()) == [None]
        hanging.hang()
        outcomes(patient.loadSession(SID))
        assert outcomes(patient.whenIdle()) == [None]
        outcomes(patient.createSession(newRecord()))
        outcomes(patient.saveSession(Change(SID)))
        waiting = [outcomes(patient.whenIdle()), outcomes(patient.whenIdle())]
        clock.advance(10)
        assert waiting == [[], []]
        hanging.release()
        assert waiting == [[None], [None]]
        assert outcomes(patient.whenIdle()) == [None]
