"""
Tests for the journal of L{txsessions.stores.json}: what a crash, a kill, and an
observer that never comes leave of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from crashmodel import Recorder, UnsyncedRecorder
from jsontools import SID, Files, afterCrashes, newRecord
from test_json_crash import run
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from txsessions.errors import CorruptRecord, StoreTimedOut
from txsessions.stores import journal as bounds
from txsessions.stores.files import backlog as backlogModule
from txsessions.stores.files import directory as directoryModule
from txsessions.stores.files import journal as journalModule
from txsessions.stores.files.backlog import Backlog
from txsessions.stores.files.housekeeping import ROUND
from txsessions.stores.files.journal import Journal
from txsessions.stores.files.shard import Shard
from txsessions.stores.files.text import End
from txsessions.stores.journal import RETENTION, eventIDOf
from txsessions.stores.json import JSONStore

NOW = 1_000_000.5

OTHER = "1" + SID[1:]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """
    A store with an observer and a session.
    """
    made = Files(tmp_path / "sessions")
    made.directory.setup()
    made.journal.enrol("mail")
    made.create(newRecord(attributes={"data:a": b'"%s"' % (b"a" * 300)}))
    return made


@contextmanager
def writtenLate(journal: Journal, *arguments: Any) -> Iterator[None]:
    """
    Broken on purpose: end, and write it down then.
    """
    yield
    with GOOD(journal, *arguments):
        pass


GOOD = Journal.written


def postUnsynced(shard: Any, place: str, name: str, text: bytes) -> None:
    """
    Broken on purpose: write an entry, and leave its name to the system.
    """
    descriptor = journalModule.os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    shard.post(name, text, descriptor)
    os.close(descriptor)


class TestCrash:
    """
    A crash of the machine at any moment, with what was not synced lost in part
    or in whole.
    """

    def troubles(self, files: Files, recorderClass: type[Recorder] = Recorder) -> int:
        """
        How many of the crashes in the midst of an ending leave what they must
        not: an ending that happened and is not told, or the other way round.
        """
        count = 0
        for isAcknowledged in afterCrashes(
            files.path, lambda files: files.end(SID, NOW), files, recorderClass
        ):
            try:
                count += not self.isFine(Files(files.path), isAcknowledged)
            except CorruptRecord:
                count += 1
        return count

    def isFine(self, files: Files, isAcknowledged: bool) -> bool:
        """
        Whether the ending has happened and is told, or has not and is not, and
        a later one is.
        """
        if isinstance(files.read(SID), End):
            return files.told(NOW) == [eventIDOf(SID, NOW)]
        isTold = bool(files.told(NOW))
        files.end(SID, NOW + 5)
        return not (isTold or isAcknowledged) and files.told(NOW + 5) == [eventIDOf(SID, NOW + 5)]

    def test_ending(self, files: Files) -> None:
        """
        After a crash an ending happened and is told once, or it did not and is
        not, and then the session's true end is told later.
        """
        assert self.troubles(files) == 0

    def test_endingOfFollowers(self, files: Files) -> None:
        """
        The same holds for each of several observers.
        """
        files.journal.enrol("audit")
        for _ in afterCrashes(files.path, lambda files: files.end(SID, NOW), files):
            after = Files(files.path)
            ended = [eventIDOf(SID, NOW)] if isinstance(after.read(SID), End) else []
            assert (after.told(NOW), after.told(NOW, "audit")) == (ended, ended)

    def test_nothingSynced(self, files: Files) -> None:
        """
        The same finds a store that syncs nothing.
        """
        assert self.troubles(files, UnsyncedRecorder) > 0

    @pytest.mark.parametrize("broken", ["late", "unsynced", "trusting"])
    def test_broken(self, files: Files, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The same finds a journal that is written after the session has ended,
        whose names are left to the system, or that believes what is in it.
        """
        if broken == "late":
            monkeypatch.setattr(Journal, "written", writtenLate)
        elif broken == "unsynced":
            monkeypatch.setattr(journalModule, "_post", postUnsynced)
        else:
            monkeypatch.setattr(Backlog, "_isTrue", lambda self, entry: True)
        assert self.troubles(files) > 0

    def acknowledged(self, files: Files, recorderClass: type[Recorder]) -> int:
        """
        How many of the crashes in the midst of an acknowledgement leave what
        they must not.
        """
        files.end(SID, NOW)
        event = eventIDOf(SID, NOW)
        assert files.told(NOW) == [event]
        count = 0

        def acknowledge(files: Files) -> None:
            files.journal.acknowledge("mail", [event])

        for isDone in afterCrashes(files.path, acknowledge, files, recorderClass):
            told = Files(files.path).told(NOW + 61)
            count += told != [] if isDone else told not in ([], [event])
        return count

    def test_acknowledged(self, files: Files) -> None:
        """
        What was acknowledged is never told again, whatever crash comes.
        """
        assert self.acknowledged(files, Recorder) == 0

    def test_acknowledgedUnsynced(self, files: Files) -> None:
        """
        The same finds a store that acknowledges what is not on the disk.
        """
        assert self.acknowledged(files, UnsyncedRecorder) > 0


class TestLeftovers:
    """
    An entry that a crash left, because its session was not ended then.
    """

    def leave(self, files: Files) -> None:
        """
        Leave the entry of an ending that did not happen.
        """
        record = files.read(SID)
        with files.directory.shard(SID[:2]) as shard:
            shard.lock()
            with files.journal.written(shard, record, "logout", NOW):
                pass

    def test_endedLater(self, files: Files) -> None:
        """
        When the session has ended after the crash, its true end alone is told.
        """
        self.leave(files)
        files.end(SID, NOW + 5)
        assert Files(files.path).told(NOW + 5) == [eventIDOf(SID, NOW + 5)]

    def test_forgotten(self, files: Files) -> None:
        """
        The same holds when nobody asked until the end was forgotten.
        """
        self.leave(files)
        files.end(SID, NOW + 5)
        files.forget(SID)
        assert Files(files.path).told(NOW + 5) == [eventIDOf(SID, NOW + 5)]

    def test_forgottenBroken(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        That is found to be missing where ends are forgotten regardless.
        """
        monkeypatch.setattr(Journal, "discardLeftovers", lambda self, end: None)
        self.leave(files)
        files.end(SID, NOW + 5)
        files.forget(SID)
        assert len(Files(files.path).told(NOW + 5)) == 2

    def test_severalLives(self, files: Files) -> None:
        """
        An id that lives again later has an end for each of its lives, told or not,
        in the order in which they came.
        """
        ends = []
        for life in range(1, 4):
            ends.append(NOW + 10 * life)
            files.end(SID, ends[-1])
            files.forget(SID)
            files.create(newRecord(created=NOW + 10 * life + 5))
        assert Files(files.path).told(NOW + 50) == [eventIDOf(SID, each) for each in ends]

    def test_full(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where a session cannot be ended because the disk is full, no entry is
        left of that.
        """

        def fail(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("txsessions.stores.files.shard.Shard.write", fail)
        with pytest.raises(OSError):
            files.end(SID, NOW)
        assert entries(files) == []


def entries(files: Files, observer: str = "mail") -> list[str]:
    """
    The names of all entries of an observer.
    """
    place = files.path / "journal" / journalModule.digestOf(observer)
    return sorted(path.name for path in place.glob("?/*"))


class TestLock:
    """
    A process that is in the midst of an ending.
    """

    @pytest.fixture
    def holder(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """
        Two sessions have ended; the lock of the first one's shard is held, as by
        who has not yet synced that.
        """
        monkeypatch.setattr(directoryModule, "PATIENCE", 0.1)
        files.create(newRecord(OTHER))
        files.end(SID, NOW)
        files.end(OTHER, NOW + 1)
        descriptor = os.open(files.path / SID[:2], os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def test_notYet(self, files: Files, holder: Any) -> None:
        """
        What is not on the disk for sure is told to nobody; others are, and it is
        when it is.
        """
        assert files.told(NOW + 1) == [eventIDOf(OTHER, NOW + 1)]
        with pytest.raises(StoreTimedOut):
            files.told(NOW + 1)
        holder()
        assert files.told(NOW + 1) == [eventIDOf(SID, NOW)]

    def test_broken(self, files: Files, holder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The same finds a journal that looks without the lock.
        """
        monkeypatch.setattr(Shard, "lock", lambda self: None)
        assert eventIDOf(SID, NOW) in files.told(NOW + 1)


class TestKill:
    """
    Processes that are killed while they end sessions and tell of that.
    """

    @pytest_twisted.ensureDeferred
    async def test_kill(self, record_property: Any) -> None:
        """
        However often, each ending is told, none that never was, again no more
        than a killed one held, and nobody has more sessions than the limit.
        """
        found = await run("jsonjournalkills.py", "--kills", "60", "--seed", "1")
        record_property("figures", found.strip())
        assert ", 0 troubles" in found

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("variant", ["late", "trusting", "unlocked"])
    async def test_broken(self, variant: str) -> None:
        """
        The same finds a journal written too late, one that believes what is in
        it, and owners whose lock locks nobody out.
        """
        await run("jsonjournalkills.py", "--kills", "40", "--variant", variant, status=1)


class TestBounds:
    """
    How much there is of it at the most.
    """

    def endMany(self, files: Files, count: int) -> list[str]:
        """
        End some sessions, one each second.
        """
        events = []
        for number in range(count):
            sid = f"{number % 16:x}{number:031x}"
            files.create(newRecord(sid))
            files.end(sid, NOW + number)
            events.append(eventIDOf(sid, NOW + number))
        return events

    def test_tooMany(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        What is too much is dropped, the oldest first, and it is told how many.
        """
        monkeypatch.setattr(bounds, "MAXIMUM", 5)
        events = self.endMany(files, 8)
        assert files.told(NOW + 10) == events[3:]
        assert files.dropped == [("mail", 3)]

    def test_tooOld(self, files: Files) -> None:
        """
        What nobody fetched for so long is dropped, and what is a second younger
        is not.
        """
        events = self.endMany(files, 3)
        assert files.told(NOW + 1 + RETENTION) == events[1:]
        assert files.dropped == [("mail", 1)]

    def test_nobodyComes(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The same is done where the observer never comes, however much it is.
        """
        monkeypatch.setattr(bounds, "MAXIMUM", 5)
        monkeypatch.setattr(backlogModule, "QUEUE", 2)
        self.endMany(files, 20)
        for _ in files.journal.tidy(NOW + 30):
            pass
        assert len(entries(files)) == 5
        assert sum(count for _, count in files.dropped) == 15
        for _ in files.journal.tidy(NOW + 30 + RETENTION):
            pass
        assert entries(files) == []

    def test_manyTaken(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where there are more than are remembered, all are told, each once, the
        oldest first, and an end is found when nothing is left.
        """
        monkeypatch.setattr(backlogModule, "QUEUE", 7)
        monkeypatch.setattr(backlogModule, "FEW", 2)
        events = self.endMany(files, 30)
        told: list[str] = []
        while some := files.journal.take("mail", 3, 60.0, NOW + 30):
            told += [entry.eventID for entry in some]
        assert told == events
        files.journal.acknowledge("mail", told)
        assert entries(files) == []

    def test_dismissed(self, files: Files) -> None:
        """
        What is left of somebody who was dismissed goes in time, also where one
        was dismissed twice.
        """
        for _ in range(2):
            self.endMany(files, 3)
            files.journal.dismiss("mail")
            for number in range(3):
                files.forget(f"{number:x}{number:031x}")
            files.journal.enrol("mail")
        files.journal.dismiss("mail")
        for _ in files.journal.tidy(NOW):
            pass
        assert os.listdir(files.path / "journal") == []

    @pytest_twisted.ensureDeferred
    async def test_log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The store logs how many it has dropped, and of whom.
        """
        monkeypatch.setattr(bounds, "MAXIMUM", 1)
        clock = Clock()
        store = JSONStore(tmp_path / "sessions", clock=clock)
        await store.enrol("mail")
        for sid in (SID, OTHER):
            await store.createSession(newRecord(sid, created=0.0, lastModified=0.0))
            await store.deleteSession(sid)
            clock.advance(1)
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        (left,) = await store.takeEndings("mail", 10, 60.0)
        globalLogPublisher.removeObserver(events.append)
        assert left.record.sid == OTHER
        (warning,) = [each for each in events if each["log_level"] is LogLevel.warn]
        assert (warning["observer"], warning["count"]) == ("mail", 1)
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_bySweep(self, tmp_path: Path) -> None:
        """
        A sweep drops what is too old, now and then.
        """
        clock = Clock()
        store = JSONStore(tmp_path / "sessions", clock=clock)
        await store.enrol("mail")
        await store.createSession(newRecord())
        await store.deleteSession(SID)
        files = Files(tmp_path / "sessions")
        for _ in range(5):
            await store.claimExpired(1)
        assert len(entries(files)) == 1
        clock.advance(RETENTION + 1)
        for _ in range(300):
            await store.claimExpired(1)
        clock.advance(ROUND)
        await store.claimExpired(1)
        assert entries(files) == []
        await store.close()


class TestDamage:
    """
    Entries that are none.
    """

    def test_damaged(self, files: Files) -> None:
        """
        A damaged entry is put aside and reported, and the others are told.
        """
        files.create(newRecord(OTHER))
        files.end(SID, NOW)
        files.end(OTHER, NOW + 1)
        (path,) = (files.path / "journal").glob(f"*/0/*{SID}*")
        path.write_bytes(b"<html>")
        assert files.told(NOW + 2) == [eventIDOf(OTHER, NOW + 1)]
        assert [error.sid for error in files.damaged] == [SID]
        assert len(list((files.path / "quarantine").iterdir())) == 1

    def test_foreign(self, files: Files) -> None:
        """
        A file with another name is left alone.
        """
        files.end(SID, NOW)
        place = next((files.path / "journal").glob("*/0"))
        for name in ("readme", "x-0-0.json", f"{NOW}-{SID}-0-0.json"):
            (place / name).write_text("important")
        assert files.told(NOW) == [eventIDOf(SID, NOW)]
        assert (place / "readme").read_text() == "important"
