"""
Tests for L{txsessions.stores.migrating}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from zope.interface import implementer

from txsessions.errors import SessionEnded, SessionNotFound, StoreUnavailable
from txsessions.interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStore,
    ISessionSweep,
)
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MigratingStore
from txsessions.testing import FailingStore
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
)

SID = "0123456789abcdef" * 2


class MigratingContract(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
):
    """
    Two stores are one.
    """

    storeClass: Callable[[Any, Any], Any] = MigratingStore

    def makeStore(self) -> Any:
        """
        Two empty stores.
        """
        self.pair = MemoryStore(self.clock), MemoryStore(self.clock)
        return self.storeClass(*self.pair)

    async def concurrentStore(self, store: Any) -> Any:
        """
        As another process would see the same two stores.
        """
        return self.storeClass(*self.pair)


class TestNew(MigratingContract):
    """
    A migrating store keeps the promises for new sessions.
    """


class OldFirst(MigratingStore):
    """
    A migrating store whose sessions all began in the old one.
    """

    async def _create(self, record: Record) -> bool:
        """
        Create it as the application did before the migration.
        """
        if await self._new.hasSession(record.sid):
            return False
        try:
            await self._new.loadSession(record.sid)
        except SessionEnded:
            return False
        isNew: bool = await self._old.createSession(record)
        return isNew


class TestOld(MigratingContract):
    """
    A migrating store keeps the promises for sessions that are in the old store.
    """

    storeClass = OldFirst


class TestFiles(
    StoreContract,
    SweepContract,
    IndexContract,
    ConnectedContract,
    DurabilityContract,
    DurableJournalContract,
    AvailabilityContract,
    CorruptionContract,
):
    """
    A migrating store keeps the promises over stores that can be closed, fail
    and be damaged.
    """

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Any) -> None:
        """
        A directory for each test.
        """
        self.directory = tmp_path

    def makeStore(self) -> Any:
        """
        Two stores in files.
        """
        new = JSONStore(self.directory / "new", clock=self.clock)
        return OldFirst(new, JSONStore(self.directory / "old", clock=self.clock))

    async def concurrentStore(self, store: Any) -> Any:
        """
        As another process would see the same two stores.
        """
        return self.makeStore()

    async def reopen(self, store: Any) -> Any:
        """
        Close both, and open both.
        """
        await store.close()
        return self.makeStore()

    async def breakStore(self, store: Any) -> None:
        """
        Take both directories away.
        """
        for name in ("new", "old"):
            (self.directory / name).rename(self.directory / f"{name}.away")

    async def mendStore(self, store: Any) -> None:
        """
        Put both directories back.
        """
        for name in ("new", "old"):
            (self.directory / f"{name}.away").rename(self.directory / name)

    async def damageSession(self, store: Any, sid: str) -> None:
        """
        Cut the file short, in whichever store it is.
        """
        for name in ("new", "old"):
            path = self.directory / name / sid[:2] / f"{sid}.json"
            if path.exists():
                path.write_bytes(path.read_bytes()[:100])


def newRecord(**facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 100.0}
    return Record(**{"sid": SID, "verifier": bytes(32), **usual, **facts})


@pytest.fixture
def pair() -> Iterator[Any]:
    """
    A clock, a new store, an old store, and both as one.
    """
    clock = Clock()
    new, old = MemoryStore(clock), MemoryStore(clock)
    yield clock, new, old, MigratingStore(new, old)


class TestMigration:
    """
    What is where, and when.
    """

    @pytest_twisted.ensureDeferred
    async def test_readingMovesNothing(self, pair: Any) -> None:
        """
        A session that is only read stays where it is.
        """
        _, new, old, both = pair
        await old.createSession(newRecord(sessionKey="anna"))
        assert await both.loadSession(SID) == newRecord(sessionKey="anna")
        assert await both.hasSession(SID) is True
        assert len(await both.findSessions("anna")) == 1
        assert [sid async for sid, _ in both.iterSessions()] == [SID]
        assert list(new._records) == []

    @pytest_twisted.ensureDeferred
    async def test_writingMoves(self, pair: Any) -> None:
        """
        A session moves at its first write, with all that it had, and nothing is
        left behind.
        """
        _, new, old, both = pair
        record = newRecord(attributes={"data:a": b"1"}, version=7, absoluteTimeout=1e6)
        await old.createSession(record)
        assert await both.saveSession(Change(SID, set={"data:b": b"2"}, expectedVersion=7)) == 8
        assert (await new.loadSession(SID)).attributes == {"data:a": b"1", "data:b": b"2"}
        assert (await new.loadSession(SID)).absoluteTimeout == 1e6
        assert await old.hasSession(SID) is False

    @pytest_twisted.ensureDeferred
    async def test_newSessionsAreNew(self, pair: Any) -> None:
        """
        A new session begins in the new store, and not under a handle of the old.
        """
        _, new, old, both = pair
        await old.createSession(newRecord())
        assert await both.createSession(newRecord()) is False
        other = newRecord(sid="f" * 32)
        assert await both.createSession(other) is True
        assert await new.hasSession(other.sid)
        assert not await old.hasSession(other.sid)

    @pytest_twisted.ensureDeferred
    async def test_crashWhileMoving(self, pair: Any) -> None:
        """
        A session that a crash left in both stores is that of the new one, and
        the copy disappears with its end, untold.
        """
        clock, new, old, both = pair
        await old.createSession(newRecord(sessionKey="anna"))
        await new.createSession(newRecord(sessionKey="bert"))
        await both.saveSession(Change(SID, set={"data:a": b"1"}, lastModified=50.0))
        assert await both.findSessions("anna") == []
        assert len(await both.findSessions("bert")) == 1
        assert [record.sessionKey async for _, record in both.iterSessions()] == ["bert"]
        clock.advance(100)
        assert (await both.claimExpired(10)).endings == []
        assert await old.hasSession(SID) is False
        assert await both.hasSession(SID) is True
        clock.advance(50)
        assert len((await both.claimExpired(10)).endings) == 1

    @pytest_twisted.ensureDeferred
    async def test_endsBoth(self, pair: Any) -> None:
        """
        A session that a crash left in both stores ends in both, for good.
        """
        clock, new, old, both = pair
        await old.createSession(newRecord(sessionTimeout=1e6))
        await new.createSession(newRecord(sessionTimeout=1e6))
        assert await both.deleteSession(SID) is not None
        clock.advance(3601)
        await both.claimExpired(1)
        assert await both.loadSession(SID) is None
        with pytest.raises(SessionNotFound):
            await both.saveSession(Change(SID, set={"data:a": b"1"}))

    @pytest_twisted.ensureDeferred
    async def test_endedBefore(self, pair: Any) -> None:
        """
        What had ended in the old store is ended, and why is known.
        """
        _, _, old, both = pair
        await old.createSession(newRecord())
        await old.deleteSession(SID, LOGOUT)
        for answer in (
            both.loadSession(SID),
            both.saveSession(Change(SID, set={"data:a": b"1"})),
        ):
            with pytest.raises(SessionEnded) as caught:
                await answer
            assert caught.value.reason == LOGOUT
        assert await both.deleteSession(SID) is None
        assert await both.createSession(newRecord()) is False

    @pytest_twisted.ensureDeferred
    async def test_oneIsDown(self, pair: Any) -> None:
        """
        While either store is down nobody is told that there is no session, and
        nothing that was claimed is lost.
        """
        clock, new, old, _ = pair
        await old.createSession(newRecord())
        for down in (0, 1):
            stores = [FailingStore(new), FailingStore(old)]
            both = MigratingStore(*stores)
            stores[down].fail()
            for answer in (
                both.loadSession(SID),
                both.hasSession(SID),
                both.createSession(newRecord(sid="f" * 32)),
                both.saveSession(Change(SID, set={"data:a": b"1"})),
                both.deleteSession(SID),
                both.findSessions("anna"),
                both.claimExpired(10),
            ):
                with pytest.raises(StoreUnavailable):
                    await answer
            assert await old.hasSession(SID)
        clock.advance(100)
        stores = [FailingStore(new), FailingStore(old)]
        both = MigratingStore(*stores)
        stores[0].fail("createSession")
        with pytest.raises(StoreUnavailable):
            await both.claimExpired(10)
        stores[0].mend()
        assert len((await both.claimExpired(10)).endings) == 1

    def test_provides(self, pair: Any) -> None:
        """
        It can do what both stores can, and be closed if either can.
        """
        both = pair[3]
        assert ISessionSweep.providedBy(both)
        assert not IConnectedStore.providedBy(both)
        assert IConnectedStore.providedBy(MigratingStore(JSONStore("never-opened"), pair[2]))
        assert both.isMultiprocessSafe is False
        both.clock = clock = Clock()
        assert pair[1].clock is pair[2].clock is both.clock is clock

    def test_providesFurther(self) -> None:
        """
        It lets owners in if the new store can and the old one finds them, and has a
        journal and notices if the new store does.
        """

        @implementer(ISessionStore)
        class Bare:
            clock = None

        @implementer(ISessionIndex)
        class Finding(Bare):
            pass

        for old, expected in ((Bare(), False), (Finding(), True)):
            both = MigratingStore(MemoryStore(), old)
            assert ISessionOwners.providedBy(both) is expected
            assert ISessionJournal.providedBy(both)
            assert ISessionNotices.providedBy(both)
        both = MigratingStore(Finding(), MemoryStore())
        for interface in (ISessionOwners, ISessionJournal, ISessionNotices):
            assert not interface.providedBy(both)

    @pytest_twisted.ensureDeferred
    async def test_formerJournal(self, pair: Any) -> None:
        """
        What an observer has not been told of from before the migration is told, once;
        that sessions have moved is not, nor what has expired in the old store before it
        has in the new one.
        """
        clock, _, old, both = pair
        await old.enrol("mail")
        sids = [f"{number:032x}" for number in range(6)]
        for sid in sids:
            await old.createSession(newRecord(sid=sid, sessionKey="anna"))
        await old.deleteSession(sids[0], LOGOUT)
        await both.enrol("mail")
        await both.saveSession(Change(sids[1], set={"data:a": b"1"}))
        await both.deleteSession(sids[2], LOGOUT)
        told = await self.told(both)
        assert told == [(sids[0], LOGOUT), (sids[2], LOGOUT)]
        clock.advance(100)
        assert len((await both.claimExpired(10)).endings) == 4
        assert sorted(await self.told(both)) == [
            (sids[1], IDLE),
            *((sid, IDLE) for sid in sids[3:]),
        ]
        clock.advance(1000)
        assert await self.told(both) == []
        assert await both.dismiss("mail") is None
        assert await old.takeEndings("mail", 10, 60.0) == []

    @pytest_twisted.ensureDeferred
    async def test_lostWhileMoving(self, pair: Any) -> None:
        """
        What expired in the old store in a process that died before it could move it is
        told all the same, a minute later, by the old journal.
        """
        clock, _, old, both = pair
        await old.enrol("mail")
        await both.enrol("mail")
        await old.createSession(newRecord())
        clock.advance(100)
        await old.claimExpired(1)
        assert await self.told(both) == []
        clock.advance(60)
        assert await self.told(both) == [(SID, IDLE)]
        assert await self.told(both) == []

    async def told(self, store: Any) -> list[tuple[str, str]]:
        """
        What the observer is told now.
        """
        entries = [*await store.takeEndings("mail", 1, 50.0)]
        entries += await store.takeEndings("mail", 10, 50.0)
        await store.acknowledge("mail", [entry.eventID for entry in entries])
        return [(entry.record.sid, entry.reason) for entry in entries]

    @pytest_twisted.ensureDeferred
    async def test_ownersMove(self, pair: Any) -> None:
        """
        The sessions of an owner move when they are counted, and when they end together,
        and nobody else's do; a session that is somebody else's in the new store is left
        alone.
        """
        _, new, old, both = pair
        sids = [f"{number:032x}" for number in range(5)]
        for sid in sids[:3]:
            await old.createSession(newRecord(sid=sid, sessionKey="anna"))
        await old.createSession(newRecord(sid=sids[3], sessionKey="bert"))
        await new.createSession(newRecord(sid=sids[2], sessionKey="bert"))
        await new.createSession(newRecord(sid=sids[4]))
        change = Change(sids[4], sessionKey="anna")
        answer = await both.logInSession(change, SessionLimit(3))
        assert list(answer.evicted) == []
        assert sorted(new._records) == [*sids[:3], sids[4]]
        assert list(old._records) == [sids[3]]
        heard: list[Any] = []
        stop = both.watchEndings(lambda *ending: heard.append(ending), heard.clear)
        endings = await both.endSessions("anna", LOGOUT, exceptFor=sids[1])
        assert sorted(ending.record.sid for ending in endings) == [sids[0], sids[4]]
        assert sorted(heard) == [(sids[0], LOGOUT), (sids[4], LOGOUT)]
        stop()
