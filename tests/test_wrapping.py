"""
Tests for L{txsessions.stores.wrapping}: the further interfaces of the store inside.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ISessionJournal, ISessionNotices, ISessionOwners
from txsessions.lifetime import LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.memory import MemoryStore
from txsessions.stores.wrapping import WrappingStore
from txsessions.testing import DelayingStore, FailingStore, GatedStore, HangingStore, RecordingStore

SID = "0123456789abcdef" * 2


@pytest.fixture
def memory() -> MemoryStore:
    """
    A store with one session.
    """
    memory = MemoryStore(Clock())
    memory.createSession(Record(SID, bytes(32), 0.0, 0.0, 100.0))
    return memory


def test_provides(memory: MemoryStore) -> None:
    """
    A wrapper provides the further interfaces of the store inside as they are described.
    """
    for interface in (ISessionOwners, ISessionJournal, ISessionNotices):
        assert verifyObject(interface, WrappingStore(memory))


def test_sid(memory: MemoryStore) -> None:
    """
    A call of a log-in is about its session; one that is about an owner or an observer is about
    no certain one.
    """
    store: Any = RecordingStore(memory)
    store.logInSession(Change(SID, sessionKey="anna"), SessionLimit(1))
    store.endSessions("anna", exceptFor=SID)
    store.enrol("mail")
    store.takeEndings("mail", 10, 60.0)
    store.acknowledge("mail", [])
    store.dismiss("mail")
    assert [(call.name, call.sid) for call in store.calls] == [
        ("logInSession", SID),
        ("endSessions", None),
        ("enrol", None),
        ("takeEndings", None),
        ("acknowledge", None),
        ("dismiss", None),
    ]


def test_watching(memory: MemoryStore) -> None:
    """
    To watch is no operation: whatever a wrapper does to those, what ends is heard of at once,
    until the watcher stops.
    """
    wrapped: list[Any] = [
        FailingStore(memory),
        HangingStore(memory),
        DelayingStore(memory, Clock(), 1.0),
        GatedStore(memory),
        RecordingStore(memory),
    ]
    wrapped[0].fail()
    wrapped[1].hang()
    heard: list[Any] = []
    stops = [
        store.watchEndings(lambda *ending: heard.append(ending), heard.clear) for store in wrapped
    ]
    memory.deleteSession(SID, LOGOUT)
    assert heard == [(SID, LOGOUT)] * len(wrapped)
    for stop in stops:
        stop()
    assert not memory._watchers
    assert wrapped[4].calls == []


def test_failing(memory: MemoryStore) -> None:
    """
    The operations of further interfaces fail like all others, and nothing is done then.
    """
    store: Any = FailingStore(memory)
    store.fail("logInSession", "enrol")
    errors: list[Any] = []
    for answer in (store.logInSession(Change(SID, sessionKey="anna")), store.enrol("mail")):
        assert isinstance(answer, Deferred)
        answer.addErrback(lambda failure: errors.append(failure.type))
    assert errors == [StoreUnavailable] * 2
    assert memory._records[SID].sessionKey is None
