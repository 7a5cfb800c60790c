"""
The suites that need a hook notice stores that are wrong when they are down, closed,
opened anew, damaged or without a key.
"""

from __future__ import annotations

import broken
import pytest
import pytest_twisted
from broken import (
    AmnesicStore,
    DownStore,
    SlowStore,
    WipingStore,
)
from judge import isKept

from txsessions.stores.memory import MemoryStore
from txsessions.stores.memoryjournal import MemoryJournal
from txsessions.testing import FailingStore
from txsessions.testing.contract import (
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    KeyContract,
)


@pytest_twisted.ensureDeferred
async def test_absentWhenDown():
    """
    A store that answers "absent" while it is down fails.
    """

    class Suite(AvailabilityContract):
        def makeStore(self):
            return DownStore(MemoryStore(self.clock))

        async def breakStore(self, store):
            store.isDown = True

        async def mendStore(self, store):
            store.isDown = False

    assert not await isKept(Suite(), "test_unavailable")


@pytest_twisted.ensureDeferred
async def test_emptyWhenDown():
    """
    A store that looks empty while it is down fails.
    """

    class Suite(AvailabilityContract):
        def makeStore(self):
            return MemoryStore(self.clock)

        async def breakStore(self, store):
            self.records, store._records = store._records, {}

        async def mendStore(self, store):
            store._records = self.records

    assert not await isKept(Suite(), "test_unavailable")
    assert not await isKept(Suite(), "test_unavailableToBrowse")


@pytest.mark.parametrize("isForgetful", [False, True])
@pytest_twisted.ensureDeferred
async def test_silentJournal(isForgetful):
    """
    A store that says that nothing has ended while it is down fails, and so does one that has
    forgotten it afterwards.
    """

    class Suite(AvailabilityContract):
        def makeStore(self):
            return FailingStore(MemoryStore(self.clock))

        async def breakStore(self, store):
            if isForgetful:
                store.fail("takeEndings")
            self.kept, store.store._journal = store.store._journal, MemoryJournal()

        async def mendStore(self, store):
            store.mend()
            if not isForgetful:
                store.store._journal = self.kept

    assert not await isKept(Suite(), "test_unavailableJournal")


@pytest_twisted.ensureDeferred
async def test_lossWhenDown():
    """
    A store that comes back with less than it had fails.
    """

    class Suite(AvailabilityContract):
        def makeStore(self):
            return MemoryStore(self.clock)

        async def breakStore(self, store):
            store._records.clear()

        async def mendStore(self, store):
            pass

    assert not await isKept(Suite(), "test_intactAfterwards")


@pytest.mark.parametrize(
    ("store", "names"),
    [
        ("HastyStore", "test_closeFinishes"),
        ("StuckStore", "test_opensAgain test_opensWhileClosing test_closeTwice"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_closingIsNoticed(store, names):
    """
    A store that drops work when it is closed, or stays closed, fails.
    """

    class Suite(ConnectedContract):
        def makeStore(self):
            return getattr(broken, store)(MemoryStore(self.clock))

        async def concurrentStore(self, store):
            return SlowStore(store.store)

    assert [name for name in names.split() if await isKept(Suite(), name)] == []


@pytest_twisted.ensureDeferred
async def test_lossAtRestart():
    """
    A store that forgets sessions, or their ends, when it is opened anew fails.
    """

    class Losing(DurabilityContract):
        def makeStore(self):
            return MemoryStore(self.clock)

        async def reopen(self, store):
            return MemoryStore(self.clock)

    class Amnesic(DurabilityContract):
        def makeStore(self):
            return AmnesicStore(self.clock)

        async def reopen(self, store):
            await store.close()
            return store

    names = ("test_keepsSessions", "test_keepsEnds", "test_keepsIndex", "test_keepsDeadlines")
    assert [name for name in names if await isKept(Losing(), name)] == []
    assert not await isKept(Amnesic(), "test_keepsEnds")


@pytest.mark.parametrize(
    ("store", "names"),
    [
        ("SilentlyDamagedStore", "test_toldOnce test_toldToASave"),
        ("BlockedStore", "test_isNotClaimed test_harmsNoOwner"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_damageIsNoticed(store, names):
    """
    A store that says "absent" of a damaged record, or stops at it, fails.
    """

    class Suite(CorruptionContract):
        def makeStore(self):
            return getattr(broken, store)(self.clock)

        async def damageSession(self, store, sid):
            store.damaged.add(sid)

    assert [name for name in names.split() if await isKept(Suite(), name)] == []


@pytest_twisted.ensureDeferred
async def test_wipingIsNoticed():
    """
    A store that ends what it has no key for fails.
    """

    class Suite(KeyContract):
        def makeStore(self):
            return MemoryStore(self.clock)

        async def withAnotherKey(self, store):
            return WipingStore(store)

    assert not await isKept(Suite(), "test_unknownKey")
