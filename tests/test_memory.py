"""
Tests for L{txsessions.stores.memory}, beside the contract that all stores keep.
"""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random
from time import process_time
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded, SessionNotFound
from txsessions.lifetime import ABSOLUTE, IDLE, LOGOUT, deadline
from txsessions.manager import SessionManager
from txsessions.record import Change, Record
from txsessions.stores.claim import Ending
from txsessions.stores.memory import PAGE, MemoryStore
from txsessions.stores.remembrance import AT_ONCE, MAXIMUM, RETENTION
from txsessions.testing import resultOf

DAY = 86400.0


def newRecord(number: int, now: float = 0.0, **facts: Any) -> Record:
    """
    A record of a session that begins now.
    """
    usual = {"verifier": bytes(32), "created": now, "lastModified": now, "sessionTimeout": 900.0}
    return Record(f"{number:032x}", **{**usual, **facts})


def test_answersAtOnce() -> None:
    """
    Every operation is done when it returns.
    """
    store = MemoryStore(Clock())
    record = newRecord(1)
    for answer in (
        store.createSession(record),
        store.loadSession(record.sid),
        store.saveSession(Change(record.sid)),
        store.hasSession(record.sid),
        store.findSessions("anna"),
        store.claimExpired(1),
        store.deleteSession(record.sid),
        store.deleteOldSessions(1),
        store.setup(),
    ):
        assert isinstance(answer, Deferred) and answer.called


def test_nothingPilesUp() -> None:
    """
    However many sessions come and go, nothing is left of them but the ends that are remembered,
    and of these no more than so many.
    """
    clock = Clock()
    store = MemoryStore(clock)
    for number in range(MAXIMUM + 20_000):
        record = newRecord(number, sessionKey=f"user {number}")
        store.createSession(record)
        store.saveSession(Change(record.sid, sessionKey="everybody"))
        store.deleteSession(record.sid, LOGOUT)
    assert not store._records and not store._owned and not store._deadlines
    assert store._deadlines._count < 300
    assert len(store._ends._reasons) == MAXIMUM
    clock.advance(RETENTION)
    for _ in range(MAXIMUM // AT_ONCE):
        store.claimExpired(1)
    assert not store._ends._reasons and not store._ends._order


def test_remembersEnds() -> None:
    """
    An end is remembered with its reason, and then it is as if the session had never been; its
    handle is free then.
    """
    clock = Clock()
    store = MemoryStore(clock)
    record = newRecord(1)
    store.createSession(record)
    store.deleteSession(record.sid, LOGOUT)
    for answer in (store.loadSession(record.sid), store.saveSession(Change(record.sid))):
        failure = answer.addErrback(lambda failure: failure.value)
        error: Any = resultOf(failure)
        assert isinstance(error, SessionEnded) and error.reason == LOGOUT
    assert resultOf(store.createSession(record)) is False
    clock.advance(RETENTION)
    store.claimExpired(1)
    error = resultOf(store.saveSession(Change(record.sid)).addErrback(lambda f: f.value))
    assert type(error) is SessionNotFound
    assert resultOf(store.createSession(record)) is True


class TellingManager(SessionManager):
    """
    A manager that tells of each ending as it is.
    """

    tell: Any = None

    def ended(self, ending: Ending) -> None:
        """
        See L{txsessions.managed.Told}.
        """
        self.tell(ending)


class Month:
    """
    A thousand sessions for thirty days, some busy, some not.
    """

    def __init__(self) -> None:
        self.random = Random(20261121)
        self.clock = Clock()
        self.store = MemoryStore()
        self.manager = TellingManager(self.store, self.clock)
        self.manager.tell = self.ended
        self.plans: list[tuple[float, str, float]] = []
        self.ended_: list[tuple[float, str, str]] = []
        self.wrong: list[Any] = []

    def ended(self, ending: Ending) -> None:
        """
        A session has ended: look whether this is the moment.
        """
        record, now = ending.record, self.clock.seconds()
        expected = (
            ABSOLUTE
            if record.absoluteTimeout
            and record.created + (record.absoluteTimeout)
            < record.lastModified + record.sessionTimeout
            else IDLE
        )
        if abs(deadline(record) - now) > 1e-6 or ending.reason != expected:
            self.wrong.append((now, ending))
        self.ended_.append((now, record.sid, ending.reason))

    def run(self, end: float) -> None:
        """
        Let time pass, from one event to the next.
        """
        while self.clock.seconds() < end:
            next = min(self.clock.calls[0].getTime(), self.plans[0][0], end)
            self.clock.advance(next - self.clock.seconds())
            while self.plans[0][0] <= self.clock.seconds():
                _, sid, timeout = heappop(self.plans)
                if timeout:
                    self.touch(sid, timeout)
                else:
                    self.create(int(sid))

    def create(self, number: int) -> None:
        """
        A session begins; and will be touched again and again, until it is not.
        """
        timeout = self.random.choice([900.0, 3600.0, DAY, 7 * DAY])
        absolute = self.random.choice([None, None, 3 * DAY, 20 * DAY])
        record = newRecord(
            number, self.clock.seconds(), sessionTimeout=timeout, absoluteTimeout=absolute
        )
        assert resultOf(self.store.createSession(record))
        self.manager.wakeBy(deadline(record))
        self.touchLater(record.sid, timeout)

    def touchLater(self, sid: str, timeout: float) -> None:
        """
        Use a session before its time is up; or, once in a while, not again.
        """
        if self.random.random() < 0.97:
            delay = timeout * self.random.uniform(0.2, 0.999)
            heappush(self.plans, (self.clock.seconds() + delay, sid, timeout))

    def touch(self, sid: str, timeout: float) -> None:
        """
        Use a session.
        """
        if resultOf(self.store.hasSession(sid)):
            resultOf(self.store.saveSession(Change(sid, lastModified=self.clock.seconds())))
            self.touchLater(sid, timeout)


def test_aMonth() -> None:
    """
    In thirty days of a thousand sessions each one ends at the moment at which it is due: none
    early, none late, none twice; and that takes seconds.
    """
    began = process_time()
    month = Month()
    month.manager.start()
    for number in range(1_000):
        heappush(month.plans, (month.random.uniform(0, 10 * DAY), str(number), 0.0))
    heappush(month.plans, (31 * DAY, "", 0.0))
    month.run(30 * DAY)
    assert month.wrong == []
    sids = [sid for _, sid, _ in month.ended_]
    left = list(month.store._records.values())
    assert len(set(sids)) == len(sids) and len(sids) + len(left) == 1_000
    assert len(sids) > 800 and {reason for *_, reason in month.ended_} == {IDLE, ABSOLUTE}
    assert all(deadline(record) > month.clock.seconds() for record in left)
    resultOf(month.manager.stop())
    assert not month.clock.getDelayedCalls()
    assert process_time() - began < 30


class Turns(Clock):
    """
    A clock that notes what waits for the reactor's turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> Any:
        """
        See L{Clock.callLater}.
        """
        self.waiting.append(callable)


def test_manyOfOne() -> None:
    """
    The reactor has its turn while very many sessions of one owner are ended; one that is ended
    meanwhile is not given twice, one that has another owner by then ends all the same, and one
    that logs in meanwhile does not.
    """
    clock = Turns()
    store = MemoryStore(clock)
    count = 2 * PAGE + 1
    for number in range(count):
        store.createSession(newRecord(number, sessionKey="everybody"))
    ended = store.endSessions("everybody")
    assert len(store._records) == count - PAGE and not ended.called
    store.deleteSession(newRecord(count - 1).sid)
    store.saveSession(Change(newRecord(count - 2).sid, sessionKey="anna"))
    store.createSession(newRecord(count))
    store.logInSession(Change(newRecord(count).sid, sessionKey="everybody"))
    while clock.waiting:
        clock.waiting.pop()(None)
    endings = resultOf(ended)
    assert len({ending.record.sid for ending in endings}) == len(endings) == count - 1
    assert list(store._records) == [newRecord(count).sid]


def test_manyOld() -> None:
    """
    The reactor has its turn while very many old sessions are ended; what is touched or ended
    meanwhile is not, and nothing is counted twice.
    """
    clock = Turns()
    clock.advance(DAY)
    store = MemoryStore(clock)
    count = 2 * PAGE + 1
    for number in range(count):
        store.createSession(newRecord(number, sessionTimeout=2 * DAY))
    ended = store.deleteOldSessions(60)
    assert len(store._records) == count - 1
    store.saveSession(Change(newRecord(0).sid, lastModified=DAY))
    store.deleteSession(newRecord(1).sid)
    left = []
    while clock.waiting:
        left.append(len(store._records))
        clock.waiting.pop()(None)
    assert left == [count - 2, count - 2 - PAGE]
    assert resultOf(ended) == count - 2
    assert list(store._records) == [newRecord(0).sid]


def test_noDeadline() -> None:
    """
    A session whose end cannot be told is not kept; it would be there for ever.
    """
    store = MemoryStore(Clock())
    with pytest.raises(OverflowError):
        store.createSession(newRecord(1, sessionTimeout=10**400))
    assert not resultOf(store.hasSession(newRecord(1).sid))
