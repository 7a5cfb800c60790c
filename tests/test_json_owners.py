"""
Tests for the owners of L{txsessions.stores.json}: several processes, crashes,
and a lock that is not let go.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from crashmodel import Recorder, UnsyncedRecorder
from jsontools import SID, Files, afterCrashes, newRecord
from test_json_crash import child, defer
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from txsessions.errors import CorruptRecord, InvalidSessionData, SessionEnded, StoreTimedOut
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.files import directory as directoryModule
from txsessions.stores.files.digest import digestOf
from txsessions.stores.files.housekeeping import ROUND
from txsessions.stores.files.shard import Shard
from txsessions.stores.json import JSONStore
from txsessions.stores.remembrance import RETENTION

NOW = 1_000_000.5

SIDS = [f"{number}{number}" + SID[2:] for number in range(1, 5)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JSONStore]:
    """
    A store, closed afterwards.
    """
    made = JSONStore(str(tmp_path / "sessions"))
    yield made
    pytest_twisted.blockon(made.close())


class LazyShard(Shard):
    """
    Broken on purpose: it syncs nothing before the end.
    """

    def sync(self) -> None:
        """
        Not now.
        """

    def __exit__(self, *_: object) -> None:
        """
        Now.
        """
        super().sync()
        super().__exit__()


class TestProcesses:
    """
    Several processes that let one owner in and out.
    """

    async def logIns(self, store: JSONStore, variant: str) -> tuple[list[str], int, list[str]]:
        """
        Let three processes log in with a limit of three.

        @return: What was evicted, how many sessions any of them has ever seen,
            and what is left.
        """
        await store.setup()
        found = await gatherResults(
            [defer(child(store, "logIns", "30", "3", variant=variant)) for _ in range(3)],
            consumeErrors=True,
        )
        evicted = [sid for some, _ in found for sid in some]
        left = [record.sid for record in await store.findSessions("anna")]
        return evicted, max(most for _, most in found), left

    @pytest_twisted.ensureDeferred
    async def test_logIns(self, store: JSONStore) -> None:
        """
        However many log in, nobody ever sees more sessions than the limit, and each
        that is gone was given to exactly one of them.
        """
        evicted, most, left = await self.logIns(store, "good")
        assert most == 3
        assert len(left) == 3
        assert len({*evicted, *left}) == len(evicted) + len(left) == 90

    @pytest_twisted.ensureDeferred
    async def test_unlocked(self, store: JSONStore) -> None:
        """
        The same finds processes that do not lock each other out.
        """
        try:
            evicted, most, left = await self.logIns(store, "unlocked")
        except Exception:
            return
        assert most > 3 or len({*evicted, *left}) != 90

    @pytest_twisted.ensureDeferred
    async def test_clear(self, store: JSONStore) -> None:
        """
        Beside log-ins of others the end of all sessions ends each once.
        """
        await store.setup()
        calls = [child(store, "logIns", "30", "100") for _ in range(2)]
        calls += [child(store, "clear") for _ in range(2)]
        found = await gatherResults([defer(call) for call in calls])
        cleared = [sid for some in found[2:] for sid in some]
        left = [record.sid for record in await store.findSessions("anna")]
        assert len({*cleared, *left}) == len(cleared) + len(left) <= 60
        assert len(await store.endSessions("anna")) == len(left)
        assert await store.findSessions("anna") == []

    @pytest_twisted.ensureDeferred
    async def test_tellers(self, store: JSONStore) -> None:
        """
        Of several processes that fetch endings while others end sessions each
        ending is told by one, and none is left.
        """
        await store.enrol("mail")
        sids = [f"{number:02x}{number:030x}" for number in range(0, 240, 2)]
        await gatherResults([store.createSession(newRecord(sid)) for sid in sids])
        calls = [child(store, "endAll", *sids[n::2]) for n in range(2)]
        calls += [child(store, "tell", "50") for _ in range(2)]
        found = await gatherResults([defer(call) for call in calls])
        told = [eventID for some in found[2:] for eventID in some]
        told += await child(store, "tell", "120")
        assert sorted(eventID[:32] for eventID in told) == sids


class TestCrash:
    """
    A crash of the machine in the midst of a log-in.
    """

    def files(self, tmp_path: Path, shardClass: type[Shard] = Shard) -> Files:
        """
        A store with an owner who has two sessions, and one that is nobody's.
        """
        files = Files(tmp_path / "sessions", shardClass)
        files.directory.setup()
        for number, sid in enumerate(SIDS[:3]):
            files.create(newRecord(sid, created=float(number)))
        for sid in SIDS[:2]:
            files.admission.logIn("anna", Change(sid, sessionKey="anna"), None, NOW)
        return files

    def troubles(self, files: Files, recorderClass: type[Recorder] = Recorder) -> int:
        """
        How many of the crashes leave what they must not: too many sessions, one
        that is lost, or one that is not listed.
        """
        change = Change(SIDS[2], sessionKey="anna", set={"data:a": b"1"})

        def logIn(files: Files) -> None:
            files.admission.logIn("anna", change, SessionLimit(2), NOW)

        count = 0
        for isAcknowledged in afterCrashes(files.path, logIn, files, recorderClass):
            try:
                count += not self.isFine(Files(files.path), isAcknowledged)
            except CorruptRecord:
                count += 1
        return count

    def isFine(self, files: Files, isAcknowledged: bool) -> bool:
        """
        Whether the owner has two sessions at the most, and the new one is there
        if that was acknowledged.
        """
        found = [files.read(sid) for sid in SIDS[:3]]
        live = {each.sid for each in found if isinstance(each, Record) and each.sessionKey}
        listed = {record.sid for record in files.admission.find("anna")}
        isNew = SIDS[2] in live
        return len(live) <= 2 and live == listed and SIDS[1] in live and isNew >= isAcknowledged

    def test_logIn(self, tmp_path: Path) -> None:
        """
        After a crash there are never more sessions than the limit, all are
        found, and the new one is there if that was acknowledged.
        """
        assert self.troubles(self.files(tmp_path)) == 0

    def test_broken(self, tmp_path: Path) -> None:
        """
        The same finds a store that lets somebody in before it is on the disk that
        others are out, and one that syncs nothing.
        """
        assert self.troubles(self.files(tmp_path, LazyShard)) > 0

    def test_unsynced(self, tmp_path: Path) -> None:
        """
        The same finds a store that syncs nothing.
        """
        assert self.troubles(self.files(tmp_path), UnsyncedRecorder) > 0

    def late(self, files: Files, recorderClass: type[Recorder]) -> int:
        """
        After how many of the crashes a log-in is let in although the end of all
        sessions that came later was acknowledged.
        """

        def clear(files: Files) -> None:
            files.admission.end(files.admission.mark("anna", NOW), "revoked", NOW)

        change = Change(SIDS[2], sessionKey="anna", set={AUTHENTICATED: timeText(NOW - 1)})
        count = 0
        for isAcknowledged in afterCrashes(files.path, clear, files, recorderClass):
            try:
                Files(files.path).admission.logIn("anna", change, None, NOW + 5)
                count += isAcknowledged
            except SessionEnded:
                count += isAcknowledged and Files(files.path).admission.find("anna") != []
        return count

    def test_clear(self, tmp_path: Path) -> None:
        """
        After a crash no session is there, and no older log-in let in, where the end
        of all sessions was acknowledged.
        """
        assert self.late(self.files(tmp_path), Recorder) == 0

    def test_clearUnsynced(self, tmp_path: Path) -> None:
        """
        The same finds a store that syncs nothing.
        """
        assert self.late(self.files(tmp_path), UnsyncedRecorder) > 0


class TestLists:
    """
    The lists of the sessions that owners have.
    """

    def names(self, store: JSONStore) -> list[str]:
        """
        All names in all lists.
        """
        return sorted(path.name for path in Path(store.path, "owners").glob("??/*"))

    @pytest_twisted.ensureDeferred
    async def test_names(self, store: JSONStore) -> None:
        """
        They are empty files, whose names are made of digests and public handles
        only, whatever the owner is called.
        """
        for number, owner in enumerate(("../../etc/passwd", "a\0b", "\u00e9" * 1000)):
            sid = SIDS[number]
            await store.createSession(newRecord(sid, sessionKey=owner))
            (name,) = [name for name in self.names(store) if name.endswith(sid)]
            assert name == f"{digestOf(owner)}-{sid}"
            assert Path(store.path, "owners", name[:2], name).read_bytes() == b""

    @pytest_twisted.ensureDeferred
    async def test_refused(self, store: JSONStore) -> None:
        """
        An owner who cannot be kept is refused, and none of his sessions found.
        """
        await store.createSession(newRecord(SIDS[0]))
        change = Change(SIDS[0], sessionKey="\ud800")
        for call in (store.saveSession(change), store.logInSession(change)):
            with pytest.raises(InvalidSessionData):
                await call
        assert await store.findSessions("\ud800") == []
        assert await store.endSessions("\ud800") == []

    @pytest_twisted.ensureDeferred
    async def test_noOwner(self, store: JSONStore) -> None:
        """
        A log-in that sets no owner is a mistake of the caller's.
        """
        with pytest.raises(ValueError):
            await store.logInSession(Change(SIDS[0], sessionKey=None))

    @pytest_twisted.ensureDeferred
    async def test_tidy(self, tmp_path: Path) -> None:
        """
        What is listed of sessions that have ended, and what is no longer known of
        the end of all, goes in time, also for owners who never come back; what
        another process has logged in a moment ago stays.
        """
        clock = Clock()
        clock.advance(NOW)
        store = JSONStore(tmp_path / "sessions", clock=clock)
        other = JSONStore(tmp_path / "sessions", clock=clock)
        for sid, owner in zip(SIDS, ("anna", "bert", "carl", "anna"), strict=True):
            await store.createSession(newRecord(sid, sessionKey=owner))
        await store.deleteSession(SIDS[0])
        await store.endSessions("bert")
        await store.saveSession(Change(SIDS[2], sessionKey="dora"))
        clock.advance(RETENTION + ROUND)
        await store.claimExpired(1)
        await other.createSession(newRecord("5" * 32, sessionKey="emil"))
        for _ in range(600):
            await store.claimExpired(1)
        expected = [("anna", SIDS[3]), ("dora", SIDS[2]), ("emil", "5" * 32)]
        assert self.names(store) == sorted(f"{digestOf(name)}-{sid}" for name, sid in expected)
        await gatherResults([store.close(), other.close()])


class TestLock:
    """
    A process that holds the lock of an owner and goes no further.
    """

    @pytest.fixture
    def holder(self, store: JSONStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """
        A lock on the bucket of an owner, as another process has it.
        """
        monkeypatch.setattr(directoryModule, "PATIENCE", 0.3)
        pytest_twisted.blockon(store.setup())
        place = os.path.join(store.path, "owners", digestOf("anna")[:2])
        descriptor = os.open(place, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    @pytest_twisted.ensureDeferred
    async def test_bounded(self, store: JSONStore, holder: Any) -> None:
        """
        A log-in waits for it for so long and no longer, changes nothing, and others
        go on; when the lock is free it is made.
        """
        assert await store.createSession(newRecord(SIDS[0]))
        change = Change(SIDS[0], sessionKey="anna")
        calls = [
            store.logInSession(change, SessionLimit(1)),
            store.saveSession(change),
            store.createSession(newRecord(SIDS[1], sessionKey="anna")),
            store.endSessions("anna"),
            store.findSessions("anna"),
        ]
        free = [
            store.createSession(newRecord(SIDS[2], sessionKey="bert")),
            store.saveSession(Change(SIDS[0], set={"data:a": b"1"})),
            store.logInSession(Change(SIDS[2], sessionKey="bert"), SessionLimit(1)),
        ]
        for call in calls:
            with pytest.raises(StoreTimedOut, match="another process has locked"):
                await call
        created, saved, loggedIn = await gatherResults(free)
        assert (created, saved, loggedIn.version) == (True, 2, 2)
        assert await store.hasSession(SIDS[1]) is False
        holder()
        assert (await store.logInSession(change, SessionLimit(1))).version == 3
