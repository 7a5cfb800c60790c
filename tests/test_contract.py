"""
The contract suite: green for a store that is right, red for each that is not.
"""

from __future__ import annotations

import broken
import pytest
import pytest_twisted
from broken import (
    DamagedStore,
    LockedStore,
    SlowStore,
)
from broken.turns import aTurn
from judge import isKept
from twisted.internet.defer import Deferred
from twisted.python.runtime import seconds

from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, HangingStore, RecordingStore
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    DurableJournalContract,
    IndexContract,
    JournalContract,
    KeyContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
)


class Everything(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
):
    """
    What L{MemoryStore} provides.
    """


class TestMemoryStore(Everything):
    """
    The reference, on a clock of the test.
    """

    def makeStore(self):
        return MemoryStore(self.clock)


class PassingTime:
    """
    The time of the machine, which also goes on by itself, and a bit more.
    """

    def __init__(self):
        self.ahead = 0.0

    def seconds(self) -> float:
        return seconds() + self.ahead


class TestMemoryStoreInRealTime(Everything):
    """
    The reference, on a time that passes while the test runs.
    """

    def makeClock(self):
        return PassingTime()

    async def advance(self, seconds):
        self.clock.ahead += seconds

    def makeStore(self):
        return MemoryStore(self.clock)


class TestStoreOfTurns(
    Everything,
    ConnectedContract,
    DurabilityContract,
    DurableJournalContract,
    AvailabilityContract,
):
    """
    A store whose answers take a turn of the reactor each, made in one itself, and
    that counts, fails, is closed and opened again.
    """

    async def makeStore(self):
        return SlowStore(RecordingStore(FailingStore(MemoryStore(self.clock))))

    async def reopen(self, store):
        await store.close()
        return SlowStore(store.store)

    async def concurrentStore(self, store):
        return SlowStore(store.store)

    async def breakStore(self, store):
        store.store.store.fail()

    async def mendStore(self, store):
        store.store.store.mend()


class TestStoreOfDamages(Everything, CorruptionContract, KeyContract):
    """
    A store whose records can be damaged, and unreadable for want of a key.
    """

    def makeStore(self):
        return DamagedStore(self.clock)

    async def damageSession(self, store, sid):
        store.damaged.add(sid)

    async def withAnotherKey(self, store):
        return LockedStore(store)


BROKEN = {
    "RevivingStore": "test_final test_finalForOthers test_finalWhenForgotten"
    " test_claimedHasEnded test_claimedStaysDeadWhenForgotten test_saveEnded test_endsBetweenSaves",
    "CreatingStore": "test_createEnded test_remembered test_claimedHasEnded",
    "ReplacingStore": "test_createTwice test_oneCreates",
    "OverwritingStore": "test_differentKeys test_changesBesideTouches test_increments"
    " test_oneOfEachVersion test_oneOfEachVerifier test_concurrentOwners",
    "DoublyEndingStore": "test_oneCaller test_claimAgainstDelete",
    "DoublyClaimingStore": "test_oneClaimer",
    "GoingBackStore": "test_touchNeverGoesBack test_changeNeverGoesBack test_asApplyDoes",
    "TouchCountingStore": "test_touch test_touchKeepsExpectedVersion test_nothing",
    "LateTouchingStore": "test_touchAtDeadline test_touchAtAbsoluteDeadline test_lateChange",
    "VersionlessStore": "test_expectedVersion test_oneOfEachVersion test_increments",
    "VerifierlessStore": "test_expectedVerifier test_oneOfEachVerifier",
    "KeepingStore": "test_merge test_noAttributes test_names test_factsChangeAlone",
    "EarlyStore": "test_moment test_secondBySecond test_touched test_changedTimeouts",
    "LateStore": "test_moment test_secondBySecond",
    "ForgettingToDeleteStore": "test_claimedHasEnded test_secondBySecond test_final",
    "UnlimitedStore": "test_limitAndOrder",
    "LazyStore": "test_limitAndOrder test_nextDeadline",
    "DisorderlyStore": "test_limitAndOrder",
    "TouchlessStore": "test_touched test_changedTimeouts",
    "UnindexedStore": "test_followsChanges test_concurrentLogIns test_anyOwner",
    "HauntedStore": "test_withoutTheEnded test_withoutTheClaimed test_deletedHaveNoOwner",
    "ColonStore": "test_anyOwner test_nobody",
    "ForgetfulStore": "test_remembered test_loadEnded test_claimedIsRemembered",
    "ReasonlessStore": "test_loadEnded test_saveEnded test_deleteEnded",
    "AbsentStore": "test_loadEnded test_inOrder",
    "UntidyStore": "test_deleteAbsent",
    "TruthyStore": "test_has",
    "ReformattingStore": "test_bytes",
    "OvertakingStore": "test_inOrder test_inOrderWhenCancelled",
    "FragileStore": "test_browseWhileChanging",
    "MiscountingStore": "test_deleteOld test_deleteOldByFractions",
    "BirthdayStore": "test_deleteOldAsTouched",
    "ConfusedStore": "test_saveAbsent",
    "StaleStore": "test_deletePresent test_bigRecord test_endsBetweenSaves",
    "StrictStore": "test_loadOverdue",
    "StubbornStore": "test_loadAbsent",
    "CarelessStore": "test_everyFact test_verifiers test_nameWithNUL test_bigRecord"
    " test_timesOfLongAgoAndFarAhead",
    "ShiftingStore": "test_otherAnswersWhenCancelled",
    "SweepingStore": "test_endsAlone test_withoutTheEnded",
    "FreshStore": "test_setup test_concurrentSetup",
    "PagingStore": "test_browseMany",
}
"""
For each store that is broken on purpose the tests which have to notice.
"""


@pytest.mark.parametrize("store", BROKEN)
@pytest_twisted.ensureDeferred
async def test_isNoticed(store):
    """
    A store that breaks a promise fails the tests of that promise.
    """

    class Suite(Everything):
        def makeStore(self):
            return getattr(broken, store)(self.clock)

    kept = [name for name in BROKEN[store].split() if await isKept(Suite(), name)]
    await aTurn()
    assert kept == []


@pytest_twisted.ensureDeferred
async def test_hangingIsNoticed():
    """
    A store that never answers fails within the time limit.
    """

    class Suite(StoreContract):
        timeLimit = 0.05

        def makeStore(self):
            store = HangingStore(MemoryStore(self.clock))
            store.hang("loadSession")
            return store

    assert not await isKept(Suite(), "test_loadPresent")
    assert await isKept(Suite(), "test_has")


@pytest_twisted.ensureDeferred
async def test_lyingInterfaceIsNoticed():
    """
    A store whose methods are not as the interface has them fails before all else.
    """

    class Lying(MemoryStore):
        def loadSession(self, sid):
            return super().loadSession(sid)

    class Suite(StoreContract):
        def makeStore(self):
            return Lying(self.clock)

    with pytest.raises(Exception, match="loadSession"):
        await Suite().test_provides()


@pytest_twisted.ensureDeferred
async def test_makeStore():
    """
    A suite without a store says what to define; one may come by and by.
    """

    class Waiting(StoreContract):
        def makeStore(self):
            made: Deferred = Deferred()
            made.callback(MemoryStore(self.clock))
            return made

    with pytest.raises(NotImplementedError, match=r"makeStore\(\)"):
        await StoreContract().test_has()
    await Waiting().test_has()
