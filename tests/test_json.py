"""
Tests for L{txsessions.stores.json}.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from txsessions.errors import (
    InvalidSessionData,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from txsessions.lifetime import LOGOUT
from txsessions.record import Change, Record
from txsessions.stores.files.shard import Shard
from txsessions.stores.files.survey import REST
from txsessions.stores.files.text import End
from txsessions.stores.json import JSONStore
from txsessions.stores.lookout import INTERVAL
from txsessions.stores.remembrance import RETENTION
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    DurableJournalContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
    promise,
)
from txsessions.testing.contract.harness import TIMEOUT


def fileOf(store: JSONStore, sid: str) -> str:
    """
    Where the file of a session is.
    """
    return os.path.join(store.path, sid[:2], f"{sid}.json")


class TestJSONStore(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    DurableJournalContract,
    NoticesContract,
    AdministrationContract,
    ConnectedContract,
    DurabilityContract,
    AvailabilityContract,
    CorruptionContract,
):
    """
    A store in files keeps what every store promises.
    """

    noticeDelay = 2 * INTERVAL

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Any) -> None:
        """
        A directory for each test.
        """
        self.directory = str(tmp_path / "sessions")

    def makeStore(self) -> JSONStore:
        """
        An empty store.
        """
        return JSONStore(self.directory, clock=self.clock)

    async def concurrentStore(self, store: JSONStore) -> JSONStore:
        """
        A second store on the same files, with a thread and locks of its own.
        """
        return self.makeStore()

    async def reopen(self, store: JSONStore) -> JSONStore:
        """
        Another store on the same files.
        """
        await store.close()
        return self.makeStore()

    async def breakStore(self, store: JSONStore) -> None:
        """
        Take the directory away.
        """
        os.rename(self.directory, self.directory + ".away")

    async def mendStore(self, store: JSONStore) -> None:
        """
        Put the directory back.
        """
        os.rename(self.directory + ".away", self.directory)

    async def damageSession(self, store: JSONStore, sid: str) -> None:
        """
        Cut the file short.
        """
        with open(fileOf(store, sid), "r+b") as file:
            file.truncate(100)

    @pytest_twisted.ensureDeferred
    async def test_hostileSids(self) -> None:
        """
        What is no public handle is absent, and not even the directory is looked at.
        """
        self.clock = self.makeClock()
        store = self.makeStore()
        for sid in HOSTILE:
            assert await store.loadSession(sid, "nothing") == "nothing"
            assert await store.hasSession(sid) is False
            assert await store.deleteSession(sid) is None
            with pytest.raises(SessionNotFound):
                await store.saveSession(Change(sid, set={"data:a": b"1"}))
            with pytest.raises(ValueError):
                await store.createSession(await self.newRecord(sid=sid))
        assert not os.path.exists(self.directory)

    @promise
    async def test_modes(self, store: JSONStore) -> None:
        """
        Nobody but the owner can look into the directory or the files.
        """
        record = await self.newSession(store)
        modes = {stat.S_IMODE(os.stat(place).st_mode) for place in directoriesOf(store)}
        assert modes == {0o700}
        assert stat.S_IMODE(os.stat(fileOf(store, record.sid)).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.join(store.path, "store.json")).st_mode) == 0o600

    @promise
    async def test_readable(self, store: JSONStore) -> None:
        """
        The file is one JSON document with the attributes as JSON in it.
        """
        record = await self.newSession(
            store, sessionKey="änne", attributes={"data:cart": b'[{"a": 1.50}]'}
        )
        with open(fileOf(store, record.sid), encoding="utf-8") as file:
            body = json.load(file)["body"]
        assert body["sessionKey"] == "änne"
        assert body["attributes"] == {"data:cart": [{"a": 1.5}]}

    @promise
    async def test_keepsNoDataOfTheDead(self, store: JSONStore) -> None:
        """
        Of a session that has ended the file keeps the reason, and nothing else
        of what was in it.
        """
        record = await self.newSession(
            store, sessionKey="anna", attributes={"data:secret": b'"canary"'}
        )
        await store.deleteSession(record.sid, LOGOUT)
        with open(fileOf(store, record.sid), "rb") as file:
            text = file.read()
        assert b"canary" not in text
        assert b"anna" not in text
        assert json.loads(text)["body"]["reason"] == LOGOUT

    @promise
    async def test_endsAreForgotten(self, store: JSONStore) -> None:
        """
        The file of an end is kept for as long as it is to be remembered, also
        when the store is opened anew, and then removed.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        store = await self.reopened(store)
        await self.advance(RETENTION - 1)
        await store.claimExpired(1)
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT
        await self.advance(1)
        await store.claimExpired(1)
        assert await store.loadSession(record.sid) is None
        assert not os.path.exists(fileOf(store, record.sid))

    @promise
    async def test_endsAreBounded(self, store: JSONStore) -> None:
        """
        No more than so many ends are remembered, those that came last.
        """
        store._keeper._index._maximum = 3
        records = [await self.newSession(store) for _ in range(5)]
        for record in records:
            await store.deleteSession(record.sid)
            await self.advance(1)
        await store.claimExpired(1)
        left = [os.path.exists(fileOf(store, record.sid)) for record in records]
        assert left == [False, False, True, True, True]

    @promise
    async def test_unfinishedFiles(self, store: JSONStore) -> None:
        """
        A file that a crash left half-written is no session, and is removed when
        the store is opened.
        """
        record = await self.newSession(store)
        unfinished = os.path.join(store.path, record.sid[:2], "next.tmp")
        write(unfinished, b'{"format":1,')
        assert [sid async for sid, _ in store.iterSessions()] == [record.sid]
        store = await self.reopened(store)
        await store.setup()
        assert not os.path.exists(unfinished)
        write(unfinished, b'{"format":1,')
        assert await store.saveSession(Change(record.sid, set={"data:a": b"1"})) == 2
        assert not os.path.exists(unfinished)

    @promise
    async def test_endsForTheDead(self, store: JSONStore) -> None:
        """
        What a process wrote that is gone is ended by another one that was there
        all the while, at its time and not before.
        """
        assert (await store.claimExpired(10)).endings == []
        other = await self.another(store)
        record = await self.newSession(other)
        await self.advance(TIMEOUT - 1)
        assert (await store.claimExpired(10)).nextDeadline == await self.now() + 1
        await self.advance(1)
        (ending,) = (await store.claimExpired(10)).endings
        assert ending.record == record

    @promise
    async def test_readsWhatHasChanged(self, store: JSONStore) -> None:
        """
        A file is not read again for a sweep when nothing in its directory has
        changed for a while.
        """
        record = await self.newSession(store)
        age(store, record.sid)
        await store.claimExpired(1)
        reads: list[str] = []
        survey = store._survey
        learn = survey._learn
        survey._learn = lambda shard, files: reads.extend(files) or learn(shard, files)
        await self.advance(REST)
        await store.claimExpired(1)
        assert reads == []
        await self.newSession(store, sid=record.sid[:2] + "0" * 30)
        await self.advance(REST)
        await store.claimExpired(1)
        assert set(reads) == {record.sid, record.sid[:2] + "0" * 30}

    @promise
    async def test_findsWithoutReadingOthers(self, store: JSONStore) -> None:
        """
        To find the sessions of an owner no other session is read.
        """
        record = await self.newSession(store, sessionKey="anna")
        for _ in range(5):
            await self.newSession(store, sessionKey="bert")
        read: list[str] = []
        store._directory._openShard = spy(read)
        assert await store.findSessions("anna") == [record]
        assert read == [record.sid]

    @promise
    async def test_notToBeKept(self, store: JSONStore) -> None:
        """
        A record that would not come back as it went in is refused, and the old
        one stays.
        """
        record = await self.newSession(store)
        for change in (
            Change(record.sid, set={"data:a": b"{"}),
            Change(record.sid, set={"data:a": b'1,"data:b":2'}),
            Change(record.sid, sessionKey="\ud800"),
            Change(record.sid, sessionTimeout=float("inf")),
        ):
            with pytest.raises(InvalidSessionData):
                await store.saveSession(change)
        assert await store.loadSession(record.sid) == record


HOSTILE: tuple[Any, ...] = (
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 31,
    "a" * 33,
    "A" * 32,
    "a" * 31 + "/",
    "a" * 31 + "\0",
    "a" * 32 + "\n",
    "g" * 32,
    "\u0661" * 32,
    b"a" * 32,
    "0x" + "a" * 30,
    None,
)


def write(path: str, text: bytes) -> None:
    """
    Write a file.
    """
    with open(path, "wb") as file:
        file.write(text)


def directoriesOf(store: JSONStore) -> Iterator[str]:
    """
    All directories of a store.
    """
    return (place for place, _, _ in os.walk(store.path))


def spy(read: list[str]) -> type[Shard]:
    """
    A shard that notes what is read.
    """

    class Spy(Shard):
        def read(self, sid: str) -> Record | End | None:
            read.append(sid)
            return super().read(sid)

    return Spy


def age(store: JSONStore, sid: str) -> None:
    """
    Let the directory of a session look as if nothing had happened in it for
    long.
    """
    os.utime(os.path.join(store.path, sid[:2]), (1e9, 1e9))


def raiseFull(*arguments: Any) -> None:
    """
    As when there is no room.
    """
    raise OSError(28, "No space left on device")


class TestDirectory:
    """
    What can be the directory of a store, and what cannot.
    """

    async def refusal(self, path: str) -> str:
        """
        Why a store cannot use it: one line.
        """
        store = JSONStore(path)
        texts = []
        for answer in (store.setup(), store.loadSession("ab" * 16)):
            with pytest.raises(StoreUnusable) as caught:
                await answer
            texts.append(str(caught.value))
        await store.close()
        assert texts[0] == texts[1]
        assert "\n" not in texts[0]
        assert path in texts[0]
        return texts[0]

    @pytest_twisted.ensureDeferred
    async def test_somethingElse(self, tmp_path: Path) -> None:
        """
        A directory that holds something else is refused, and left as it is.
        """
        (tmp_path / "thesis.tex").write_text("important")
        mode = tmp_path.stat().st_mode
        assert "holds something else" in await self.refusal(str(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
        assert tmp_path.stat().st_mode == mode

    @pytest_twisted.ensureDeferred
    async def test_noParent(self, tmp_path: Path) -> None:
        """
        Where the directory above is missing, that is said and nothing is made.
        """
        assert "does not exist" in await self.refusal(str(tmp_path / "missing" / "sessions"))
        assert list(tmp_path.iterdir()) == []

    @pytest_twisted.ensureDeferred
    async def test_noDirectory(self, tmp_path: Path) -> None:
        """
        A file in the place of the directory is refused.
        """
        (tmp_path / "sessions").write_text("x")
        assert "no directory" in await self.refusal(str(tmp_path / "sessions"))

    @pytest_twisted.ensureDeferred
    async def test_newerVersion(self, tmp_path: Path) -> None:
        """
        A directory that a newer version has made is refused.
        """
        (tmp_path / "store.json").write_text('{"store":"txsessions","format":3}')
        assert "newer version" in await self.refusal(str(tmp_path))

    @pytest_twisted.ensureDeferred
    async def test_olderVersion(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A directory that an older version has made, which listed no owners, is
        brought up to date, also when that was interrupted, and refused by the
        older version from then on.
        """
        store = JSONStore(tmp_path)
        sids = [f"{number:02x}{number:030x}" for number in range(20)]
        for number, sid in enumerate(sids):
            owner = (None, "anna", "bert")[number % 3]
            await store.createSession(Record(sid, bytes(32), number, 0, 1e12, sessionKey=owner))
        await store.close()
        shutil.rmtree(tmp_path / "owners")
        (tmp_path / "store.json").write_text('{"store":"txsessions","format":1}')
        with monkeypatch.context() as patch:
            patch.setattr(Shard, "sids", raiseFull)
            with pytest.raises(StoreUnavailable, match="No space"):
                await store.findSessions("anna")
        assert [record.sid for record in await store.findSessions("anna")] == sids[1::3]
        assert len(await store.endSessions("bert")) == 6
        assert json.loads((tmp_path / "store.json").read_text())["format"] == 2
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_anotherStore(self, tmp_path: Path) -> None:
        """
        A directory whose label says something else is refused.
        """
        (tmp_path / "store.json").write_text('["x"]')
        assert "no directory of sessions" in await self.refusal(str(tmp_path))

    @pytest_twisted.ensureDeferred
    async def test_anotherUser(self, tmp_path: Path) -> None:
        """
        A directory of another user is refused, since that user can read it.
        """
        if os.geteuid() != 0:
            pytest.skip("only the superuser can give a directory to somebody else")
        os.chown(tmp_path, 65534, 65534)
        assert "belongs to another user" in await self.refusal(str(tmp_path))

    @pytest_twisted.ensureDeferred
    async def test_closesItself(self, tmp_path: Path) -> None:
        """
        A directory that somebody made for it is closed to all others.
        """
        tmp_path.chmod(0o755)
        store = JSONStore(tmp_path)
        await store.setup()
        await store.close()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700

    @pytest_twisted.ensureDeferred
    async def test_half(self, tmp_path: Path) -> None:
        """
        A directory that a crash left half-made is completed.
        """
        (tmp_path / "store.tmp").write_text('{"sto')
        store = JSONStore(str(tmp_path))
        await store.setup()
        await store.close()
        (tmp_path / "a7").rmdir()
        await store.setup()
        assert (tmp_path / "a7").is_dir()
        assert not (tmp_path / "store.tmp").exists()
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A relative path means the same directory when the process has gone elsewhere.
        """
        monkeypatch.chdir(tmp_path)
        store = JSONStore("sessions")
        monkeypatch.chdir("/")
        await store.setup()
        await store.close()
        assert (tmp_path / "sessions" / "store.json").exists()
