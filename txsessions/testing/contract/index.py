"""
The suite for L{ISessionIndex<txsessions.interfaces.ISessionIndex>}.
"""

from __future__ import annotations

from random import Random

from ...interfaces import ISessionIndex, ISessionSweep
from ...record import Change, apply
from .harness import TIMEOUT, Contract, Store, isProvided, outcomes, promise, provides, touch

OWNERS = (
    "anna",
    "Anna",
    "anna ",
    " anna",
    "ann",
    "anna:1",
    "anna:",
    ":",
    "::",
    "",
    "None",
    "0",
    "\u00e9lodie",
    "e\u0301lodie",
    "\u0410\u043d\u043d\u0430",
    "\U0001f600",
    "anna@example.org",
    "anna*",
    "an[n]a?",
    "{anna}",
    "%",
    "_",
    "'; --",
    "a\\b",
    "a/../b",
    "a\nb\r\t",
)
"""
Owners that are one and the same to a careless index, or something special.
"""


class IndexContract(Contract):
    """
    The sessions of an owner are found, all of them and no others.
    """

    async def found(self, store: Store, sessionKey: str) -> list[str]:
        """
        The handles of the sessions of that owner.
        """
        return [record.sid for record in await store.findSessions(sessionKey)]

    @promise
    async def test_providesIndex(self, store: Store) -> None:
        """
        A store with an index provides ISessionIndex.
        """
        provides(store, ISessionIndex)

    @promise
    async def test_none(self, store: Store) -> None:
        """
        An owner without sessions has an empty list of them.
        """
        await self.newSession(store, sessionKey="anna")
        assert await store.findSessions("bert") == []

    @promise
    async def test_oldestFirst(self, store: Store) -> None:
        """
        The live records of an owner come whole, those that began first before others.
        """
        now = await self.now()
        records = [
            await self.newSession(
                store, sessionKey="anna", created=now - age, attributes={"data:a": b"%d" % age}
            )
            for age in (5, 9, 1, 7, 3)
        ]
        await self.newSession(store, sessionKey="bert")
        records.sort(key=lambda record: record.created)
        assert await store.findSessions("anna") == records

    @promise
    async def test_anyOwner(self, store: Store) -> None:
        """
        An owner may be any text, and is told from owners with a similar one.
        """
        nobody = await self.newSession(store)
        sids = {owner: (await self.newSession(store, sessionKey=owner)).sid for owner in OWNERS}
        for owner in OWNERS:
            assert await self.found(store, owner) == [sids[owner]], owner
        for owner in OWNERS:
            await store.saveSession(Change(sids[owner], sessionKey="somebody"))
            assert await self.found(store, owner) == [], owner
        assert set(await self.found(store, "somebody")) == set(sids.values())
        assert (await store.loadSession(nobody.sid)).sessionKey is None

    @promise
    async def test_longOwner(self, store: Store) -> None:
        """
        An owner may be long, and is told from one that ends differently.
        """
        random = Random(21)
        owner = "".join(chr(random.randrange(0x20, 0x7F)) for _ in range(10_000))
        one = await self.newSession(store, sessionKey=owner + "1")
        two = await self.newSession(store, sessionKey=owner + "2")
        assert await self.found(store, owner + "1") == [one.sid]
        assert await self.found(store, owner + "2") == [two.sid]
        assert await self.found(store, owner) == []
        assert (await store.loadSession(one.sid)).sessionKey == owner + "1"

    @promise
    async def test_ownerWithNUL(self, store: Store) -> None:
        """
        A text with a NUL, which anybody can type into a form, is an owner.
        """
        record = await self.newSession(store, sessionKey="anna\0admin")
        assert await self.found(store, "anna\0admin") == [record.sid]
        assert await self.found(store, "anna") == []
        await store.saveSession(Change(record.sid, sessionKey="\0"))
        assert (await store.loadSession(record.sid)).sessionKey == "\0"
        assert await self.found(store, "\0") == [record.sid]

    @promise
    async def test_nobody(self, store: Store) -> None:
        """
        A session without an owner is not that of the owner with an empty name.
        """
        await self.newSession(store)
        assert await store.findSessions("") == []
        assert await store.findSessions("None") == []

    @promise
    async def test_followsChanges(self, store: Store) -> None:
        """
        The index follows a log-in, a change of owner, and an owner that is taken away.
        """
        record = await self.newSession(store)
        assert await self.found(store, "anna") == []
        await store.saveSession(Change(record.sid, sessionKey="anna", verifier=b"1" * 32))
        assert await self.found(store, "anna") == [record.sid]
        await store.saveSession(Change(record.sid, sessionKey="bert"))
        assert await self.found(store, "anna") == []
        assert await self.found(store, "bert") == [record.sid]
        await store.saveSession(Change(record.sid, sessionKey=None))
        assert await self.found(store, "bert") == []

    @promise
    async def test_keptByOtherChanges(self, store: Store) -> None:
        """
        A rework, a touch and a save leave the session with its owner, as it is now.
        """
        record = await self.newSession(store, sessionKey="anna")
        for change in (
            Change(record.sid, verifier=b"1" * 32),
            Change(record.sid, set={"data:a": b"1"}),
            Change(record.sid, sessionKey="anna"),
            Change(record.sid, sessionTimeout=60.0),
            touch(record, record.lastModified + 1),
        ):
            await store.saveSession(change)
            record = apply(record, change)
            assert await store.findSessions("anna") == [record]

    @promise
    async def test_refusedChange(self, store: Store) -> None:
        """
        A change of owner that is refused leaves the index as it was.
        """
        record = await self.newSession(store, sessionKey="anna")
        late = record.lastModified + TIMEOUT
        await outcomes(
            store.saveSession(Change(record.sid, sessionKey="bert", expectedVersion=9)),
            store.saveSession(Change(record.sid, sessionKey="bert", lastModified=late)),
            store.createSession(await self.newRecord(sid=record.sid, sessionKey="bert")),
        )
        assert await self.found(store, "anna") == [record.sid]
        assert await self.found(store, "bert") == []

    @promise
    async def test_withoutTheEnded(self, store: Store) -> None:
        """
        A session that was ended is found no more, and the others of its owner are.
        """
        ended = await self.newSession(store, sessionKey="anna")
        left = await self.newSession(store, sessionKey="anna")
        await store.deleteSession(ended.sid)
        assert await store.findSessions("anna") == [left]
        await outcomes(store.saveSession(Change(ended.sid, sessionKey="anna")))
        assert await store.findSessions("anna") == [left]

    @promise
    async def test_withoutTheClaimed(self, store: Store) -> None:
        """
        A session that a sweep has ended is found no more.
        """
        if not isProvided(ISessionSweep, store):
            return
        await self.newSession(store, sessionKey="anna")
        left = await self.newSession(store, sessionKey="anna", sessionTimeout=3 * TIMEOUT)
        await self.advance(TIMEOUT + 1)
        assert len((await store.claimExpired(10)).endings) == 1
        assert await store.findSessions("anna") == [left]

    @promise
    async def test_concurrentLogIns(self, store: Store) -> None:
        """
        Sessions that get the same owner at the same time are all found.
        """
        other = await self.another(store)
        records = [await self.newSession(store) for _ in range(20)]
        calls = [
            (store, other)[n % 2].saveSession(Change(record.sid, sessionKey="anna"))
            for n, record in enumerate(records)
        ]
        assert await outcomes(*calls) == [2] * 20
        assert set(await self.found(other, "anna")) == {record.sid for record in records}

    @promise
    async def test_concurrentOwners(self, store: Store) -> None:
        """
        A session whose owner changes many times at once is found under its last one.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        owners = [f"owner {number}" for number in range(20)]
        calls = [
            (store, other)[n % 2].saveSession(Change(record.sid, sessionKey=owner))
            for n, owner in enumerate(owners)
        ]
        await outcomes(*calls)
        last = (await store.loadSession(record.sid)).sessionKey
        assert last in owners
        assert [owner for owner in owners if await store.findSessions(owner)] == [last]
