"""
The suite for L{ISessionJournal<txsessions.interfaces.ISessionJournal>}.
"""

from __future__ import annotations

import pytest

from ...interfaces import ISessionJournal
from ...lifetime import LOGOUT
from ...record import Change
from .harness import Store, outcomes, promise, provides
from .leases import LeaseContract
from .written import LEASE, WrittenContract, sidsOf

NAMES = (
    "mail",
    "Mail",
    "mail ",
    "mail:1",
    "m",
    "0",
    "None",
    "\u00e9",
    "e\u0301",
    "*",
    "%",
    "_",
    "{mail}",
    "'; --",
    "a\\b",
    "../mail",
    "n" * 200,
    "n" * 199 + "m",
)
"""
Observers that are one and the same to a careless store, or something special.
"""

NO_NAMES = ("", "n" * 201, "a\nb", "\0", None, 7, b"mail")
"""
What is no name of an observer.
"""


class JournalContract(WrittenContract, LeaseContract):
    """
    What a store owes that holds on to endings until everybody has been told:
    each is written down once for each observer, whatever ends the session; and
    is given to one at a time, until it is acknowledged.
    """

    @promise
    async def test_providesJournal(self, store: Store) -> None:
        """
        A store with a journal provides ISessionJournal.
        """
        provides(store, ISessionJournal)

    @promise
    async def test_namesOfObservers(self, store: Store) -> None:
        """
        An observer may have any printable name, and is told from those with a similar
        one.
        """
        for name in NAMES:
            await store.enrol(name)
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        for name in NAMES:
            (entry,) = await store.takeEndings(name, 10, LEASE)
            assert entry.record == record, name
            await store.acknowledge(name, [entry.eventID])
            await store.dismiss(name)
        await store.deleteSession((await self.newSession(store)).sid)
        for name in NAMES:
            assert list(await store.takeEndings(name, 10, LEASE)) == [], name

    @promise
    async def test_noNames(self, store: Store) -> None:
        """
        What is no name of an observer fails as a ValueError, and enrols nobody.
        """
        for name in NO_NAMES:
            answers = await outcomes(
                store.enrol(name),
                store.dismiss(name),
                store.takeEndings(name, 10, LEASE),
                store.acknowledge(name, ["0"]),
            )
            assert [type(answer) for answer in answers] == [ValueError] * 4, name

    @promise
    async def test_enrolTwice(self, store: Store) -> None:
        """
        Whoever enrols again keeps what is there, and is told once of each ending.
        """
        other = await self.another(store)
        assert await store.enrol("mail") is None
        first = await self.newSession(store)
        await store.deleteSession(first.sid)
        assert await outcomes(other.enrol("mail"), store.enrol("mail")) == [None, None]
        second = await self.newSession(store)
        await store.deleteSession(second.sid)
        taken = await self.takeAll(store, "mail")
        assert sorted(sidsOf(taken)) == sorted([first.sid, second.sid])

    @promise
    async def test_dismiss(self, store: Store) -> None:
        """
        Whoever is dismissed is told of nothing any more, also not after enrolling
        again; others are; and to dismiss a stranger is no error.
        """
        assert await store.dismiss("nobody") is None
        for name in ("mail", "audit"):
            await store.enrol(name)
        records = [await self.newSession(store) for _ in range(3)]
        await store.deleteSession(records[0].sid)
        await store.deleteSession(records[1].sid)
        (leased,) = await store.takeEndings("mail", 1, LEASE)
        assert await store.dismiss("mail") is None
        assert await store.dismiss("mail") is None
        assert list(await store.takeEndings("mail", 10, LEASE)) == []
        assert await store.acknowledge("mail", [leased.eventID]) is None
        await store.enrol("mail")
        assert await self.takeAll(store, "mail") == []
        await store.deleteSession(records[2].sid)
        await self.advance(LEASE + 1)
        assert sidsOf(await self.takeAll(store, "mail")) == [records[2].sid]
        assert sorted(sidsOf(await self.takeAll(store, "audit"))) == sorted(sidsOf(records))

    @promise
    async def test_independentObservers(self, store: Store) -> None:
        """
        What one observer has taken or acknowledged is there for the others, with the
        same eventID.
        """
        await outcomes(*(store.enrol(name) for name in ("mail", "audit", "late")))
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        (one,) = await store.takeEndings("mail", 10, LEASE)
        (two,) = await store.takeEndings("audit", 10, LEASE)
        assert one == two
        await store.acknowledge("mail", [one.eventID])
        (three,) = await store.takeEndings("late", 10, LEASE)
        assert three == one
        await self.advance(LEASE + 1)
        assert list(await store.takeEndings("mail", 10, LEASE)) == []
        (again,) = await store.takeEndings("audit", 10, LEASE)
        assert (again.eventID, again.attempt) == (one.eventID, 2)


class DurableJournalContract(WrittenContract):
    """
    A journal outlives the process (hook: C{reopen}).
    """

    @promise
    async def test_keepsJournal(self, store: Store) -> None:
        """
        Enrolments, endings and what was acknowledged are known after a restart.
        """
        await store.enrol("mail")
        await store.enrol("gone")
        records = [await self.newSession(store, attributes={"data:a": b"1"}) for _ in range(3)]
        await store.saveSession(Change(records[1].sid, set={"data:a": b"2"}))
        records[1] = await store.loadSession(records[1].sid)
        for record in records[:2]:
            await store.deleteSession(record.sid, LOGOUT)
            await self.advance(1)
        (told,) = await store.takeEndings("mail", 1, LEASE)
        await store.acknowledge("mail", [told.eventID])
        await store.dismiss("gone")
        store = await self.reopened(store)
        await store.deleteSession(records[2].sid, LOGOUT)
        entries = await self.takeAll(store, "mail")
        assert [entry.record for entry in entries] == records[1:]
        assert {entry.reason for entry in entries} == {LOGOUT}
        assert await self.takeAll(store, "gone") == []

    @promise
    async def test_keepsLeases(self, store: Store) -> None:
        """
        What was taken before a restart is given again when the lease has run out, with
        the same eventID, as a further attempt, and not before.
        """
        await store.enrol("mail")
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        (first,) = await store.takeEndings("mail", 10, LEASE)
        store = await self.reopened(store)
        assert list(await store.takeEndings("mail", 10, LEASE)) == []
        await self.advance(LEASE + self.tolerance + 1)
        (second,) = await store.takeEndings("mail", 10, LEASE)
        assert second.eventID == first.eventID
        assert (second.record, second.endedAt, second.attempt) == (record, first.endedAt, 2)

    @promise
    async def test_acknowledgedForGood(self, store: Store) -> None:
        """
        What was acknowledged is never given again, restart or not.
        """
        await store.enrol("mail")
        records = [await self.newSession(store) for _ in range(20)]
        await outcomes(*(store.deleteSession(record.sid) for record in records))
        entries = await self.takeAll(store, "mail")
        with pytest.raises(ValueError):
            await store.acknowledge("", [entry.eventID for entry in entries])
        await store.acknowledge("mail", [entry.eventID for entry in entries[:15]])
        store = await self.reopened(store)
        await self.advance(LEASE + self.tolerance + 1)
        left = await self.takeAll(store, "mail")
        assert sorted(sidsOf(left)) == sorted(sidsOf(entries[15:]))
        assert len(left) == 5
