"""
Tests for L{txsessions.tracker}: what becomes of changes.
"""

from __future__ import annotations

from typing import Any

import pytest
from trackedworkers import NOW, TIMEOUT, Worker, content, innermost, outcome, stored
from twisted.internet.defer import Deferred

from txsessions.errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    SessionTooLarge,
    StoreUnavailable,
    VersionConflict,
)
from txsessions.keeper import MAXIMUM_COLLISIONS
from txsessions.lifetime import IDLE, LOGOUT, REVOKED
from txsessions.record import Change
from txsessions.size import MAXIMUM_BYTES
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore, RecordingStore
from txsessions.token import INSECURE, matches, parse


def newWorker(store: Any = None, **data: Any) -> Worker:
    """
    A session that is stored, with these data.
    """
    first = Worker(innermost(MemoryStore() if store is None else store))
    first.data.update(data)
    assert first.commit() == [None]
    return first if store is None else first.another(store)


class TestCreate:
    """
    The first commit.
    """

    def test_facts(self) -> None:
        """
        The first commit stores all facts of the session, and its data.
        """
        worker = Worker(MemoryStore())
        worker.sessionKey, worker.absoluteTimeout = "anna", 3600.0
        worker.data["a"] = [1]
        assert worker.commit() == [None]
        record = stored(worker)
        assert record is not None and record == worker.tracker.record
        assert (record.created, record.lastModified, record.version) == (NOW, NOW, 1)
        assert (record.sessionTimeout, record.absoluteTimeout) == (TIMEOUT, 3600.0)
        assert (record.sessionKey, record.attributes) == ("anna", {"data:a": b"[1]"})
        assert worker.uid not in repr(record).encode() and worker.uid[32:] not in record.verifier

    def test_onlyIfWorth(self) -> None:
        """
        A session that is not worth storing is stored by an explicit commit only.
        """
        worker = Worker(MemoryStore())
        worker.isWorth = False
        assert worker.tracker.pendingCommit() is None
        assert stored(worker) is None
        assert outcome(worker.tracker.commit()) == [None]
        assert stored(worker) is not None

    def test_changedMeanwhile(self) -> None:
        """
        What is changed while the session is being created is saved by the next commit.
        """
        store = GatedStore(MemoryStore())
        worker = Worker(store)
        worker.data.update(a=1, b=2, c=3)
        first = worker.commit()
        worker.data["a"], worker.sessionKey = 9, "anna"
        del worker.data["b"]
        second = worker.commit()
        assert store.names == ["createSession"]
        store.openAll()
        assert (first, second) == ([None], [None])
        assert content(worker) == {"data:a": b"9", "data:c": b"3"}
        assert stored(worker).sessionKey == "anna"  # type: ignore[union-attr]  # it is stored

    def test_collision(self) -> None:
        """
        When the token is that of another session, the new session gets another one, and the
        other session stays as it is.
        """
        store = MemoryStore()
        victim = newWorker(store, a=1)
        before = stored(victim)
        worker = Worker(store, uid=victim.uid)
        worker.tokens = [victim.uid]
        worker.data["a"] = 2
        assert worker.commit() == [None]
        assert worker.sid != victim.sid
        assert content(worker) == {"data:a": b"2"} and stored(victim) is before

    def test_brokenEntropy(self) -> None:
        """
        A source of randomness that repeats itself is an error, after a few tries.
        """
        store = MemoryStore()
        victim = newWorker(store)
        worker = Worker(store, uid=victim.uid)
        worker.tokens = [victim.uid] * 100
        [error] = worker.commit()
        assert isinstance(error, SessionError) and "randomness" in str(error)
        assert len(worker.tokens) == 100 - MAXIMUM_COLLISIONS

    @pytest.mark.parametrize("uid", [b"", b"x" * 1025])
    def test_uid(self, uid: bytes) -> None:
        """
        An id that cannot be a token is refused when the session is to be stored.
        """
        [error] = Worker(MemoryStore(), uid=uid).commit()
        assert isinstance(error, SessionError) and "1 to 1024" in str(error)

    def test_tooLarge(self) -> None:
        """
        A session that is too large is not created.
        """
        worker = Worker(MemoryStore())
        worker.data.update(a="x" * 40_000, b="x" * 40_000)
        [error] = worker.commit()
        assert isinstance(error, SessionTooLarge) and stored(worker) is None


class TestSave:
    """
    Later commits.
    """

    def test_nothing(self) -> None:
        """
        Without a change nothing is asked of the store.
        """
        store = RecordingStore(MemoryStore())
        worker = newWorker(store, a=1)
        assert worker.data["a"] == 1
        assert worker.tracker.pendingCommit() is None
        assert outcome(worker.tracker.commit()) == [None]
        assert store.count() == 0

    def test_delta(self) -> None:
        """
        Only what has changed is sent to the store.
        """
        store = RecordingStore(MemoryStore())
        worker = newWorker(store, a=1, b=[1], c=3)
        worker.data["b"].append(2)
        del worker.data["c"]
        worker.commit()
        [call] = store.calls
        [change] = call.arguments
        assert (dict(change.set), change.unset) == ({"data:b": b"[1,2]"}, {"data:c"})
        assert change.expectedVersion is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [("sessionKey", "anna"), ("sessionTimeout", 60.0), ("absoluteTimeout", 3600.0)],
    )
    def test_facts(self, name: str, value: Any) -> None:
        """
        A fact that was set on the session is stored, and can be taken back.
        """
        worker = newWorker()
        before = getattr(worker, name)
        for each in (value, before):
            setattr(worker, name, each)
            assert worker.commit() == [None]
            assert getattr(stored(worker), name) == each

    def test_touch(self) -> None:
        """
        A touch alone is written when a minute has passed, and along with any change.
        """
        store = RecordingStore(MemoryStore())
        worker = newWorker(store)
        worker.lastModified = NOW + 59
        assert worker.tracker.pendingCommit() is None
        assert outcome(worker.tracker.touch()) == [None]
        assert stored(worker).lastModified == NOW + 59  # type: ignore[union-attr]  # it is stored
        worker.lastModified = NOW + 119
        assert worker.commit() == [None]
        assert store.calls[-1].arguments[0].isTouch
        worker.lastModified = NOW + 130
        worker.data["a"] = 1
        worker.commit()
        assert stored(worker).lastModified == NOW + 130  # type: ignore[union-attr]  # likewise

    def test_changedMeanwhile(self) -> None:
        """
        Whatever is done while a save is under way is a change afterwards: a key that is set
        back, deleted, set again, or new.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store, back=0, deleted=0, again=0)
        worker.data.update(back=1, deleted=1, again=1)
        worker.data["list"] = [1]
        first = worker.commit()
        worker.data["back"] = 0
        del worker.data["deleted"], worker.data["again"]
        worker.data["again"] = 2
        worker.data["list"].append(2)
        worker.data["new"] = 1
        second = worker.commit()
        assert store.names == ["saveSession"]
        store.open()
        assert first == [None] and not second
        store.open()
        assert second == [None]
        assert content(worker) == {
            "data:back": b"0",
            "data:again": b"2",
            "data:list": b"[1,2]",
            "data:new": b"1",
        }

    def test_overlappingCommits(self) -> None:
        """
        A commit that comes while another one is under way waits for it, also when there is
        nothing new, because what it saves is not stored yet.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store)
        worker.data["a"] = 1
        results = [worker.commit() for _ in range(3)]
        assert (store.names, results) == (["saveSession"], [[], [], []])
        store.open()
        assert (store.names, results) == ([], [[None]] * 3)

    def test_manyCommits(self) -> None:
        """
        Any number of requests may wait for one slow save.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store)
        worker.data["a"] = 1
        results = [worker.commit() for _ in range(2_000)]
        store.open()
        assert results == [[None]] * 2_000

    def test_invalidInside(self) -> None:
        """
        What cannot be kept is an error of the commit, and nothing is stored.
        """
        worker = newWorker(a=[1])
        worker.data["a"].append(object())
        worker.data["b"] = 1
        with pytest.raises(InvalidSessionData):
            worker.tracker.pendingCommit()
        assert isinstance(outcome(worker.tracker.commit())[0], InvalidSessionData)
        assert content(worker) == {"data:a": b"[1]"}
        worker.tracker.forgetChanges()
        assert dict(worker.data) == {"a": [1]}

    def test_sizeAsAWhole(self) -> None:
        """
        What counts is the size after the commit: what is removed in it makes room.
        """
        half = "x" * (MAXIMUM_BYTES - 2_000)
        worker = newWorker(a=half)
        worker.data["b"] = half
        with pytest.raises(SessionTooLarge):
            worker.tracker.pendingCommit()
        del worker.data["a"]
        assert worker.commit() == [None]
        assert set(content(worker)) == {"data:b"}

    def test_isSaved(self) -> None:
        """
        All is saved when nothing has changed and nothing is under way, not even a touch.
        """
        store = GatedStore(MemoryStore())
        worker = Worker(store)
        assert not worker.tracker.isSaved()
        worker.commit()
        assert not worker.tracker.isSaved()
        store.open()
        assert worker.tracker.isSaved()
        worker.lastModified += 1
        assert not worker.tracker.isSaved()
        worker.lastModified -= 1
        worker.data["a"] = []
        assert not worker.tracker.isSaved()
        worker.data["a"].append(object())
        assert not worker.tracker.isSaved()


class TestUnavailable:
    """
    Stores that fail.
    """

    def test_changesStay(self) -> None:
        """
        What could not be saved stays a change, and is saved when the store is well again.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store, a=1, b=1, c=[1])
        store.fail()
        worker.data["a"] = 2
        worker.data["c"].append(2)
        del worker.data["b"]
        assert isinstance(worker.commit()[0], StoreUnavailable)
        assert content(worker) == {"data:a": b"1", "data:b": b"1", "data:c": b"[1]"}
        store.mend()
        assert dict(worker.data) == {"a": 2, "c": [1, 2]}
        assert worker.commit() == [None]
        assert content(worker) == {"data:a": b"2", "data:c": b"[1,2]"}

    def test_forgotten(self) -> None:
        """
        When the one who made a change was told that it could not be saved, the session goes
        back to what is stored.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store, a=1)
        store.fail()
        worker.data["a"], worker.sessionKey, worker.sessionTimeout = 2, "anna", 1.0
        worker.commit()
        worker.tracker.forgetChanges()
        assert (worker.data["a"], worker.sessionKey, worker.sessionTimeout) == (1, None, TIMEOUT)
        store.mend()
        assert worker.tracker.pendingCommit() is None

    def test_unknownOutcome(self) -> None:
        """
        When nobody knows whether a change was made, what is stored has to be looked at again.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store, a=1)
        assert worker.tracker.isExact
        store.fail(answersOnly=True)
        worker.data["a"] = 2
        assert isinstance(worker.commit()[0], StoreUnavailable)
        worker.tracker.forgetChanges()
        assert not worker.tracker.isExact
        worker.reload()
        assert worker.tracker.isExact and worker.data["a"] == 2

    def test_whoGaveUp(self) -> None:
        """
        So it is when somebody cancelled the Deferred of a commit.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store, a=1)
        worker.data["a"] = 2
        pending = worker.tracker.commit()
        result = outcome(pending)
        pending.cancel()
        assert result and not worker.tracker.isExact
        store.openAll()
        worker.reload()
        assert worker.tracker.pendingCommit() is None and content(worker) == {"data:a": b"2"}

    def test_refusedForCertain(self) -> None:
        """
        An answer that says for certain that nothing was changed leaves no doubt.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store)
        store.fail(error=lambda: VersionConflict(worker.sid))
        worker.data["a"] = 1
        worker.commit()
        assert worker.tracker.isExact

    def test_unknownCreation(self) -> None:
        """
        When nobody knows whether the session was created, the next commit finds out, and the
        session keeps its token.
        """
        store = FailingStore(MemoryStore())
        worker, token = Worker(store), None
        token = worker.uid
        worker.data["a"] = 1
        store.fail("createSession", answersOnly=True)
        assert isinstance(worker.commit()[0], StoreUnavailable)
        assert worker.tracker.record is None
        worker.data["b"] = 2
        assert worker.commit() == [None]
        assert worker.uid == token and content(worker) == {"data:a": b"1", "data:b": b"2"}

    def test_noCreation(self) -> None:
        """
        If it was not created, it is created then.
        """
        store = FailingStore(MemoryStore())
        worker = Worker(store)
        token = worker.uid
        store.fail("createSession")
        assert isinstance(worker.commit()[0], StoreUnavailable)
        store.fail("loadSession")
        assert isinstance(worker.commit()[0], StoreUnavailable)
        store.mend()
        assert worker.commit() == [None]
        assert worker.uid == token and stored(worker) == worker.tracker.record


class TestOthers:
    """
    What other workers do.
    """

    def test_differentKeys(self) -> None:
        """
        Changes of different keys by several workers all survive.
        """
        first = newWorker(a=0)
        workers = [first, *(first.another() for _ in range(5))]
        for number, worker in enumerate(workers):
            worker.data[f"key {number}"] = number
        for worker in workers:
            assert worker.commit() == [None]
        assert len(content(first)) == 7
        for worker in workers:
            worker.reload()
            assert len(worker.data) == 7 and worker.tracker.pendingCommit() is None

    def test_sameKey(self) -> None:
        """
        Of two changes of the same key the last one counts.
        """
        one = newWorker(a=0)
        two = one.another()
        two.data["a"], one.data["a"] = 2, 1
        two.commit()
        one.commit()
        assert content(one) == {"data:a": b"1"}

    def test_lookingTakesNothingBack(self) -> None:
        """
        A worker that assigns what is stored already, and one that only looks, take back nothing
        of what others store later.
        """
        one = newWorker(theme="dark", lines=[{"x": 1, "y": 2}])
        two = one.another()
        for _ in range(2):
            one.data["theme"] = "dark"
            assert one.data["lines"]
            assert one.commit() == [None]
            two.data["theme"] = "light"
            two.data["lines"] = [{"y": 2, "x": 1}]
            two.commit()
            one.reload()
            assert one.tracker.pendingCommit() is None
            one.data["theme"] = "dark"
            one.commit()
            two.reload()
        assert two.data["theme"] == "dark"

    def test_newsDuringASave(self) -> None:
        """
        What becomes known while a save is under way is seen at once, and what is being saved
        stays.
        """
        store = GatedStore(MemoryStore())
        one = newWorker(store, mine=0, theirs=0)
        two = one.another(store.store)
        two.data["theirs"] = 1
        two.commit()
        one.data["mine"] = 1
        result = one.commit()
        one.data["mine"] = 2
        one.reload()
        assert (one.data["mine"], one.data["theirs"]) == (2, 1)
        store.open()
        assert result == [None] and one.tracker.isExact
        assert one.commit() == []
        store.open()
        assert content(one) == {"data:mine": b"2", "data:theirs": b"1"}

    def test_newsThatOvertake(self) -> None:
        """
        News from the store that arrive before the answer to a save, and were read after it, are
        not taken back by that answer.
        """
        inside = MemoryStore()
        one = newWorker(inside, a=0)
        two = one.another()
        answer: Deferred[int] = Deferred()

        class SlowAnswers:
            def saveSession(self, change: Change) -> Deferred[int]:
                inside.saveSession(change).addCallback(answers.append)
                return answer

        answers: list[int] = []
        one.tracker._store = SlowAnswers()
        one.data["a"] = 1
        result = one.commit()
        two.data["a"] = 2
        two.commit()
        one.reload()
        answer.callback(answers[0])
        assert result == [None] and one.data["a"] == 2
        assert one.tracker.record == stored(one)
        assert one.tracker.pendingCommit() is None

    def test_oldNews(self) -> None:
        """
        News that are older than what is known already are none.
        """
        one = newWorker(a=0)
        old = stored(one)
        assert old is not None
        one.data["a"] = 1
        one.commit()
        one.tracker.refresh(old)
        assert one.data["a"] == 1 and one.tracker.pendingCommit() is None

    def test_facts(self) -> None:
        """
        Facts that others have stored are taken over, but for those that were changed here.
        """
        one = newWorker()
        two = one.another()
        two.sessionKey, two.sessionTimeout, two.absoluteTimeout = "anna", 60.0, 3600.0
        two.lastModified += 5
        two.commit()
        one.sessionTimeout = 30.0
        one.reload()
        assert (one.sessionKey, one.sessionTimeout, one.absoluteTimeout) == ("anna", 30.0, 3600.0)
        assert one.lastModified == NOW + 5
        one.commit()
        assert stored(one).sessionTimeout == 30.0  # type: ignore[union-attr]  # it is stored

    def test_lost(self) -> None:
        """
        A worker whose save finds the session ended knows it then, tells it once, and saves
        nothing more.
        """
        one = newWorker(a=0)
        two = one.another()
        assert outcome(two.tracker.end(LOGOUT)) == [None]
        one.data["a"] = 1
        assert isinstance(one.commit()[0], SessionEnded)
        assert (one.ends, one.tracker.endReason) == ([LOGOUT], LOGOUT)
        assert one.tracker.pendingCommit() is None
        assert isinstance(outcome(one.tracker.commit())[0], SessionEnded)
        assert stored(one) is None

    def test_forgottenEnd(self) -> None:
        """
        So it is when nobody remembers the end.
        """
        one = newWorker(a=0)
        one.store._records.clear()
        one.data["a"] = 1
        one.commit()
        assert one.ends == [REVOKED]


class TestModify:
    """
    Atomic changes over all workers.
    """

    @staticmethod
    def increment(data: Any) -> int:
        """
        One more.
        """
        data["n"] = data.get("n", 0) + 1
        return data["n"]

    def test_own(self) -> None:
        """
        It sees what the session has changed so far, saves it, and gives the function's result.
        """
        worker = newWorker(n=1)
        worker.data["n"] = 5
        assert outcome(worker.tracker.modify(self.increment)) == [6]
        assert content(worker) == {"data:n": b"6"} and worker.data["n"] == 6
        assert worker.tracker.pendingCommit() is None

    def test_unstored(self) -> None:
        """
        It stores a session that is not stored yet.
        """
        worker = Worker(MemoryStore())
        assert outcome(worker.tracker.modify(self.increment)) == [1]
        assert content(worker) == {"data:n": b"1"}

    def test_nothing(self) -> None:
        """
        A function that changes nothing writes nothing.
        """
        store = RecordingStore(MemoryStore())
        worker = newWorker(store, n=1)
        assert outcome(worker.tracker.modify(lambda data: data["n"])) == [1]
        assert store.count("saveSession") == 0

    def test_raising(self) -> None:
        """
        A function that raises changes nothing, and stands in nobody's way.
        """
        worker = newWorker(n=1)

        def broken(data: Any) -> None:
            data["n"] = 2
            raise ZeroDivisionError

        assert isinstance(outcome(worker.tracker.modify(broken))[0], ZeroDivisionError)
        assert content(worker) == {"data:n": b"1"}
        assert outcome(worker.tracker.modify(self.increment)) == [2]

    def test_tooLarge(self) -> None:
        """
        It cannot make a session larger than a commit can.
        """
        worker = newWorker(a="x" * 40_000)
        result = outcome(worker.tracker.modify(lambda data: data.update(b="x" * 40_000)))
        assert isinstance(result[0], SessionTooLarge)
        assert set(content(worker)) == {"data:a"}

    @pytest.mark.parametrize("order", ["oldest", "newest"])
    def test_severalWorkers(self, order: str) -> None:
        """
        N increments by several workers, overlapping in the worst way, make N.
        """
        store = GatedStore(MemoryStore())
        first = newWorker(store)
        workers = [first, *(first.another() for _ in range(7))]
        results = [outcome(w.tracker.modify(self.increment)) for w in workers for _ in range(5)]
        while store.gates:
            store.gates[0 if order == "oldest" else -1].open()
        assert content(first) == {"data:n": b"40"}
        assert sorted(result for [result] in results) == list(range(1, 41))

    def test_afterATouch(self) -> None:
        """
        A worker that has touched the session meanwhile, and so knows the newest version and not
        what is in it, increments what is stored.
        """
        one = newWorker(n=1)
        two = one.another()
        assert outcome(two.tracker.modify(self.increment)) == [2]
        one.lastModified += 61
        assert one.commit() == [None]
        assert not one.tracker.isExact
        assert outcome(one.tracker.modify(self.increment)) == [3]
        assert content(one) == {"data:n": b"3"}

    def test_afterASave(self) -> None:
        """
        So does one that has saved something else on top of what others have stored.
        """
        one = newWorker(n=1)
        two = one.another()
        two.tracker.modify(self.increment)
        one.data["other"] = 1
        one.commit()
        assert not one.tracker.isExact
        assert outcome(one.tracker.modify(self.increment)) == [3]
        assert one.tracker.isExact

    def test_newsAfterATouch(self) -> None:
        """
        News that were on their way while the session was touched are news.
        """
        one = newWorker(n=1)
        two = one.another()
        two.tracker.modify(self.increment)
        loaded = stored(one)
        assert loaded is not None
        two.tracker.modify(self.increment)
        one.lastModified += 61
        one.commit()
        one.tracker.refresh(loaded)
        assert one.data["n"] == 2

    def test_ended(self) -> None:
        """
        It fails when the session has ended, and does not call the function.
        """
        called: list[Any] = []
        one = newWorker(n=1)
        two = one.another()
        two.tracker.end(LOGOUT)
        one.tracker.isExact = False
        assert isinstance(outcome(one.tracker.modify(called.append))[0], SessionEnded)
        assert isinstance(outcome(two.tracker.modify(called.append))[0], SessionEnded)
        assert not called and one.ends == [LOGOUT]

    def test_gone(self) -> None:
        """
        So it does when nobody remembers that there was such a session.
        """
        worker = newWorker(n=1)
        worker.store._records.clear()
        worker.tracker.isExact = False
        result = outcome(worker.tracker.modify(self.increment))
        assert type(result[0]) is SessionNotFound and worker.ends == [REVOKED]

    def test_alwaysSlower(self) -> None:
        """
        When others are faster each time it gives up, and says so.
        """
        worker = newWorker(n=1)
        other = worker.another()

        def slow(data: Any) -> None:
            other.tracker.modify(self.increment)
            data["n"] = 0

        assert isinstance(outcome(worker.tracker.modify(slow))[0], VersionConflict)
        assert content(worker) == {"data:n": b"101"}

    def test_unknownOutcome(self) -> None:
        """
        When nobody knows whether it was made, the next one looks at what is stored.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store, n=1)
        store.fail("saveSession", answersOnly=True)
        assert isinstance(outcome(worker.tracker.modify(self.increment))[0], StoreUnavailable)
        store.mend()
        assert outcome(worker.tracker.modify(self.increment)) == [3]


class TestRework:
    """
    New tokens.
    """

    @staticmethod
    def opens(worker: Worker, token: bytes) -> bool:
        """
        Whether a token opens the stored session.
        """
        record, parsed = stored(worker), parse(token)
        return (
            record is not None and parsed is not None and matches(parsed, INSECURE, record.verifier)
        )

    @pytest.mark.parametrize("isStored", [True, False])
    def test_newToken(self, isStored: bool) -> None:
        """
        Only the new token opens the session afterwards; handle and data are the same.
        """
        worker = newWorker(a=1) if isStored else Worker(MemoryStore())
        old, sid = worker.uid, worker.sid
        worker.data["b"] = 2
        assert worker.rework() == [True]
        assert worker.uid != old and worker.sid == sid
        assert self.opens(worker, worker.uid) and not self.opens(worker, old)
        assert content(worker)["data:b"] == b"2" and worker.sessionKey is None

    @pytest.mark.parametrize("isStored", [True, False])
    def test_logIn(self, isStored: bool) -> None:
        """
        Owner and token change in one step.
        """
        store = RecordingStore(MemoryStore())
        worker = newWorker(store) if isStored else Worker(store)
        old = worker.uid
        assert worker.rework("anna") == [True]
        assert store.count() == 1
        assert stored(worker).sessionKey == worker.sessionKey == "anna"  # type: ignore[union-attr]
        assert not self.opens(worker, old)

    @pytest.mark.parametrize("isStored", [True, False])
    def test_failedLogIn(self, isStored: bool) -> None:
        """
        A log-in that failed leaves nothing behind: no later commit stores the owner, and the
        token is the one it was.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store) if isStored else Worker(store)
        old = worker.uid
        store.fail()
        assert isinstance(worker.rework("anna")[0], StoreUnavailable)
        assert (worker.uid, worker.sessionKey) == (old, None)
        store.mend()
        worker.data["a"] = 1
        assert worker.commit() == [None]
        assert stored(worker).sessionKey is None  # type: ignore[union-attr]  # it is stored
        assert self.opens(worker, old)

    def test_unknownLogIn(self) -> None:
        """
        When nobody knows whether a log-in was made, the old token is worth nothing until what is
        stored was looked at; and then it is that which counts.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store)
        store.fail("saveSession", answersOnly=True)
        worker.rework("anna")
        assert not worker.tracker.isExact and not self.opens(worker, worker.uid)
        store.mend()
        worker.reload()
        assert worker.sessionKey == "anna"

    def test_unknownCreation(self) -> None:
        """
        So it is with a log-in that was to create the session.
        """
        store = FailingStore(MemoryStore())
        worker = Worker(store)
        old = worker.uid
        store.fail("createSession", answersOnly=True)
        assert isinstance(worker.rework("anna")[0], StoreUnavailable)
        assert (worker.uid, worker.sessionKey) == (old, None)
        store.mend()
        assert worker.rework("anna") == [True]
        assert self.opens(worker, worker.uid) and not self.opens(worker, old)

    def test_collision(self) -> None:
        """
        A session that is created by a log-in and has the token of another one gets a new token.
        """
        store = MemoryStore()
        victim = newWorker(store)
        worker = Worker(store, uid=victim.uid)
        assert worker.rework("anna") == [False]
        assert worker.sid != victim.sid and self.opens(worker, worker.uid)
        assert stored(worker).sessionKey == "anna"  # type: ignore[union-attr]  # it is stored
        assert stored(victim).sessionKey is None  # type: ignore[union-attr]  # likewise

    def test_twoWorkers(self) -> None:
        """
        When two workers rework at the same time one token counts; what both have changed is
        stored.
        """
        one = newWorker()
        two = one.another()
        one.data["one"], two.data["two"] = 1, 2
        assert (one.rework(), two.rework()) == ([True], [False])
        assert self.opens(one, one.uid) and not self.opens(one, two.uid)
        assert content(one) == {"data:one": b"1", "data:two": b"2"}

    def test_twoLogIns(self) -> None:
        """
        So it is when both log in the same owner.
        """
        one = newWorker()
        two = one.another()
        assert (one.rework("anna"), two.rework("anna")) == ([True], [False])
        assert self.opens(one, one.uid) and two.sessionKey == "anna"

    @pytest.mark.parametrize("before", [(), ("mallory",), (None,)])
    def test_noFixation(self, before: Any) -> None:
        """
        Whoever got a new token in the same moment, and not as this owner, has nothing of it when
        the owner is logged in.
        """
        one = newWorker()
        two = one.another()
        assert one.rework(*before) == [True]
        assert two.rework("anna") == [True]
        assert self.opens(one, two.uid) and not self.opens(one, one.uid)
        assert stored(one).sessionKey == "anna"  # type: ignore[union-attr]  # it is stored

    def test_alwaysSlower(self) -> None:
        """
        A log-in gives up when others log in somebody else each time it tries, and leaves nothing
        behind.
        """
        worker = newWorker()
        other = worker.another()
        inside = worker.store

        class Hurried(RecordingStore):
            def saveSession(self, change: Change) -> Any:
                other.rework("mallory")
                return inside.saveSession(change)

        late = worker.another(Hurried(inside))
        assert isinstance(late.rework("anna")[0], VersionConflict)
        assert late.sessionKey != "anna"
        assert stored(worker).sessionKey == "mallory"  # type: ignore[union-attr]  # it is stored

    def test_saveOfAnOldOne(self) -> None:
        """
        A worker that loaded the session before a rework still saves into it, and takes nothing
        of the rework back.
        """
        one = newWorker()
        two = one.another()
        one.rework("anna")
        two.data["a"] = 1
        assert two.commit() == [None]
        assert self.opens(one, one.uid) and content(one) == {"data:a": b"1"}
        assert stored(one).sessionKey == "anna"  # type: ignore[union-attr]  # it is stored

    def test_saveMeanwhile(self) -> None:
        """
        What is changed while a rework is under way is saved by the next commit.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store, a=1)
        worker.data["a"] = 2
        rework = worker.rework("anna")
        worker.data["a"] = 1
        commit = worker.commit()
        store.open()
        assert rework == [True] and not commit
        store.open()
        assert commit == [None] and content(worker) == {"data:a": b"1"}
        assert self.opens(worker, worker.uid)

    def test_ended(self) -> None:
        """
        A session that has ended gets no new token, stored or not.
        """
        for worker in (newWorker(), Worker(MemoryStore())):
            worker.tracker.end(LOGOUT)
            assert isinstance(worker.rework("anna")[0], SessionEnded)
            assert worker.sessionKey is None and stored(worker) is None


class TestEnd:
    """
    Ends, and what comes late.
    """

    def test_end(self) -> None:
        """
        An end is told once, and nothing is saved afterwards.
        """
        worker = newWorker(a=1)
        assert outcome(worker.tracker.end(LOGOUT)) == [None]
        assert outcome(worker.tracker.end(REVOKED)) == [None]
        worker.tracker.finish(IDLE)
        worker.data["a"] = 2
        worker.lastModified += 100
        assert worker.tracker.pendingCommit() is None
        assert outcome(worker.tracker.touch()) == [None]
        assert isinstance(outcome(worker.tracker.commit())[0], SessionEnded)
        assert worker.ends == [LOGOUT] and stored(worker) is None

    def test_unstored(self) -> None:
        """
        A session that was never stored ends at once, and is not stored afterwards.
        """
        store = RecordingStore(MemoryStore())
        worker = Worker(store)
        assert outcome(worker.tracker.end(LOGOUT)) == [None]
        assert worker.ends == [LOGOUT] and worker.commit() == [None]
        assert isinstance(outcome(worker.tracker.commit())[0], SessionEnded)
        assert store.count() == 0

    def test_duringCreation(self) -> None:
        """
        An end while the session is being created ends it as soon as it is there.
        """
        store = GatedStore(MemoryStore())
        worker = Worker(store)
        commit = worker.commit()
        end = outcome(worker.tracker.end(LOGOUT))
        late = worker.commit()
        store.openAll()
        assert (commit, end, late, worker.ends) == ([None], [None], [None], [LOGOUT])
        assert stored(worker) is None

    def test_failsBesideACommit(self) -> None:
        """
        What is committed while an end is under way waits for it, and is saved if it fails.
        """
        failing = FailingStore(MemoryStore())
        store = GatedStore(failing, "deleteSession")
        worker = newWorker(store, a=1)
        end = outcome(worker.tracker.end(LOGOUT))
        worker.data["a"] = 2
        commit = worker.commit()
        assert commit == []
        failing.fail("deleteSession")
        store.openAll()
        assert isinstance(end[0], StoreUnavailable) and commit == [None]
        assert content(worker)["data:a"] == b"2"

    def test_finishedDuringCreation(self) -> None:
        """
        A session whose time is up while it is being created is not left behind in the store.
        """
        store = GatedStore(MemoryStore())
        worker = Worker(store)
        commit = worker.commit()
        worker.tracker.finish(IDLE)
        store.openAll()
        assert isinstance(commit[0], SessionEnded)
        assert worker.ends == [IDLE] and stored(worker) is None

    def test_duringASave(self) -> None:
        """
        An end while a save is under way comes after it, and after what waited before it.
        """
        store = GatedStore(MemoryStore())
        worker = newWorker(store, a=1)
        worker.data["a"] = 2
        first = worker.commit()
        worker.data["a"] = 3
        second = worker.commit()
        end = outcome(worker.tracker.end(LOGOUT))
        late = outcome(worker.tracker.commit())
        store.open()
        store.open()
        assert content(worker) == {"data:a": b"3"}
        store.openAll()
        assert (first, second, end) == ([None], [None], [None])
        assert isinstance(late[0], SessionEnded) and worker.ends == [LOGOUT]

    def test_failed(self) -> None:
        """
        An end that the store could not confirm leaves the session alive, and what waited before
        it saved.
        """
        store = GatedStore(FailingStore(MemoryStore()))
        worker = newWorker(store, a=1)
        store.store.fail("deleteSession")
        worker.data["a"] = 2
        worker.commit()
        worker.data["a"] = 3
        second = worker.commit()
        end = outcome(worker.tracker.end(LOGOUT))
        late = outcome(worker.tracker.commit())
        store.openAll()
        assert isinstance(end[0], StoreUnavailable) and second == [None] and late == [None]
        assert (worker.ends, worker.tracker.endReason) == ([], None)
        assert content(worker) == {"data:a": b"3"} and not worker.tracker.isExact
        store.store.mend()
        assert worker.data["a"] == 3
        end = outcome(worker.tracker.end(LOGOUT))
        store.openAll()
        assert end == [None] and worker.ends == [LOGOUT]

    @pytest.mark.parametrize("isDown", [True, False])
    def test_twice(self, isDown: bool) -> None:
        """
        Who ends a session whose end is under way waits for it, and tries again if that fails.
        """
        store = GatedStore(FailingStore(MemoryStore()))
        worker = newWorker(store)
        ends = [outcome(worker.tracker.end(reason)) for reason in (LOGOUT, REVOKED)]
        if isDown:
            store.store.fail()
        assert store.names == ["deleteSession"]
        store.open()
        store.store.mend()
        store.openAll()
        assert isinstance(ends[0][0], StoreUnavailable) is isDown and ends[1] == [None]
        assert worker.ends == [REVOKED if isDown else LOGOUT] and stored(worker) is None

    @pytest.mark.parametrize(
        "error", [SessionNotFound("0" * 32), CorruptRecord("0" * 32, "it is cut short")]
    )
    def test_nothingToEnd(self, error: Exception) -> None:
        """
        A session of which the store has no record, or a damaged one, has ended.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store)
        store.fail("deleteSession", error=lambda: error)
        assert outcome(worker.tracker.end(LOGOUT)) == [None]
        assert worker.ends == [LOGOUT]

    @pytest.mark.parametrize("error", [ValueError, KeyError])
    def test_failedOddly(self, error: type[Exception]) -> None:
        """
        So does one that failed in a way that nobody foresaw.
        """
        store = FailingStore(MemoryStore())
        worker = newWorker(store)
        store.fail("deleteSession", error=error)
        assert isinstance(outcome(worker.tracker.end(LOGOUT))[0], error)
        assert worker.tracker.endReason is None and not worker.ends

    def test_unknownCreation(self) -> None:
        """
        A session that may have been created without anybody's knowledge is not left behind when
        it ends.
        """
        store = FailingStore(MemoryStore())
        worker = Worker(store)
        store.fail("createSession", answersOnly=True)
        worker.commit()
        assert stored(worker) is not None
        store.mend()
        assert outcome(worker.tracker.end(LOGOUT)) == [None]
        assert stored(worker) is None and worker.ends == [LOGOUT]

    def test_unknownCreationOfADeadStore(self) -> None:
        """
        If the store is still down, the session ends nevertheless: nobody was told of it.
        """
        store = FailingStore(MemoryStore())
        worker = Worker(store)
        store.fail()
        worker.commit()
        assert outcome(worker.tracker.end(LOGOUT)) == [None]
        assert worker.ends == [LOGOUT]

    def test_twoEnds(self) -> None:
        """
        Of two workers that end a session both know it in the end, with one record for one of
        them.
        """
        store = RecordingStore(MemoryStore())
        one = newWorker(store)
        two = one.another()
        assert outcome(one.tracker.end(LOGOUT)) == [None]
        assert outcome(two.tracker.end(REVOKED)) == [None]
        assert (one.ends, two.ends) == ([LOGOUT], [REVOKED])
