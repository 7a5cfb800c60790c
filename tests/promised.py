"""
The promises: what is promised, which tests show it on which store, and which tests
show that something broken on purpose is found out.  A table, from which L{promises}
makes a page.

A test is named C{module::function} or C{module::Class::method}, without the C{test_}
of the module: all of its cases, or one of them where that is named in brackets.
"""

from __future__ import annotations

from typing import Final

from promise import (
    CHAOS,
    MACHINES,
    NEVER_FAILS,
    OUTSIDE,
    STORES,
    Promise,
    explored,
    onEach,
    together,
    told,
    withWorkers,
)

PROMISES: Final = (
    Promise(
        "P1",
        "Never an empty session because of an error",
        tests=("trouble::TestTrouble::test_down", "trouble::TestTrouble::test_hangs"),
        stores=onEach(OUTSIDE, "test_unavailable", "test_intactAfterwards"),
        controls=("contract_hooks::test_absentWhenDown", "gate::test_controlOfFailures"),
        without=NEVER_FAILS,
    ),
    Promise(
        "P2",
        "Acknowledged means stored",
        tests=("gate::test_everyPath", "gate::test_everySoManiethSaveFails"),
        stores=together(
            onEach(STORES, "test_seenByOthers"),
            {
                "sqlite": ("killed::test_killedServer[sqlite:sessions.db]",),
                "json": (
                    "killed::test_killedServer[json:sessions]",
                    "json_crash::TestCrash::test_crash",
                ),
                "redis": ("killed::test_killedStore[redis-2]",),
                "cluster": ("redis_store::TestCluster::test_keepsSessions",),
                "postgres": ("killed::test_killedStore[postgres-2]",),
            },
            CHAOS,
        ),
        controls=(
            "gate::test_control",
            "killed::test_hastyStore",
            "killed::test_forgetfulServer",
            "json_crash::TestCrash::test_broken",
            "redis_store_faults::test_killedUnderLoadFindsLosses",
            "chaosrun::test_carelessStore[WholeStore-an acknowledged write is missing]",
        ),
        runs=("chaos", "killed"),
    ),
    Promise(
        "P3",
        "Dead stays dead",
        tests=("overlap::TestOverlap::test_loggedOutStaysOut", "interleavings::test_everyOrder"),
        stores=together(
            onEach(STORES, "test_final", "test_finalWhenForgotten", "test_claimedHasEnded"),
            explored("overlap"),
            withWorkers("workers::test_agreement"),
            MACHINES,
        ),
        controls=(
            "overlap::TestOverlap::test_control",
            "explorer_stores::test_control[revival after the end]",
            "explorer_stores::test_control[late touch]",
            "interleavings::test_control[logOut]",
            "machine::test_control",
            "workers::test_carelessStore[LonelyStore-lives on]",
        ),
        runs=("chaos", "workers", "explored"),
    ),
    Promise(
        "P4",
        "No lost keys",
        tests=("overlap::TestOverlap::test_sixKeys", "saving::TestSaving::test_modifyInParallel"),
        stores=together(
            onEach(STORES, "test_differentKeys", "test_increments"),
            explored("three writers"),
            withWorkers("workers::test_agreement"),
        ),
        controls=(
            "overlap::TestOverlap::test_sixKeysControl",
            "saving::TestSaving::test_modifyControl",
            "explorer_stores::test_control[lost key]",
            "postgres_races::test_lostKeys",
            "sqlite_processes::TestShared::test_blindIncrements",
            "json_crash::TestProcesses::test_unlocked",
            "workers::test_carelessStore[BlindStore-increments make]",
            "workers::test_carelessStore[WholeStore-writers of]",
            "chaosrun::test_carelessStore[BlindStore-the counter is wrong]",
        ),
        runs=("chaos", "workers", "explored"),
    ),
    Promise(
        "P5",
        "Atomic records; a bad one harms no other",
        tests=("trouble::TestTrouble::test_corrupt",),
        stores=together(
            {"memory": ("contract::TestStoreOfDamages::test_harmsNoOther",)},
            onEach(OUTSIDE, "test_toldOnce", "test_harmsNoOther"),
            {
                "sqlite": (
                    "sqlite_processes::TestKilled::test_whileSaving",
                    "sqlite_rows::TestQuarantine::test_damage",
                ),
                "json": (
                    "json_crash::TestKill::test_kill",
                    "json_damage::TestQuarantine::test_everyKind",
                ),
                "redis": (
                    "redis_store_damage::test_damaged",
                    "redis_store_faults::test_killedUnderLoad",
                ),
                "postgres": ("postgres_faults::test_crash", "postgres_damage::test_hostile"),
            },
        ),
        controls=(
            "sqlite_processes::TestKilled::test_hasty",
            "json_crash::TestKill::test_broken",
            "json_damage::TestText::test_withoutTheCheck",
            "contract_hooks::test_damageIsNoticed",
            "cli::test_tornStore",
        ),
        runs=("killed", "jsonkills", "sqlitekills"),
    ),
    Promise(
        "P6",
        "Endings are told, once, never early",
        tests=("delivery::TestSharing::test_killed", "endings::TestEndings::test_raisingCallback"),
        stores=together(
            onEach(STORES, "test_writesExpired", "test_oneClaimer", "test_secondBySecond"),
            explored("two tellers"),
            told(),
        ),
        controls=(
            "endings_told::test_silentStore",
            "endings_told::test_hastyCourier",
            "delivery::TestSharing::test_broken",
            "explorer_stores::test_control[ending told twice]",
            "explorer_stores::test_control[touched session swept]",
            "postgres_journal::test_crashOfTwoSteps",
            "json_journal::TestCrash::test_broken",
            "redis_journal_crash::test_killedWithoutAFile",
            "sqlite_processes::TestTold::test_torn",
        ),
        runs=("chaos", "endings", "jsonkills", "sqlitekills"),
    ),
    Promise(
        "P7",
        "Rework is atomic",
        tests=(
            "overlap::TestOverlap::test_committedIntoReworked",
            "overlap::TestOverlap::test_twoTabs",
        ),
        stores=together(
            onEach(STORES, "test_oneOfEachVerifier"),
            explored("rework and save"),
            explored("two tabs"),
            {
                store: (f"fixation::test_everyStore[{store}]",)
                for store in STORES
                if store != "cluster"
            },
        ),
        controls=(
            "overlap::TestOverlap::test_twoTabsControl",
            "fixation::test_twoTabsControl",
            "explorer_stores::test_control[two tokens]",
            "explorer_stores::test_control[cookie of a dead token]",
        ),
        runs=("explored",),
    ),
    Promise(
        "P8",
        "Everything is bounded",
        tests=(
            "floods::test_flood",
            "floods::test_fuzzedIDs",
            "http2_resets::test_resets",
            "badinput::test_giants",
            "badinput::test_bombs",
            "subscription::TestBounds::test_oldestFirst",
            "deadlines::test_boundedMemory",
        ),
        stores={
            "memory": ("memory::test_nothingPilesUp", "memoryjournal::test_maximum"),
            "sqlite": (
                "sqlite_batches::TestTogether::test_bounded",
                "sqlite_bounds::TestBounds::test_maximum",
                "crowdedlogins::test_cap[sqlite:sessions.db]",
            ),
            "json": (
                "json_journal::TestBounds::test_tooMany",
                "json_crash::TestLock::test_bounded",
                "crowdedlogins::test_cap[json:sessions]",
            ),
            "redis": (
                "redis_client::test_boundedWaiting",
                "redis_journal::test_bounded",
                "crowdedlogins::test_cap[redis]",
            ),
            "cluster": ("redis_cluster::test_boundedWaiting", "redis_cluster::test_boundedDetours"),
            "postgres": (
                "postgres_refusals::test_fullQueue",
                "postgres_journal::test_bounded",
                "crowdedlogins::test_cap[postgres]",
            ),
        },
        controls=(
            "floods::test_control",
            "floods::test_controlOfDeadlines",
            "floods::test_fuzzedControl",
            "http2_resets::test_control",
            "crowdedlogins::test_carelessCap",
            "explorer_stores::test_control[more sessions than allowed]",
        ),
        runs=("floods", "fuzz", "crowdedlogins"),
    ),
    Promise(
        "P9",
        "The reactor is never held for more than 50 ms",
        tests=("stall::test_stall", "sweeper::test_manyAtOnce", "duties::test_manyAtOnce"),
        stores={
            store: (f"promptness::test_owner[{store}]", f"promptness::test_expired[{store}]")
            for store in STORES
        },
        controls=("duties::test_manyAtOnceControl", "promptness::test_control"),
    ),
    Promise(
        "P10",
        "One injectable clock, which does not jump",
        tests=(
            "architecture::TestImports::test_noReactor",
            "clock::test_neitherKilledNorImmortal",
            "bound::TestActivity::test_absolute",
        ),
        stores=together(onEach(STORES, "test_moment", "test_touched"), MACHINES, CHAOS),
        controls=(
            "machine::test_control[EarlyStore]",
            "machine::test_control[LateStore]",
            "chaosrun::test_jumpyStore",
        ),
        runs=("chaos",),
    ),
    Promise(
        "P11",
        "Observers cannot hurt",
        tests=(
            "publisher::TestIsolation::test_tenThousand",
            "subscription::TestOneAtATime::test_timeout",
            "endings::TestEndings::test_raisingCallback",
        ),
        stores=onEach(STORES, "test_raisesWhileHearing", "test_independentObservers"),
        controls=("publisher::TestIsolation::test_control", "subscription::TestOrder::test_broken"),
    ),
    Promise(
        "P12",
        "Shutdown loses nothing acknowledged",
        tests=(
            "stopping::TestStopping::test_waitsForSaves",
            "killed::test_terminated",
            "tap::test_acknowledgedIsStored",
        ),
        stores=onEach(OUTSIDE, "test_closeFinishes"),
        controls=("tap::test_notStored", "tap::test_notDrained", "tap::test_forgotten"),
        runs=("killed",),
        without={"memory": "ends with its process"},
    ),
    Promise(
        "P13",
        "A wrong key is not a bad record",
        tests=("encrypting_site::test_wrongKey", "keycheck::test_wrongKey"),
        stores={
            "memory": ("encrypting::TestInMemory::test_unknownKey",),
            "sqlite": ("encrypting::TestInSQLite::test_unknownKey",),
            "json": ("encrypting_stores::test_wrongKey[json]",),
            "redis": ("encrypting::TestInRedis::test_unknownKey",),
            "cluster": ("encrypting_stores::test_wrongKey[cluster]",),
            "postgres": ("encrypting::TestInPostgres::test_unknownKey",),
        },
        controls=("keycheck::test_control", "encrypting_damage::test_controlOfPlain"),
    ),
    Promise(
        "P14",
        "Secrets stay secret",
        tests=("secrecy::test_nothingLeaks", "secrecy::test_everyObject"),
        stores={
            **{s: (f"fixation::test_dumped[{s}]",) for s in STORES if s != "cluster"},
            "cluster": ("encrypting_stores::test_dumped[cluster]",),
        },
        controls=("secrecy::test_control", "secrecy::test_everyObjectControl"),
    ),
)
