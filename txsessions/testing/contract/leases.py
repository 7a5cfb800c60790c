"""
Who gets what is in the journal: one at a time, for as long as a lease.
"""

from __future__ import annotations

from ...stores.journal import JournalEntry
from .harness import Contract, Store, outcomes, promise
from .written import LEASE, sidsOf


class LeaseContract(Contract):
    """
    An ending is given to one taker at a time, until it is acknowledged.
    """

    async def endSome(self, store: Store, count: int) -> list[str]:
        """
        Enrol an observer, and end some sessions, one each second; their handles.
        """
        await store.enrol("mail")
        sids = []
        for _ in range(count):
            record = await self.newSession(store)
            await store.deleteSession(record.sid)
            await self.advance(1)
            sids.append(record.sid)
        return sids

    @promise
    async def test_leased(self, store: Store) -> None:
        """
        What somebody has taken nobody else gets until the lease has run out, and then
        as a further attempt at the same event.
        """
        other = await self.another(store)
        await self.endSome(store, 1)
        (first,) = await store.takeEndings("mail", 10, LEASE)
        await self.advance(LEASE - self.tolerance - 1)
        for handle in (store, other):
            assert list(await handle.takeEndings("mail", 10, LEASE)) == []
        await self.advance(2 * self.tolerance + 2)
        (second,) = await other.takeEndings("mail", 10, 2 * LEASE)
        assert (first.attempt, second.attempt) == (1, 2)
        assert (second.eventID, second.record) == (first.eventID, first.record)
        assert (second.reason, second.endedAt) == (first.reason, first.endedAt)
        await self.advance(LEASE + self.tolerance + 1)
        assert list(await store.takeEndings("mail", 10, LEASE)) == []
        await self.advance(LEASE + self.tolerance)
        (third,) = await store.takeEndings("mail", 10, LEASE)
        assert (third.eventID, third.attempt) == (first.eventID, 3)

    @promise
    async def test_acknowledged(self, store: Store) -> None:
        """
        What is acknowledged is forgotten, also after its lease, by whichever handle;
        to do so twice is no error.
        """
        other = await self.another(store)
        sids = await self.endSome(store, 3)
        entries = list(await store.takeEndings("mail", 10, LEASE))
        assert sidsOf(entries) == sids
        one, two, three = (entry.eventID for entry in entries)
        assert await store.acknowledge("mail", [one]) is None
        assert await other.acknowledge("mail", [one, two]) is None
        await self.advance(LEASE + self.tolerance + 1)
        (again,) = await other.takeEndings("mail", 10, LEASE)
        assert again.eventID == three
        await self.advance(LEASE + self.tolerance + 1)
        assert await store.acknowledge("mail", [three]) is None
        assert await store.acknowledge("mail", [one, two, three]) is None
        assert list(await store.takeEndings("mail", 10, LEASE)) == []

    @promise
    async def test_acknowledgedNothing(self, store: Store) -> None:
        """
        To acknowledge what never was is no error, and forgets nothing else.
        """
        (sid,) = await self.endSome(store, 1)
        assert await store.acknowledge("mail", []) is None
        assert await store.acknowledge("mail", ["", "0", "nonsense", f"{sid}-0"]) is None
        assert sidsOf(await store.takeEndings("mail", 10, LEASE)) == [sid]

    @promise
    async def test_oldestTaken(self, store: Store) -> None:
        """
        Those that ended first are given first, no more than were asked for.
        """
        sids = await self.endSome(store, 7)
        taken: list[str] = []
        for number in (1, 2, 3, 10):
            entries = await store.takeEndings("mail", number, LEASE)
            assert len(entries) == min(number, 7 - len(taken))
            taken += sidsOf(entries)
        assert taken == sids
        assert list(await store.takeEndings("mail", 10, LEASE)) == []

    @promise
    async def test_oneTaker(self, store: Store) -> None:
        """
        Of many who take at the same time each ending goes to exactly one.
        """
        other = await self.another(store)
        await store.enrol("mail")
        records = [await self.newSession(store) for _ in range(60)]
        await outcomes(*(store.deleteSession(record.sid) for record in records))
        taken: list[JournalEntry] = []
        for _ in range(60):
            calls = [handle.takeEndings("mail", 7, LEASE) for handle in (store, other) * 3]
            some = [entry for entries in await outcomes(*calls) for entry in entries]
            taken += some
            if not some:
                break
        assert sorted(sidsOf(taken)) == sorted(sidsOf(records))
        await self.advance(LEASE + self.tolerance + 1)
        calls = [handle.takeEndings("mail", 20, LEASE) for handle in (store, other) * 4]
        again = [entry for entries in await outcomes(*calls) for entry in entries]
        eventIDs = [entry.eventID for entry in again]
        assert len(set(eventIDs)) == len(eventIDs)
        assert {entry.attempt for entry in again} == {2}

    @promise
    async def test_takenBesideEndings(self, store: Store) -> None:
        """
        What ends while somebody takes and acknowledges is given once, and not lost.
        """
        other = await self.another(store)
        await store.enrol("mail")
        records = [await self.newSession(store) for _ in range(60)]
        given: list[str] = []
        for start in range(0, 60, 10):
            calls = [store.deleteSession(record.sid) for record in records[start : start + 10]]
            takes = [other.takeEndings("mail", 5, LEASE), store.takeEndings("mail", 5, LEASE)]
            for entries in await outcomes(*takes):
                given += sidsOf(entries)
                await other.acknowledge("mail", [entry.eventID for entry in entries])
            await outcomes(*calls)
        given += sidsOf(await store.takeEndings("mail", 100, LEASE))
        assert sorted(given) == sorted(sidsOf(records))
