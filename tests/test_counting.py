"""
Tests for L{txsessions.stores.counting}.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions.errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionNotFound,
    SessionTooLarge,
    StoreTimedOut,
    StoreUnavailable,
    StoreUnusable,
    TooManySessions,
    UnknownKey,
    VersionConflict,
)
from txsessions.limit import REFUSE, SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.counting import BOUNDS, CountingStore, Latencies, outcomeOf
from txsessions.stores.memory import MemoryStore
from txsessions.testing import DelayingStore, FailingStore
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
    A store that counts keeps the promises of the store inside.
    """

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return CountingStore(MemoryStore(self.clock), self.clock)


@pytest_twisted.ensureDeferred
async def test_counts() -> None:
    """
    Each operation is counted once, with what came of it.
    """
    clock = Clock()
    failing = FailingStore(MemoryStore(clock))
    store: Any = CountingStore(failing, clock)
    await store.createSession(Record(SID, bytes(32), 0, 0, 100))
    await store.loadSession(SID)
    await store.loadSession("f" * 32)
    await store.claimExpired(10)
    assert [sid async for sid, _ in store.iterSessions()] == [SID]
    for change in (Change("f" * 32), Change(SID, expectedVersion=9)):
        with pytest.raises((SessionNotFound, VersionConflict)):
            await store.saveSession(change)
    await store.deleteSession(SID)
    with pytest.raises(SessionEnded):
        await store.loadSession(SID)
    failing.fail()
    with pytest.raises(StoreUnavailable):
        await store.loadSession(SID)
    assert store.counts == {
        ("createSession", "done"): 1,
        ("loadSession", "done"): 2,
        ("loadSession", "ended"): 1,
        ("loadSession", "unavailable"): 1,
        ("claimExpired", "done"): 1,
        ("iterSessions", "done"): 1,
        ("saveSession", "not-found"): 1,
        ("saveSession", "conflict"): 1,
        ("deleteSession", "done"): 1,
    }
    assert store.underWay == 0


@pytest_twisted.ensureDeferred
async def test_countsFurther() -> None:
    """
    The operations of further interfaces are counted, and to watch is none.
    """
    clock = Clock()
    store: Any = CountingStore(MemoryStore(clock), clock)
    heard: list[str] = []
    stop = store.watchEndings(lambda sid, reason: heard.append(sid), lambda: None)
    await store.createSession(Record(SID, bytes(32), 0, 0, 100))
    await store.logInSession(Change(SID, sessionKey="anna"), SessionLimit(1))
    await store.createSession(Record("f" * 32, bytes(32), 0, 0, 100))
    with pytest.raises(TooManySessions):
        await store.logInSession(Change("f" * 32, sessionKey="anna"), SessionLimit(1, REFUSE))
    await store.enrol("mail")
    await store.endSessions("anna")
    assert heard == [SID]
    stop()
    (entry,) = await store.takeEndings("mail", 10, 60.0)
    await store.acknowledge("mail", [entry.eventID])
    assert store.counts == {
        ("createSession", "done"): 2,
        ("logInSession", "done"): 1,
        ("logInSession", "too-many"): 1,
        ("enrol", "done"): 1,
        ("endSessions", "done"): 1,
        ("takeEndings", "done"): 1,
        ("acknowledge", "done"): 1,
    }
    assert store.underWay == 0


@pytest_twisted.ensureDeferred
async def test_latencies() -> None:
    """
    How long an operation took is counted when it is done, not before.
    """
    clock = Clock()
    store = CountingStore(DelayingStore(MemoryStore(clock), clock, 0.02), clock)
    answers = [store.loadSession(SID) for _ in range(3)]
    assert store.underWay == 3
    assert store.latencies == {}
    clock.advance(0.02)
    for answer in answers:
        await answer
    latencies = store.latencies["loadSession"]
    assert latencies.counts[BOUNDS.index(0.025)] == 3
    assert sum(latencies.counts) == 3
    assert latencies.total == pytest.approx(0.06)
    assert store.underWay == 0


def test_bounds() -> None:
    """
    A bound belongs to the class below it, and what is above all has its own.
    """
    latencies = Latencies()
    for seconds in (0.0, 0.0005, 0.00051, 5.0, 5.1):
        latencies.add(seconds)
    assert latencies.counts[0] == 2
    assert latencies.counts[1] == 1
    assert latencies.counts[-2:] == [1, 1]


def test_outcomes() -> None:
    """
    Every error has one of a few names, which tell nothing of the session.
    """
    names = {
        SessionEnded(SID, "logout"): "ended",
        SessionNotFound(SID): "not-found",
        VersionConflict(SID): "conflict",
        StoreTimedOut(""): "timed-out",
        StoreUnavailable(""): "unavailable",
        StoreUnusable(""): "unavailable",
        CorruptRecord(SID, ""): "corrupt",
        UnknownKey(""): "unknown-key",
        InvalidSessionData(""): "refused",
        SessionTooLarge(""): "refused",
        TooManySessions(3): "too-many",
        CancelledError(): "error",
        ZeroDivisionError(): "error",
    }
    for error, name in names.items():
        assert outcomeOf(Failure(error)) == name
    assert outcomeOf(None) == "done"
