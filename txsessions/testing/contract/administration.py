"""
The suite for
L{ISessionStoreAdministration<txsessions.interfaces.ISessionStoreAdministration>}.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded
from ...interfaces import ISessionIndex, ISessionStoreAdministration
from ...record import Change, Record
from .harness import Contract, Store, isProvided, outcomes, promise, provides, touch


class AdministrationContract(Contract):
    """
    What people do with a store from outside of the application.
    """

    async def browsed(self, store: Store) -> dict[str, Record]:
        """
        All that C{iterSessions} gives, each session once.
        """
        found: dict[str, Record] = {}
        async for sid, record in store.iterSessions():
            assert sid not in found
            assert sid == record.sid
            found[sid] = record
        return found

    @promise
    async def test_providesAdministration(self, store: Store) -> None:
        """
        A store for people provides ISessionStoreAdministration.
        """
        provides(store, ISessionStoreAdministration)
        assert isinstance(store.isMultiprocessSafe, bool)
        assert isinstance(store.isThreadSafe, bool)

    @promise
    async def test_setup(self, store: Store) -> None:
        """
        Making a store ready keeps what is there, and may be done twice.
        """
        assert await store.setup() is None
        record = await self.newSession(store)
        assert await store.setup() is None
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_concurrentSetup(self, store: Store) -> None:
        """
        Several may make the same store ready at the same time.
        """
        other = await self.another(store)
        assert await outcomes(*(handle.setup() for handle in (store, other) * 3)) == [None] * 6
        record = await self.newSession(store)
        assert await outcomes(other.setup(), store.setup()) == [None, None]
        assert await other.loadSession(record.sid) == record

    @promise
    async def test_browse(self, store: Store) -> None:
        """
        Browsing gives every live session once, with its record as it is stored.
        """
        assert await self.browsed(store) == {}
        live = [await self.newSession(store, sessionKey="anna") for _ in range(3)]
        live.append(await self.newSession(store, attributes={"data:a": b"1"}))
        ended = await self.newSession(store)
        await store.deleteSession(ended.sid)
        assert await self.browsed(store) == {record.sid: record for record in live}

    @promise
    async def test_browseMany(self, store: Store) -> None:
        """
        Browsing leaves out nobody, however many there are.
        """
        records = [await self.newRecord() for _ in range(1200)]
        await outcomes(*(store.createSession(record) for record in records))
        assert await self.browsed(store) == {record.sid: record for record in records}

    @promise
    async def test_browseWhileChanging(self, store: Store) -> None:
        """
        Browsing goes on while sessions begin, change and end, and leaves out nobody
        who lives all the while.
        """
        other = await self.another(store)
        staying = [await self.newSession(store) for _ in range(100)]
        going = [await self.newSession(store) for _ in range(100)]
        found: list[str] = []
        async for sid, record in store.iterSessions():
            assert isinstance(record, Record)
            found.append(sid)
            number = len(found)
            if number < 100:
                await outcomes(
                    other.deleteSession(going[number].sid),
                    other.saveSession(Change(staying[number].sid, set={"data:a": b"1"})),
                    other.createSession(await self.newRecord()),
                    other.createSession(await self.newRecord()),
                )
        assert len(set(found)) == len(found)
        assert {record.sid for record in staying} <= set(found)

    @promise
    async def test_browseInPart(self, store: Store) -> None:
        """
        Whoever stops browsing in the middle leaves the store in order.
        """
        records = [await self.newSession(store) for _ in range(10)]
        iterator = store.iterSessions()
        await anext(iterator)
        await iterator.aclose()
        assert await self.browsed(store) == {record.sid: record for record in records}

    @promise
    async def test_deleteOld(self, store: Store) -> None:
        """
        Those whom nobody touched for so many minutes are ended, counted, and no others.
        """
        now = await self.now()
        ages = {
            minutes: await self.newSession(
                store, lastModified=now - 60 * minutes, sessionTimeout=1e6
            )
            for minutes in (0, 9, 9.9, 10.1, 11, 60)
        }
        count = await store.deleteOldSessions(10)
        assert (type(count), count) == (int, 3)
        assert await store.deleteOldSessions(10) == 0
        for minutes, record in ages.items():
            assert await store.hasSession(record.sid) is (minutes < 10)
        with pytest.raises(SessionEnded):
            await store.loadSession(ages[60].sid)
        assert await store.saveSession(Change(ages[0].sid, set={"data:a": b"1"})) == 2

    @promise
    async def test_deleteOldByFractions(self, store: Store) -> None:
        """
        The minutes may be a fraction, and none at all ends everything so far.
        """
        now = await self.now()
        old = await self.newSession(store, lastModified=now - 31)
        new = await self.newSession(store, lastModified=now - 28)
        assert await store.deleteOldSessions(0.5) == 1
        assert await store.hasSession(old.sid) is False
        assert await store.hasSession(new.sid) is True
        assert await store.deleteOldSessions(0) == 1
        assert await store.deleteOldSessions(0) == 0

    @promise
    async def test_deleteOldAsTouched(self, store: Store) -> None:
        """
        A touch makes a session young, however long ago it began.
        """
        now = await self.now()
        record = await self.newSession(
            store, created=now - 7200, lastModified=now - 7200, sessionTimeout=1e6
        )
        await store.saveSession(touch(record, now))
        assert await store.deleteOldSessions(60) == 0
        assert await store.hasSession(record.sid) is True

    @promise
    async def test_deleteMany(self, store: Store) -> None:
        """
        Any number is ended and counted, each once, whoever else does the same.
        """
        other = await self.another(store)
        now = await self.now()
        records = [await self.newRecord(lastModified=now - 3600) for _ in range(1200)]
        await outcomes(*(store.createSession(record) for record in records))
        counts = await outcomes(store.deleteOldSessions(30), other.deleteOldSessions(30))
        assert sum(counts) == 1200
        assert await self.browsed(store) == {}

    @promise
    async def test_deletedHaveNoOwner(self, store: Store) -> None:
        """
        Those that were ended for their age are found under their owner no more.
        """
        now = await self.now()
        old = await self.newSession(store, sessionKey="anna", lastModified=now - 3600)
        new = await self.newSession(store, sessionKey="anna")
        assert await store.deleteOldSessions(30) == 1
        assert await store.hasSession(old.sid) is False
        if isProvided(ISessionIndex, store):
            assert await store.findSessions("anna") == [new]
