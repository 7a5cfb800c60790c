"""
Tests for L{txsessions.tracker}: whatever several workers do to one session, in
whichever order the store comes to it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from trackedworkers import NOW, Worker, content, outcome, stored

from txsessions.errors import SessionEnded, StoreUnavailable
from txsessions.keeper import Keeper
from txsessions.lifetime import LOGOUT
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore
from txsessions.token import INSECURE, matches, parse

NUMBER = 3

which = st.integers(0, NUMBER - 1)


def increment(data: Any) -> None:
    """
    One more.
    """
    data["counter"] = data["counter"] + 1


class Races(RuleBasedStateMachine):
    """
    Several workers, each with a key of its own, a counter for all, and a store that does things
    when the test says so, or fails.
    """

    @initialize()
    def begin(self) -> None:
        """
        A session is stored, and all workers have loaded it.
        """
        inside = MemoryStore()
        first = Worker(inside)
        first.data["counter"] = 0
        first.commit()
        self.failing = FailingStore(inside)
        self.store = GatedStore(self.failing)
        self.workers = [first.another(self.store) for _ in range(NUMBER)]
        self.assigned = [0] * NUMBER
        self.acknowledged = [0] * NUMBER
        self.commits: list[tuple[int, int, list[Any]]] = []
        self.increments: list[list[Any]] = []
        self.ends: list[list[Any]] = []
        self.reworks: list[tuple[int, list[Any]]] = []
        self.now = NOW

    @rule(number=which)
    def assign(self, number: int) -> None:
        """
        A worker writes its own key, as a scalar and inside of a list.
        """
        self.assigned[number] += 1
        data = self.workers[number].data
        data[f"scalar {number}"] = self.assigned[number]
        data.setdefault(f"list {number}", []).append(self.assigned[number])

    @rule(number=which)
    def commit(self, number: int) -> None:
        """
        A request commits.
        """
        result = self.workers[number].commit()
        self.commits.append((number, self.assigned[number], result))

    @rule(number=which)
    def touch(self, number: int) -> None:
        """
        Time passes, and a worker touches the session.
        """
        self.now += 20
        self.workers[number].lastModified = self.now

    @rule(number=which)
    def modify(self, number: int) -> None:
        """
        A worker increments the counter.
        """
        self.increments.append(outcome(self.workers[number].tracker.modify(increment)))

    @rule(number=which)
    def rework(self, number: int) -> None:
        """
        A worker logs somebody in.
        """
        self.reworks.append((number, self.workers[number].rework(f"owner {number}")))

    @rule(number=which)
    def reload(self, number: int) -> None:
        """
        A worker loads what is stored now.
        """
        if stored(self.workers[0]) is not None:
            self.workers[number].reload()

    @precondition(lambda self: self.store.gates)
    @rule(place=st.integers(0, 20), fails=st.sampled_from([False, False, False, True]))
    def proceed(self, place: int, fails: bool) -> None:
        """
        The store does something, or fails.
        """
        if fails:
            self.failing.fail()
        self.store.gates[place % len(self.store.gates)].open()
        self.failing.mend()

    @rule(number=which, really=st.sampled_from([False] * 9 + [True]))
    def end(self, number: int, really: bool) -> None:
        """
        A worker ends the session, seldom.
        """
        if really:
            self.ends.append(outcome(self.workers[number].tracker.end(LOGOUT)))

    def teardown(self) -> None:
        """
        When all is done, all that was acknowledged is there, and nothing is that may not be.
        """
        if not hasattr(self, "store"):
            return
        self.store.openAll()
        record = stored(self.workers[0])
        assert all(result for _, _, result in self.commits)
        assert all(self.increments) and all(self.ends)
        assert (record is None) == ([None] in self.ends)
        if record is None:
            self.checkDead()
        else:
            self.checkAlive()

    def checkDead(self) -> None:
        """
        Nothing that comes after the end brings the session back.
        """
        for number, worker in enumerate(self.workers):
            self.assign(number)
            worker.lastModified = self.now + 800
            late = [worker.commit(), worker.rework("anna"), outcome(worker.tracker.commit())]
            self.store.openAll()
            assert late[0] == [None] or isinstance(late[0][0], SessionEnded)
            assert all(isinstance(result, SessionEnded) for [result] in late[1:])
            assert len(worker.ends) == 1
        assert stored(self.workers[0]) is None

    def checkAlive(self) -> None:
        """
        Nothing that was acknowledged is lost, and all workers come to agree.
        """
        kept = content(self.workers[0])
        for number, value, [result] in self.commits:
            if result is None and value:
                assert int(kept[f"data:scalar {number}"]) >= value
        failures = [result for [result] in self.increments if result is not None]
        assert all(isinstance(failure, StoreUnavailable) for failure in failures)
        assert int(kept["data:counter"]) == len(self.increments) - len(failures)
        assert not any(worker.ends for worker in self.workers)
        self.checkTokens()
        for _ in range(2):
            for worker in self.workers:
                worker.reload()
                worker.commit()
                self.store.openAll()
        for number, worker in enumerate(self.workers):
            assert worker.tracker.pendingCommit() is None and worker.tracker.isExact
            assert worker.tracker.record == stored(worker)
            for other, assigned in enumerate(self.assigned):
                assert worker.data.get(f"scalar {other}", 0) == assigned, (number, other)
                assert worker.data.get(f"list {other}", []) == list(range(1, assigned + 1))

    def checkTokens(self) -> None:
        """
        One token opens the session, that of a worker whose log-in was the last one; and the
        owner is the one who logged in then.
        """
        record = stored(self.workers[0])
        assert record is not None
        winners = {number for number, [result] in self.reworks if result is True}
        if winners:
            tokens = {worker.uid: number for number, worker in enumerate(self.workers)}
            [opening] = [
                number for uid, number in tokens.items() if self.opens(uid, record.verifier)
            ]
            assert opening in winners and record.sessionKey == f"owner {opening}"

    @staticmethod
    def opens(uid: bytes, verifier: bytes) -> bool:
        """
        Whether a token is the one of which this is the verifier's digest.
        """
        token = parse(uid)
        return token is not None and matches(token, INSECURE, verifier)


TestRaces = Races.TestCase
TestRaces.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


def test_noticesATouchThatCounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The machine notices a keeper that takes a touch on top of somebody else's save for all there
    is to know.
    """

    def careless(self: Any, version: int, *sent: Any) -> None:
        original(self, version, *sent)
        self.isExact = True
        self.record = self.record and type(self.record)(
            **{
                name: getattr(self.record, name)
                for name in self.record.__slots__
                if name != "version" and not name.startswith("__")
            },
            version=version,
        )

    original = Keeper._saved
    monkeypatch.setattr(Keeper, "_saved", careless)
    machine: Any = Races()
    machine.begin()
    machine.modify(1)
    machine.store.openAll()
    machine.touch(0)
    machine.touch(0)
    machine.touch(0)
    machine.touch(0)
    machine.commit(0)
    machine.store.openAll()
    machine.modify(0)
    with pytest.raises(AssertionError):
        machine.teardown()


def test_noticesALostChange(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The machine notices a keeper that takes what was sent for stored when the store has failed.
    """

    def careless(self: Any, failure: Any) -> Any:
        self._sent = None
        return failure

    monkeypatch.setattr(Keeper, "refused", careless)
    machine: Any = Races()
    machine.begin()
    machine.assign(0)
    machine.commit(0)
    machine.proceed(0, True)
    machine.commit(0)
    with pytest.raises((AssertionError, KeyError)):
        machine.teardown()
