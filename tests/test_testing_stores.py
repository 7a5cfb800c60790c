"""
The stores for tests do what they say, and keep the contract while they do nothing.
"""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from txsessions.errors import StoreTimedOut, StoreUnavailable
from txsessions.interfaces import (
    ISessionIndex,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from txsessions.record import Change, Record
from txsessions.stores.memory import MemoryStore
from txsessions.testing import (
    DelayingStore,
    FailingStore,
    GatedStore,
    HangingStore,
    RecordingStore,
    WrappingStore,
)

PROVIDED = (ISessionStore, ISessionSweep, ISessionIndex, ISessionStoreAdministration)


def wrapped(store: MemoryStore) -> list[WrappingStore]:
    """
    One wrapper of each kind around the store.
    """
    return [
        WrappingStore(store),
        FailingStore(store),
        HangingStore(store),
        DelayingStore(store, Clock(), 1.0),
        RecordingStore(store),
        GatedStore(store),
    ]


def newRecord(**facts) -> Record:
    """
    A record of a session that begins at the epoch.
    """
    usual = {"sid": uuid4().hex, "verifier": bytes(32), "created": 0.0, "lastModified": 0.0}
    return Record(**{**usual, "sessionTimeout": 1800.0, **facts})


def newSession(store: MemoryStore, **facts) -> Record:
    """
    A session in the store inside.
    """
    record = newRecord(**facts)
    assert result(store.createSession(record)) is True
    return record


def result(deferred: Deferred):
    """
    What the Deferred has fired with; the exception if it has failed.
    """
    results: list = []
    deferred.addBoth(results.append)
    assert results, "it has not fired yet"
    return results[0].value if isinstance(results[0], Failure) else results[0]


def hasFired(deferred: Deferred) -> bool:
    """
    Whether there is a result.
    """
    return deferred.called


def test_provides():
    """
    A wrapper provides the interfaces of the store inside, to the letter.
    """
    for store in wrapped(MemoryStore()):
        for interface in PROVIDED:
            assert verifyObject(interface, store)


def test_providesNoMore():
    """
    A wrapper around a store of few abilities claims no further ones.
    """

    @implementer(ISessionStore)
    class SmallStore:
        clock = None

    for store in wrapped(SmallStore()):
        assert ISessionStore.providedBy(store)
        assert not any(interface.providedBy(store) for interface in PROVIDED[1:])
        with pytest.raises(AttributeError):
            store.claimExpired(1)


def test_unknownInterface():
    """
    The operations of an interface that nobody knows here pass through the wrapper too.
    """

    class IShelf(Interface):
        def dust(cloth):
            """Clean."""

    @implementer(IShelf)
    class Shelf(MemoryStore):
        def dust(self, cloth):
            return self.hasSession(cloth)

    failing = FailingStore(Shelf())
    assert verifyObject(IShelf, failing)
    assert result(failing.dust("soft")) is False
    failing.fail("dust")
    assert isinstance(result(failing.dust(cloth="soft")), StoreUnavailable)


def test_wrappersOfWrappers():
    """
    Wrappers may be put around each other.
    """
    recording = RecordingStore(MemoryStore())
    failing = FailingStore(recording)
    assert verifyObject(ISessionSweep, failing)
    failing.fail("claimExpired")
    assert isinstance(result(failing.claimExpired(10)), StoreUnavailable)
    failing.mend()
    assert result(failing.claimExpired(10)).endings == []
    assert recording.count("claimExpired") == 1


def test_clock():
    """
    The clock of a wrapper is that of the store inside, also when one is lent.
    """
    for store in wrapped(MemoryStore()):
        clock = Clock()
        store.clock = clock
        assert store.store.clock is clock
        assert store.clock is clock


def test_attributes():
    """
    Other attributes are those of the store inside; there are no others.
    """
    for store in wrapped(MemoryStore()):
        assert store.isMultiprocessSafe is False
        with pytest.raises(AttributeError):
            _ = store.isUnheardOf


def test_facade():
    """
    The tools can be imported without pytest, and without installing a reactor.
    """
    program = (
        "import sys; sys.modules['pytest'] = sys.modules['pytest_twisted'] = None;"
        "import txsessions.testing; assert 'twisted.internet.reactor' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class TestFailingStore:
    """
    The store that is down.
    """

    def test_fail(self):
        """
        Between fail() and mend() every operation fails, and nothing is changed.
        """
        store = FailingStore(MemoryStore())
        record = newSession(store.store)
        store.fail()
        for answer in (
            store.loadSession(record.sid),
            store.createSession(newRecord()),
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
            store.deleteSession(record.sid),
            store.hasSession(record.sid),
            store.claimExpired(1),
            store.findSessions("anna"),
            store.deleteOldSessions(1),
            store.setup(),
        ):
            assert isinstance(result(answer), StoreUnavailable)
        store.mend()
        assert result(store.loadSession(record.sid)) == record

    def test_someOperations(self):
        """
        Only the named operations fail.
        """
        store = FailingStore(MemoryStore())
        record = newSession(store.store)
        store.fail("saveSession", "claimExpired")
        assert result(store.loadSession(record.sid)) == record
        assert isinstance(result(store.saveSession(Change(record.sid))), StoreUnavailable)
        store.fail("loadSession")
        assert isinstance(result(store.loadSession(record.sid)), StoreUnavailable)
        assert result(store.saveSession(Change(record.sid))) == 1

    def test_every(self):
        """
        Every k-th of the calls fails, and others do not count.
        """
        store = FailingStore(MemoryStore())
        store.fail("hasSession", every=3)
        answers = []
        for _ in range(7):
            answers.append(result(store.hasSession("0" * 32)))
            assert result(store.loadSession("0" * 32)) is None
        assert [isinstance(answer, StoreUnavailable) for answer in answers] == [
            number in (3, 6) for number in range(1, 8)
        ]

    def test_answersOnly(self):
        """
        A lost answer leaves the work done.
        """
        store = FailingStore(MemoryStore())
        record = newSession(store.store)
        store.fail("saveSession", answersOnly=True, error=lambda: StoreTimedOut("late"))
        answer = result(store.saveSession(Change(record.sid, set={"data:a": b"1"})))
        assert isinstance(answer, StoreTimedOut)
        assert result(store.loadSession(record.sid)).version == 2

    def test_iterSessions(self):
        """
        Browsing a store that is down fails.
        """
        store = FailingStore(MemoryStore())
        newSession(store.store)

        async def browse() -> list:
            return [pair async for pair in store.iterSessions()]

        assert len(result(Deferred.fromCoroutine(browse()))) == 1
        store.fail()
        assert isinstance(result(Deferred.fromCoroutine(browse())), StoreUnavailable)


class TestHangingStore:
    """
    The store that does not answer.
    """

    def test_hang(self):
        """
        Operations hang, undone, until they are released, and are done in their order.
        """
        store = HangingStore(MemoryStore())
        record = newSession(store.store)
        store.hang()
        calls = [
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
            store.loadSession(record.sid),
            store.deleteSession(record.sid),
        ]
        assert not any(map(hasFired, calls))
        assert result(store.store.loadSession(record.sid)) == record
        store.release()
        version, loaded, last = map(result, calls)
        assert (version, loaded.version, last.version) == (2, 2, 2)
        assert result(store.hasSession(record.sid)) is False

    def test_someOperations(self):
        """
        Only the named operations hang.
        """
        store = HangingStore(MemoryStore())
        store.hang("loadSession")
        load = store.loadSession("0" * 32, "nothing")
        assert result(store.hasSession("0" * 32)) is False
        assert not hasFired(load)
        store.release()
        assert result(load) == "nothing"

    def test_answersOnly(self):
        """
        The work is done, and the answer hangs.
        """
        store = HangingStore(MemoryStore())
        record = newSession(store.store)
        store.hang(answersOnly=True)
        save = store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        assert not hasFired(save)
        assert result(store.store.loadSession(record.sid)).version == 2
        store.release()
        assert result(save) == 2

    def test_cancelled(self):
        """
        Whoever gives up gets nothing, and the operation is done nevertheless.
        """
        store = HangingStore(MemoryStore())
        record = newSession(store.store)
        store.hang()
        save = store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        save.cancel()
        assert isinstance(result(save), CancelledError)
        store.release()
        assert result(store.loadSession(record.sid)).version == 2

    def test_releaseTwice(self):
        """
        Releasing a store that does not hang does nothing.
        """
        store = HangingStore(MemoryStore())
        store.release()
        store.hang()
        store.release()
        store.release()
        assert result(store.hasSession("0" * 32)) is False


def test_delayingStore():
    """
    An operation of a slow store is done after its time, not a moment earlier.
    """
    clock = Clock()
    store = DelayingStore(MemoryStore(), clock, 2.0)
    create = store.createSession(newRecord())
    clock.advance(1.9)
    assert not hasFired(create)
    clock.advance(0.1)
    assert result(create) is True
    store.seconds = 0.0
    has = store.hasSession("0" * 32)
    clock.advance(0)
    assert result(has) is False


def test_recordingStore():
    """
    Each call is noted with its arguments, and counted by name.
    """
    store = RecordingStore(MemoryStore())
    record = newRecord()
    result(store.createSession(record))
    result(store.saveSession(Change(record.sid, set={"data:a": b"secret"})))
    result(store.loadSession(record.sid, "nothing"))
    result(store.claimExpired(limit=5))
    assert [(call.name, call.sid) for call in store.calls] == [
        ("createSession", record.sid),
        ("saveSession", record.sid),
        ("loadSession", record.sid),
        ("claimExpired", None),
    ]
    assert store.calls[2].arguments == (record.sid, "nothing")
    assert store.calls[3].options == {"limit": 5}
    assert (store.count(), store.count("loadSession", "saveSession")) == (4, 2)
    assert "secret" not in repr(store.calls)


class TestGatedStore:
    """
    The store that waits for the test.
    """

    def test_anyOrder(self):
        """
        Operations wait, and happen in the order in which their gates are opened.
        """
        store = GatedStore(MemoryStore())
        record = newSession(store.store)
        saves = [store.saveSession(Change(record.sid, set={"data:a": b"%d" % n})) for n in range(3)]
        load = store.loadSession(record.sid)
        assert store.names == ["saveSession"] * 3 + ["loadSession"]
        assert [gate.call.sid for gate in store.gates] == [record.sid] * 4
        store.gates[2].open()
        store.open("loadSession")
        store.open()
        assert (result(saves[2]), result(load).attributes) == (2, {"data:a": b"2"})
        assert (result(saves[0]), hasFired(saves[1])) == (3, False)
        store.openAll()
        assert result(saves[1]) == 4
        assert store.gates == []

    def test_nothingWaits(self):
        """
        Opening a gate that is not there says which are.
        """
        store = GatedStore(MemoryStore())
        store.hasSession("0" * 32)
        with pytest.raises(LookupError, match=r"no loadSession waits; .*hasSession"):
            store.open("loadSession")
        store.openAll()

    def test_someOperations(self):
        """
        Only the named operations wait.
        """
        store = GatedStore(MemoryStore(), "saveSession")
        record = newRecord()
        assert result(store.createSession(record)) is True
        save = store.saveSession(Change(record.sid))
        assert store.names == ["saveSession"]
        store.openAll()
        assert result(save) == 1

    def test_openAllFollows(self):
        """
        Operations that begin because a gate was opened are let through as well.
        """
        store = GatedStore(MemoryStore())
        load = store.loadSession("0" * 32)
        load.addCallback(lambda _: store.hasSession("0" * 32))
        store.openAll()
        assert result(load) is False

    def test_cancelled(self):
        """
        An operation whose caller gave up waits on, and happens when its gate opens.
        """
        store = GatedStore(MemoryStore())
        record = newRecord()
        create = store.createSession(record)
        create.cancel()
        assert isinstance(result(create), CancelledError)
        store.open()
        assert result(store.store.loadSession(record.sid)) == record
