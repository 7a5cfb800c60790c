"""
Tests for what L{txsessions.stores.json} keeps when processes are killed, the
machine crashes, the disk is full, or several processes work at the same time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import pytest_twisted
from crashmodel import Recorder, crashes
from twisted.internet.defer import gatherResults
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue

from txsessions.errors import StoreTimedOut
from txsessions.record import Change, Record
from txsessions.stores.files import directory as directoryModule
from txsessions.stores.files import folder as folderModule
from txsessions.stores.files.directory import Directory
from txsessions.stores.files.folder import TEMPORARY
from txsessions.stores.files.journal import Journal
from txsessions.stores.files.keeper import Keeper
from txsessions.stores.files.shard import Shard
from txsessions.stores.files.text import Damaged, End, decode, encodeRecord
from txsessions.stores.index import Index
from txsessions.stores.json import JSONStore

HERE = Path(__file__).parent
SID = "0123456789abcdef" * 2


async def run(script: str, *arguments: str, status: int = 0) -> str:
    """
    What a Python program of ours prints.
    """
    output, errors, found = await getProcessOutputAndValue(
        sys.executable,
        ["-W", "error", str(HERE / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert found == status, errors.decode() + output.decode()
    return str(output.decode())


async def child(store: JSONStore, command: str, *arguments: str, variant: str = "good") -> Any:
    """
    What another process gets from the same files.
    """
    return json.loads(await run("jsonchild.py", store.path, variant, command, *arguments))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JSONStore]:
    """
    A store, closed afterwards.
    """
    made = JSONStore(str(tmp_path / "sessions"))
    yield made
    pytest_twisted.blockon(made.close())


async def newSession(store: JSONStore, sid: str = SID, **facts: Any) -> Record:
    """
    Create a session.
    """
    usual: dict[str, Any] = {"created": 0, "lastModified": 0, "sessionTimeout": 1e12}
    record = Record(**{"sid": sid, "verifier": bytes(32), **usual, **facts})
    assert await store.createSession(record)
    return record


class TestKill:
    """
    A process that is killed while it saves.
    """

    @pytest_twisted.ensureDeferred
    async def test_kill(self, record_property: Any) -> None:
        """
        However often it is killed, every file can be read, what was
        acknowledged is there, and nothing half-written is left.
        """
        found = await run("killloop.py", "--kills", "300", "--seed", "1")
        record_property("figures", found.strip())
        assert ", 0 troubles" in found

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("variant", ["in-place", "forgetful"])
    async def test_broken(self, variant: str) -> None:
        """
        The same finds a store that writes in place, and one that acknowledges
        what it has not written.
        """
        await run("killloop.py", "--kills", "100", "--variant", variant, status=1)


class UnsyncedShard(Shard):
    """
    Broken on purpose: it leaves the text of a file to the system.
    """

    def _writeTemporary(self, text: bytes) -> None:
        """
        Write, and do not sync.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = folderModule.os.open(TEMPORARY, flags, 0o600, dir_fd=self._descriptor)
        folderModule.os.write(descriptor, text)
        os.close(descriptor)


class NamesUnsyncedShard(Shard):
    """
    Broken on purpose: it leaves the names of the files to the system.
    """

    def __exit__(self, *_: object) -> None:
        """
        Close, and do not sync.
        """
        os.close(self._descriptor)


class TestCrash:
    """
    A crash of the machine at any moment, with what was not synced lost in part
    or in whole.
    """

    def troubles(self, shardClass: type[Shard], tmp_path: Path) -> int:
        """
        How many of the crashes that can come leave what they must not.
        """
        record = Record(SID, bytes(32), 0, 0, 1e6, attributes={"data:a": b'"%s"' % (b"a" * 500)})
        change = Change(SID, set={"data:a": b'"%s"' % (b"b" * 700)})
        os.mkdir(tmp_path / "journal")
        journal = Journal(Directory(str(tmp_path), print), print)
        count = 0
        for number, end in enumerate((False, True)):
            place = tmp_path / f"0{number}"
            place.mkdir()
            (place / f"{SID}.json").write_bytes(encodeRecord(record))
            with pytest.MonkeyPatch.context() as patch:
                path = f"0{number}/{SID}.json"
                recorder = Recorder({path: encodeRecord(record)}, str(tmp_path))
                patch.setattr(folderModule, "os", recorder)
                keeper = Keeper(Index(), journal)
                with shardClass(str(place), str(tmp_path / "aside"), 1, print) as shard:
                    if end:
                        keeper.end(shard, SID, lambda record: "logout", 5)
                    else:
                        keeper.save(shard, change)
                recorder.acknowledge()
            count += sum(
                not self.isFine(end, isAcknowledged, files.get(path, b""))
                for isAcknowledged, files in crashes(recorder)
            )
        return count

    def isFine(self, isEnd: bool, isAcknowledged: bool, text: bytes) -> bool:
        """
        Whether a session is as it was or as it was to be, and as it was to be
        if that was acknowledged.
        """
        try:
            found = decode(SID, text)
        except Damaged:
            return False
        isNew = isinstance(found, End) if isEnd else getattr(found, "version", None) == 2
        return isNew or (not isAcknowledged and getattr(found, "version", None) == 1)

    def test_crash(self, tmp_path: Path) -> None:
        """
        After a crash a session is entirely old or entirely new, and new if that
        was acknowledged.
        """
        assert self.troubles(Shard, tmp_path) == 0

    @pytest.mark.parametrize("broken", [UnsyncedShard, NamesUnsyncedShard])
    def test_broken(self, broken: type[Shard], tmp_path: Path) -> None:
        """
        The same finds a store that does not sync its files, or their names.
        """
        assert self.troubles(broken, tmp_path) > 0


class TestFull:
    """
    A disk that is full, and one that may not be written.
    """

    @pytest_twisted.ensureDeferred
    async def test_full(self, store: JSONStore) -> None:
        """
        A save for which there is no room fails in one line and leaves the old
        file to the byte and no other, and a smaller one goes on from there.
        """
        await newSession(store, attributes={"data:a": b"1"})
        first, small, last = await child(store, "full", SID)
        for error, message in (first, last):
            assert error == "StoreUnavailable"
            assert "File too large" in message
            assert "\n" not in message
            assert "x" * 10 not in message
        assert small == 2
        record = await store.loadSession(SID)
        assert record.attributes == {"data:a": b"1", "data:x": b'"xxx"'}
        assert os.listdir(os.path.join(store.path, SID[:2])) == [f"{SID}.json"]

    @pytest_twisted.ensureDeferred
    async def test_stranger(self) -> None:
        """
        A user who may not read or write there is told so in one line.
        """
        place = tempfile.mkdtemp(prefix="txsessions")
        os.chmod(place, 0o711)
        store = JSONStore(os.path.join(place, "sessions"))
        try:
            await newSession(store)
            if os.geteuid() != 0:
                os.chmod(store.path, 0o500)
                os.chmod(os.path.join(store.path, SID[:2]), 0o000)
            os.environ["STRANGER"] = "65534"
            for error, message in await child(store, "strange", SID):
                assert error == "StoreUnusable"
                assert store.path in message
                assert "\n" not in message
        finally:
            await store.close()
            os.chmod(os.path.join(store.path, SID[:2]), 0o700)
            os.chmod(store.path, 0o700)
            shutil.rmtree(place)

    @pytest_twisted.ensureDeferred
    async def test_failingDisk(self, store: JSONStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Whichever call of the system fails, the save fails, the session is old
        or new, and nothing else is left.
        """
        await newSession(store)
        version = 1
        for call in ("open", "write", "fsync", "rename"):
            monkeypatch.setattr(folderModule, "os", Failing(call))
            with pytest.raises(Exception, match="cannot be reached now: No space left"):
                await store.saveSession(Change(SID, set={"data:a": b'"%s"' % call.encode()}))
            monkeypatch.undo()
            assert (await store.loadSession(SID)).version == version
            assert os.listdir(os.path.join(store.path, SID[:2])) == [f"{SID}.json"]
            version = await store.saveSession(Change(SID, set={"data:b": b"1"}))


class Failing:
    """
    The module C{os}, with one call that fails where it writes.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name != self._name:
            return function

        def failing(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return function(*arguments, **options)
            raise OSError(28, "No space left on device")

        return failing


class TestProcesses:
    """
    Several processes on the same files.
    """

    @pytest_twisted.ensureDeferred
    async def test_increments(self, store: JSONStore) -> None:
        """
        Increments of one number by several processes are all counted.
        """
        await newSession(store, attributes={"data:n": b"0"})
        await gatherResults([defer(child(store, "increment", SID, "100")) for _ in range(3)])
        assert (await store.loadSession(SID)).attributes == {"data:n": b"300"}

    @pytest_twisted.ensureDeferred
    async def test_keys(self, store: JSONStore) -> None:
        """
        Different attributes that several processes set at the same time are all kept.
        """
        await newSession(store)
        await gatherResults([defer(child(store, "keys", SID, name, "100")) for name in "abc"])
        assert len((await store.loadSession(SID)).attributes) == 300

    @pytest_twisted.ensureDeferred
    async def test_unlocked(self, store: JSONStore) -> None:
        """
        The same finds processes that do not lock each other out.
        """
        await newSession(store)
        children = [
            defer(child(store, "keys", SID, name, "100", variant="unlocked")) for name in "abc"
        ]
        try:
            await gatherResults(children, consumeErrors=True)
        except Exception:
            return
        assert len((await store.loadSession(SID)).attributes) < 300

    @pytest_twisted.ensureDeferred
    async def test_claims(self, store: JSONStore) -> None:
        """
        Each session that has expired is given to exactly one process, and none
        before its time.
        """
        sids = [f"{number:02x}" + f"{number:030x}" for number in range(0, 256, 2)]
        for number, sid in enumerate(sids):
            await newSession(store, sid, sessionTimeout=100 if number % 4 else 101)
        claims = await gatherResults([defer(child(store, "claim", "100")) for _ in range(3)])
        claimed = [sid for each in claims for sid in each]
        assert sorted(claimed) == [sid for number, sid in enumerate(sids) if number % 4]
        assert sorted(await child(store, "claim", "101")) == sids[::4]


def defer(coroutine: Any) -> Any:
    """
    Begin now.
    """
    from twisted.internet.defer import ensureDeferred

    return ensureDeferred(coroutine)


class TestLock:
    """
    A process that holds a lock and goes no further.
    """

    @pytest.fixture
    def holder(self, store: JSONStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """
        A lock on the shard of L{SID}, as another process has it.
        """
        monkeypatch.setattr(directoryModule, "PATIENCE", 0.3)
        pytest_twisted.blockon(defer(newSession(store)))
        descriptor = os.open(os.path.join(store.path, SID[:2]), os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    @pytest_twisted.ensureDeferred
    async def test_bounded(self, store: JSONStore, holder: Any) -> None:
        """
        A save waits for the lock for so long and no longer, the reactor does
        not wait, and when the lock is free the next one is made.
        """
        gaps: list[float] = []
        moments = [monotonic()]

        def beat() -> None:
            moments.append(monotonic())
            gaps.append(moments[-1] - moments[-2])

        heart = LoopingCall(beat)
        heart.start(0.005)
        with pytest.raises(StoreTimedOut, match="another process has locked"):
            await store.saveSession(Change(SID, set={"data:a": b"1"}))
        heart.stop()
        assert len(gaps) > 20
        assert sorted(gaps)[len(gaps) // 2] < 0.05
        holder()
        assert await store.saveSession(Change(SID, set={"data:a": b"1"})) == 2

    @pytest_twisted.ensureDeferred
    async def test_others(self, store: JSONStore, holder: Any) -> None:
        """
        Who reads does not wait, and sessions elsewhere are held up once and not
        again and again.
        """
        save = store.saveSession(Change(SID, set={"data:a": b"1"}))
        with pytest.raises(StoreTimedOut):
            await save
        assert (await store.loadSession(SID)).version == 1
        begin = monotonic()
        held = [store.saveSession(Change(SID, set={"data:a": b"1"})) for _ in range(20)]
        free = newSession(store, "f" * 32)
        assert await free
        assert monotonic() - begin < 0.25
        for each in held:
            with pytest.raises(StoreTimedOut):
                await each
        assert (await store.loadSession(SID)).version == 1
        assert await store.hasSession(SID)
