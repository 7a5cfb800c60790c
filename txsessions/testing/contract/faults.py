"""
The suites for what goes wrong: a store that is down, a record that is damaged,
a key that is missing.  Three different answers, none of them "absent".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ...errors import CorruptRecord, StoreUnavailable, UnknownKey
from ...interfaces import (
    ISessionIndex,
    ISessionJournal,
    ISessionOwners,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ...limit import SessionLimit
from ...record import Change, Record
from .harness import TIMEOUT, Contract, Store, isProvided, outcomes, promise, touch
from .logins import logIn, sidsOf
from .written import LEASE
from .written import sidsOf as sidsOfEntries


class AvailabilityContract(Contract):
    """
    A store that is down says so, and is as before afterwards (hooks:
    C{breakStore}, C{mendStore}).
    """

    async def operations(self, store: Store, record: Record) -> list[Deferred[Any]]:
        """
        One call of each operation that the store has, under way.
        """
        fresh = await self.newRecord()
        now = await self.now()

        def calls() -> Iterator[Deferred[Any]]:
            yield store.loadSession(record.sid)
            yield store.loadSession(fresh.sid, "nothing")
            yield store.createSession(fresh)
            yield store.createSession(record)
            yield store.saveSession(Change(record.sid, set={"data:a": b"2"}))
            yield store.saveSession(Change(record.sid, set={"data:a": b"2"}, expectedVersion=9))
            yield store.saveSession(touch(record, now))
            yield store.deleteSession(record.sid)
            yield store.hasSession(record.sid)
            if isProvided(ISessionSweep, store):
                yield store.claimExpired(10)
            if isProvided(ISessionIndex, store):
                yield store.findSessions("anna")
            if isProvided(ISessionOwners, store):
                yield store.logInSession(logIn(record))
                yield store.logInSession(logIn(fresh), SessionLimit(1))
                yield store.endSessions("anna")
            if isProvided(ISessionStoreAdministration, store):
                yield store.deleteOldSessions(10)

        return list(calls())

    @promise
    async def test_unavailable(self, store: Store) -> None:
        """
        While a store is down every operation fails, and none says "absent".
        """
        record = await self.newSession(store, sessionKey="anna")
        await self.breakStore(store)
        try:
            answers = await outcomes(*await self.operations(store, record))
        finally:
            await self.mendStore(store)
        assert [a for a in answers if not isinstance(a, StoreUnavailable)] == []

    @promise
    async def test_unavailableToBrowse(self, store: Store) -> None:
        """
        Browsing a store that is down fails, and does not end as if it were empty.
        """
        await self.newSession(store)
        if not isProvided(ISessionStoreAdministration, store):
            return
        await self.breakStore(store)
        try:
            with pytest.raises(StoreUnavailable):
                async for _ in store.iterSessions():
                    pass
        finally:
            await self.mendStore(store)

    @promise
    async def test_unavailableJournal(self, store: Store) -> None:
        """
        While a store is down nobody is told that nothing has ended, and afterwards
        what has ended is told.
        """
        if not isProvided(ISessionJournal, store):
            return
        await store.enrol("mail")
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        await self.breakStore(store)
        try:
            (taken,) = await outcomes(store.takeEndings("mail", 10, LEASE))
        finally:
            await self.mendStore(store)
        if not isinstance(taken, StoreUnavailable):
            assert sidsOfEntries(taken) == [record.sid]
        await self.advance(LEASE + self.tolerance + 1)
        (entry,) = await store.takeEndings("mail", 10, LEASE)
        assert entry.record == record
        await store.acknowledge("mail", [entry.eventID])
        await self.advance(LEASE + self.tolerance + 1)
        assert list(await store.takeEndings("mail", 10, LEASE)) == []

    @promise
    async def test_intactAfterwards(self, store: Store) -> None:
        """
        When it is back, sessions are as they were, and can be used again.
        """
        record = await self.newSession(store, sessionKey="anna", attributes={"data:a": b"1"})
        await self.breakStore(store)
        try:
            await outcomes(store.loadSession(record.sid), store.hasSession(record.sid))
        finally:
            await self.mendStore(store)
        assert await store.loadSession(record.sid) == record
        assert await store.saveSession(Change(record.sid, set={"data:b": b"2"})) == 2
        assert (await store.deleteSession(record.sid)).version == 2


class CorruptionContract(Contract):
    """
    A damaged record is put aside, told once, and harms no other (hook:
    C{damageSession}).
    """

    @promise
    async def test_toldOnce(self, store: Store) -> None:
        """
        A damaged record fails as such once, and is absent afterwards.
        """
        record = await self.newSession(store)
        await self.damageSession(store, record.sid)
        with pytest.raises(CorruptRecord) as caught:
            await store.loadSession(record.sid)
        assert caught.value.sid == record.sid
        assert await store.loadSession(record.sid, "nothing") == "nothing"
        assert await store.hasSession(record.sid) is False

    @promise
    async def test_toldToASave(self, store: Store) -> None:
        """
        A save to a damaged record fails, and makes no new record of it.
        """
        record = await self.newSession(store)
        await self.damageSession(store, record.sid)
        with pytest.raises(CorruptRecord):
            await store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        assert await store.loadSession(record.sid) is None

    @promise
    async def test_harmsNoOther(self, store: Store) -> None:
        """
        A sweep, a search and browsing give all records but the damaged one.
        """
        records = [await self.newSession(store, sessionKey="anna") for _ in range(5)]
        damaged = records.pop(2)
        await self.damageSession(store, damaged.sid)
        whole = {record.sid: record for record in records}
        if isProvided(ISessionIndex, store):
            found = await store.findSessions("anna")
            assert {record.sid: record for record in found} == whole
        if isProvided(ISessionStoreAdministration, store):
            assert {sid: record async for sid, record in store.iterSessions()} == whole
        for record in records:
            assert await store.loadSession(record.sid) == record

    @promise
    async def test_harmsNoOwner(self, store: Store) -> None:
        """
        A damaged record keeps its owner from nothing: others of his make room, log in
        and end with all.
        """
        if not isProvided(ISessionOwners, store):
            return
        records = [await self.newSession(store, sessionKey="anna") for _ in range(5)]
        comer = await self.newSession(store)
        await self.damageSession(store, records.pop(2).sid)
        answer = await store.logInSession(logIn(comer), SessionLimit(1))
        assert set(sidsOf(answer.evicted)) == {record.sid for record in records}
        other = await self.newSession(store, sessionKey="anna")
        await self.damageSession(store, comer.sid)
        assert sidsOf(await store.endSessions("anna")) == [other.sid]

    @promise
    async def test_isNotClaimed(self, store: Store) -> None:
        """
        A sweep puts a damaged record aside, gives the others, and comes to an end.
        """
        records = [await self.newSession(store) for _ in range(5)]
        damaged = records.pop(2)
        await self.damageSession(store, damaged.sid)
        if not isProvided(ISessionSweep, store):
            return
        await self.advance(TIMEOUT + 1)
        claimed: set[str] = set()
        for _ in range(10):
            claim = await store.claimExpired(10)
            claimed |= {ending.record.sid for ending in claim.endings}
        assert claimed == {record.sid for record in records}
        assert claim.nextDeadline is None


class KeyContract(Contract):
    """
    A missing key is a mistake of the configuration, and nothing is changed by
    it (hook: C{withAnotherKey}).
    """

    @promise
    async def test_unknownKey(self, store: Store) -> None:
        """
        Without the key a session cannot be loaded, and is intact for who has it.
        """
        record = await self.newSession(store, attributes={"data:a": b"1"})
        stranger = await self.withAnotherKey(store)
        for _ in range(2):
            with pytest.raises(UnknownKey):
                await stranger.loadSession(record.sid)
        assert await store.loadSession(record.sid) == record
