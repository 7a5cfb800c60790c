"""
What is written into the journal: every ending, once, in the step that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import SessionEnded
from ...interfaces import ISessionOwners, ISessionStoreAdministration, ISessionSweep
from ...lifetime import ABSOLUTE, EVICTED, IDLE, LOGOUT, REVOKED
from ...limit import REFUSE, SessionLimit
from ...record import Change, Record
from ...stores.journal import JournalEntry
from .harness import TIMEOUT, Contract, Store, isProvided, outcomes, promise, touch
from .logins import logIn

LEASE = 60.0
"""
For how long the tests take what they take, in seconds.
"""

ROUNDS = 1000
"""
After so many calls of C{takeEndings} a journal that still gives something never
ends.
"""


def sidsOf(entries: Sequence[JournalEntry | Record]) -> list[str]:
    """
    The handles of some entries or records, in their order.
    """
    return [each.record.sid if isinstance(each, JournalEntry) else each.sid for each in entries]


class WrittenContract(Contract):
    """
    Each ending is written down once for each observer.
    """

    async def takeAll(self, store: Store, observer: str, limit: int = 100) -> list[JournalEntry]:
        """
        Take what there is, until nothing is left.
        """
        entries: list[JournalEntry] = []
        for _ in range(ROUNDS):
            taken = await store.takeEndings(observer, limit, LEASE)
            assert len(taken) <= limit
            if not taken:
                return entries
            entries.extend(taken)
        raise AssertionError(f"more is said to be told after {ROUNDS} calls")

    async def checkWritten(
        self, store: Store, since: float, ended: Sequence[tuple[Record, str]]
    ) -> None:
        """
        Check that just these endings are there for both observers, once, and tell
        them.
        """
        now = await self.now()
        expected = {record.sid: (record, reason) for record, reason in ended}
        both = [await self.takeAll(store, name) for name in ("mail", "audit")]
        for name, entries in zip(("mail", "audit"), both, strict=True):
            assert sorted(sidsOf(entries)) == sorted(expected)
            for entry in entries:
                assert isinstance(entry, JournalEntry)
                assert (entry.record, entry.reason) == expected[entry.record.sid]
                assert since - self.tolerance <= entry.endedAt <= now + self.tolerance
                assert isinstance(entry.eventID, str)
                assert entry.attempt == 1
            await store.acknowledge(name, [entry.eventID for entry in entries])
        eventIDs = [{entry.eventID for entry in entries} for entries in both]
        assert eventIDs[0] == eventIDs[1]
        assert len(eventIDs[0]) == len(ended)

    async def enrolled(self, store: Store) -> float:
        """
        Enrol both observers; the present.
        """
        await outcomes(store.enrol("mail"), store.enrol("audit"))
        return await self.now()

    @promise
    async def test_nobodyEnrolled(self, store: Store) -> None:
        """
        Nothing is written down while nobody is enrolled, nor for who is a stranger.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        assert list(await store.takeEndings("mail", 10, LEASE)) == []
        assert await store.acknowledge("mail", ["0"]) is None
        await store.enrol("mail")
        assert await self.takeAll(store, "mail") == []
        await store.deleteSession((await self.newSession(store)).sid)
        assert list(await store.takeEndings("audit", 10, LEASE)) == []
        await store.enrol("audit")
        assert await self.takeAll(store, "audit") == []

    @promise
    async def test_writesDeleted(self, store: Store) -> None:
        """
        A session that is ended is written down with its last record, for others at
        once, and once whoever ends it again.
        """
        since = await self.enrolled(store)
        other = await self.another(store)
        record = await self.newSession(store, sessionKey="anna", attributes={"data:a": b"1"})
        await store.saveSession(Change(record.sid, set={"data:b": b"2"}, verifier=b"1" * 32))
        last = await store.loadSession(record.sid)
        await store.deleteSession(record.sid, LOGOUT)
        assert await other.deleteSession(record.sid) is None
        assert await store.deleteSession((await self.newRecord()).sid) is None
        await outcomes(store.saveSession(Change(record.sid, set={"data:a": b"3"})))
        await self.checkWritten(other, since, [(last, LOGOUT)])
        await self.checkWritten(store, since, [])

    @promise
    async def test_writesNoOthers(self, store: Store) -> None:
        """
        Nothing that leaves a session alive is written down.
        """
        since = await self.enrolled(store)
        record = await self.newSession(store)
        late = record.lastModified + TIMEOUT
        await outcomes(
            store.createSession(record),
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
            store.saveSession(Change(record.sid, sessionKey="anna", expectedVersion=9)),
            store.saveSession(touch(record, late)),
        )
        if isProvided(ISessionSweep, store):
            await store.claimExpired(10)
        if isProvided(ISessionOwners, store):
            await store.logInSession(logIn(record), SessionLimit(1))
            await store.endSessions("anna", exceptFor=record.sid)
            await outcomes(
                store.logInSession(logIn(await self.newSession(store)), SessionLimit(1, REFUSE))
            )
        await self.checkWritten(store, since, [])

    @promise
    async def test_writesExpired(self, store: Store) -> None:
        """
        A session that a sweep claims is written down, with the reason.
        """
        if not isProvided(ISessionSweep, store):
            return
        await self.enrolled(store)
        other = await self.another(store)
        ended = [
            (await self.newSession(store), IDLE),
            (await self.newSession(store, sessionTimeout=1e6, absoluteTimeout=60.0), ABSOLUTE),
            (await self.newSession(store, sessionKey="anna"), IDLE),
        ]
        await self.newSession(store, sessionTimeout=9 * TIMEOUT)
        await self.advance(TIMEOUT + 1)
        since = await self.now()
        for _ in range(10):
            await outcomes(store.claimExpired(1), other.claimExpired(1))
        await self.checkWritten(store, since, ended)

    @promise
    async def test_writesCleared(self, store: Store) -> None:
        """
        All sessions of an owner that end together are written down.
        """
        if not isProvided(ISessionOwners, store):
            return
        since = await self.enrolled(store)
        records = [await self.newSession(store, sessionKey="anna") for _ in range(4)]
        await self.newSession(store, sessionKey="bert")
        await store.endSessions("anna", LOGOUT, exceptFor=records[3].sid)
        await store.endSessions("anna", LOGOUT, exceptFor=records[3].sid)
        await self.checkWritten(store, since, [(record, LOGOUT) for record in records[:3]])

    @promise
    async def test_writesEvicted(self, store: Store) -> None:
        """
        Sessions that have to make room are written down.
        """
        if not isProvided(ISessionOwners, store):
            return
        since = await self.enrolled(store)
        records = [
            await self.newSession(store, sessionKey="anna", created=since - n) for n in range(3)
        ]
        comer = await self.newSession(store)
        await store.logInSession(logIn(comer), SessionLimit(2))
        await self.checkWritten(store, since, [(record, EVICTED) for record in records[1:]])

    @promise
    async def test_writesLateLogIns(self, store: Store) -> None:
        """
        A session whose log-in comes too late is written down as it was before.
        """
        if not isProvided(ISessionOwners, store):
            return
        since = await self.enrolled(store)
        record = await self.newSession(store, attributes={"data:a": b"1"})
        before = await self.now() - self.tolerance - 1
        await store.endSessions("anna")
        (answer,) = await outcomes(
            store.logInSession(logIn(record, at=before, set={"data:a": b"2"}))
        )
        assert isinstance(answer, SessionEnded)
        await self.checkWritten(store, since, [(record, REVOKED)])

    @promise
    async def test_writesOld(self, store: Store) -> None:
        """
        Sessions that people delete for their age are written down.
        """
        if not isProvided(ISessionStoreAdministration, store):
            return
        since = await self.enrolled(store)
        old = [await self.newSession(store, lastModified=since - 900) for _ in range(3)]
        await self.newSession(store)
        assert await store.deleteOldSessions(10) == 3
        await self.checkWritten(store, since, [(record, IDLE) for record in old])

    @promise
    async def test_writesOfMany(self, store: Store) -> None:
        """
        Of many who end the same sessions at the same time one writes each down.
        """
        since = await self.enrolled(store)
        other = await self.another(store)
        records = [await self.newSession(store, sessionKey="anna") for _ in range(20)]
        calls = [h.deleteSession(record.sid) for record in records[:10] for h in (store, other)]
        if isProvided(ISessionOwners, store):
            calls.append(other.endSessions("anna"))
        calls += [h.deleteSession(record.sid) for record in records for h in (other, store)]
        await outcomes(*calls)
        await self.checkWritten(store, since, [(record, REVOKED) for record in records])

    @promise
    async def test_writesMany(self, store: Store) -> None:
        """
        However many end, none is left out.
        """
        await self.enrolled(store)
        records = [await self.newRecord() for _ in range(300)]
        await outcomes(*(store.createSession(record) for record in records))
        since = await self.now()
        await outcomes(*(store.deleteSession(record.sid, LOGOUT) for record in records))
        await self.checkWritten(store, since, [(record, LOGOUT) for record in records])
