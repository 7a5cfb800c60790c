"""
The suites of owners, of the journal and of notices notice stores that are wrong.
"""

from __future__ import annotations

import broken
import pytest
import pytest_twisted
from broken.turns import aTurn
from judge import isKept

from txsessions.stores.memory import MemoryStore
from txsessions.stores.memoryjournal import MemoryJournal
from txsessions.testing.contract import (
    DurableJournalContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
)

BROKEN = {
    "HurriedStore": "test_crowdEvicts test_crowdIsRefused",
    "OutrunStore": "test_lateLogIn test_lateLogInLater test_endBesideLogIns",
    "ShortFenceStore": "test_lateLogInLater",
    "WideFenceStore": "test_newLogIn",
    "StrictFenceStore": "test_newLogIn",
    "LeavingOpenStore": "test_lateLogIn",
    "SeniorityStore": "test_evictsOldest test_logInAgain",
    "ImpatientStore": "test_refusedEvictsNobody",
    "SelfCountingStore": "test_logInAgain",
    "ReckoningStore": "test_roomAfterLogOut test_roomAfterSweep",
    "LettingInStore": "test_refuses test_crowdIsRefused",
    "CredulousStore": "test_logInAtExpectedVersion test_logInOnce",
    "SilentEvictionStore": "test_evictsOldest test_crowdEvicts",
    "ThoroughStore": "test_endAllButOne test_writesCleared",
    "LoudStore": "test_endOfAnyOwner",
    "DoublyClearingStore": "test_endMany test_endBesideDeletes",
    "EvictionOmittingStore": "test_writesEvicted",
    "SweepOmittingStore": "test_writesExpired",
    "AgeOmittingStore": "test_writesOld",
    "ClearOmittingStore": "test_writesCleared",
    "FenceOmittingStore": "test_writesLateLogIns",
    "StutteringStore": "test_writesDeleted test_enrolTwice test_writesMany",
    "EagerJournalStore": "test_writesDeleted",
    "EmptyJournalStore": "test_writesDeleted",
    "RecordingAllStore": "test_writesNoOthers",
    "UnleasedStore": "test_leased test_oneTaker",
    "UnorderedTakingStore": "test_oneTaker",
    "GreedyStore": "test_leased",
    "UncountingStore": "test_leased",
    "RenamingStore": "test_independentObservers test_writesDeleted",
    "SharedJournalStore": "test_independentObservers",
    "PedanticStore": "test_acknowledged test_acknowledgedNothing",
    "UnacknowledgedStore": "test_acknowledged",
    "AnewStore": "test_enrolTwice",
    "FaithfulStore": "test_dismiss",
    "HistorianStore": "test_nobodyEnrolled",
    "NewsStore": "test_oldestTaken",
    "GenerousStore": "test_oldestTaken",
    "ShortJournalStore": "test_writesMany",
    "NamelessStore": "test_noNames",
    "CarefreeStore": "test_namesOfObservers",
    "MuteStore": "test_hearsDeleted test_hearsMany",
    "DeafStore": "test_hearsDeleted",
    "ReservedStore": "test_hearsOwners",
    "SweepingInSilenceStore": "test_hearsExpired",
    "AgeingInSilenceStore": "test_hearsOld",
    "VagueStore": "test_hearsDeleted test_hearsExpired",
    "TirelessStore": "test_hearsNoMore",
    "DelicateStore": "test_raisesWhileHearing",
    "LingeringStore": "test_nothingLeftBehind",
    "HoarseStore": "test_hearsMany",
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

    class Suite(IndexContract, OwnersContract, JournalContract, NoticesContract):
        def makeStore(self):
            return getattr(broken, store)(self.clock)

    kept = [name for name in BROKEN[store].split() if await isKept(Suite(), name)]
    await aTurn()
    assert kept == []


@pytest_twisted.ensureDeferred
async def test_lossIsNoticed():
    """
    A journal that is gone, whose leases are gone, or that knows again what was
    acknowledged fails when the store is opened anew.
    """

    class Suite(DurableJournalContract):
        def makeStore(self):
            return MemoryStore(self.clock)

        async def reopen(self, store):
            return store

    class Gone(Suite):
        async def reopen(self, store):
            store._journal = MemoryJournal()
            return store

    class Unleased(Suite):
        async def reopen(self, store):
            for backlog in store._journal._backlogs.values():
                backlog._waiting.extend(backlog._until)
            return store

    class Again(Suite):
        def makeStore(self):
            return broken.UnacknowledgedStore(self.clock)

    names = ("test_keepsJournal", "test_keepsLeases", "test_acknowledgedForGood")
    for suite, noticed in (
        (Suite, ()),
        (Gone, names),
        (Unleased, names[1:2]),
        (Again, names[2:]),
    ):
        for name in noticed or names:
            assert await isKept(suite(), name) is (not noticed), (suite.__name__, name)
