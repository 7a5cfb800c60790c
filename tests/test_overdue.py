"""
Tests for L{txsessions.web.overdue}.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from txsessions.duties import BATCH
from txsessions.web.overdue import Overdue


class Session:
    """
    A session, as far as that matters here.
    """

    endReason: str | None = None

    def __init__(self, sid: str) -> None:
        self.sid = sid


class Work:
    """
    What is done for sessions.

    @ivar sessions: All of them, by their handles.
    @ivar sweeps: The sweeps that were asked for.
    @ivar asked: The sessions that were asked about.
    @ivar answer: What that gives.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.sessions: dict[str, Session] = {}
        self.sweeps: list[Deferred[None]] = []
        self.asked: list[Any] = []
        self.answer: Deferred[None] | None = None
        self.overdue = Overdue(self.clock, self.sessions.get, self.sweep, self.recheck)

    def add(self, count: int = 1) -> list[Session]:
        """
        The deadlines of so many come up.
        """
        first = len(self.sessions)
        sessions = [Session(f"{first + number:032x}") for number in range(count)]
        for session in sessions:
            self.sessions[session.sid] = session
            self.overdue.add(session)
        return sessions

    def sweep(self) -> Deferred[None]:
        """
        End what has expired.
        """
        self.sweeps.append(Deferred())
        return self.sweeps[-1]

    def recheck(self, session: Any) -> Deferred[None]:
        """
        Ask about one.
        """
        self.asked.append(session)
        return succeed(None) if self.answer is None else self.answer


def test_oneSweep() -> None:
    """
    However many they are, they wait for one sweep, and those that it leaves are
    asked about.
    """
    work = Work()
    sessions = work.add(20)
    assert len(work.sweeps) == 1 and work.asked == []
    for session in sessions[1:]:
        session.endReason = "expired-idle"
    work.sweeps[0].callback(None)
    assert work.asked == sessions[:1]
    assert len(work.sweeps) == 1 and work.clock.getDelayedCalls() == []


def test_batches() -> None:
    """
    Not more than some are asked about in one turn of the reactor.
    """
    work = Work()
    sessions = work.add(2 * BATCH + 1)
    work.sweeps[0].callback(None)
    assert work.asked == sessions[:BATCH]
    assert len(work.clock.getDelayedCalls()) == 1
    work.clock.pump([0, 0])
    assert work.asked == sessions
    assert work.clock.getDelayedCalls() == []


def test_slowStore() -> None:
    """
    No more are asked about before the store has answered.
    """
    work = Work()
    work.answer = Deferred()
    work.add(BATCH + 1)
    work.sweeps[0].callback(None)
    work.clock.advance(60)
    assert len(work.asked) == BATCH
    work.answer.callback(None)
    work.clock.advance(0)
    assert len(work.asked) == BATCH + 1


def test_meanwhile() -> None:
    """
    What comes up during a sweep waits for that one; what comes up when it is over
    gets another one.
    """
    work = Work()
    work.answer = Deferred()
    first = work.add() + work.add()
    work.sweeps[0].callback(None)
    second = work.add()
    assert work.asked == first and len(work.sweeps) == 1
    work.answer.callback(None)
    assert work.asked == first and len(work.sweeps) == 2
    work.sweeps[1].callback(None)
    assert work.asked == first + second
    third = work.add()
    work.sweeps[2].callback(None)
    assert work.asked == first + second + third


def test_stop() -> None:
    """
    After a stop nobody is asked about any more, and no delayed call is left; and
    it can go on.
    """
    work = Work()
    work.add(BATCH + 1)
    work.sweeps[0].callback(None)
    work.overdue.stop()
    assert work.clock.getDelayedCalls() == []
    work.add()
    work.overdue.stop()
    work.sweeps[1].callback(None)
    assert len(work.asked) == BATCH
    work.add()
    work.sweeps[2].callback(None)
    assert len(work.asked) == BATCH + 1


def test_gone() -> None:
    """
    Those that are gone meanwhile are not held, however many they are.
    """
    work = Work()
    held = [ref(each) for each in work.add(2 * BATCH)]
    left = work.add()
    for sid in list(work.sessions)[: len(held)]:
        del work.sessions[sid]
    assert not any(each() for each in held)
    work.sweeps[0].callback(None)
    work.clock.pump([0, 0])
    assert work.asked == left and work.clock.getDelayedCalls() == []


def test_shortLists() -> None:
    """
    There is no long list for the collector of garbage to look at.
    """
    work = Work()
    work.add(10 * BATCH)
    assert sum(map(len, work.overdue._waiting)) == 10 * BATCH
    assert max(map(len, work.overdue._waiting)) <= BATCH


def test_notFound() -> None:
    """
    One that its handle does not find, or that finds another one, is asked about as well: it
    may have a reactor of its own, and nobody but that may know it.
    """
    work = Work()
    (other,) = work.add()
    del work.sessions[other.sid]
    lone, hidden = Session("lone"), Session(other.sid)
    for session in (lone, hidden):
        work.overdue.add(session)
    work.sessions[other.sid] = other
    work.sweeps[0].callback(None)
    assert work.asked == [other, lone, hidden]
