"""
The suites for L{IConnectedStore<txsessions.interfaces.IConnectedStore>} and for
stores that outlive the process.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded
from ...interfaces import IConnectedStore, ISessionIndex, ISessionSweep
from ...lifetime import LOGOUT
from ...record import Change, apply
from .harness import (
    TIMEOUT,
    Contract,
    Store,
    isProvided,
    outcomes,
    promise,
    provides,
    staysDead,
    touch,
)


class ConnectedContract(Contract):
    """
    A store that holds on to something lets go of it, and loses nothing by that.
    """

    @promise
    async def test_providesConnected(self, store: Store) -> None:
        """
        A store that can be closed provides IConnectedStore.
        """
        provides(store, IConnectedStore)

    @promise
    async def test_closeTwice(self, store: Store) -> None:
        """
        Closing a store again is no error, nor closing one that was never used.
        """
        assert await store.close() is None
        assert await store.close() is None
        await self.newSession(store)
        assert await outcomes(store.close(), store.close()) == [None, None]
        assert await store.close() is None

    @promise
    async def test_closeFinishes(self, store: Store) -> None:
        """
        What was asked for before the close is answered, and stored.
        """
        record = await self.newSession(store)
        changes = [Change(record.sid, set={f"data:{n}": b"1"}) for n in range(20)]
        calls = [store.saveSession(change) for change in changes]
        await store.close()
        other = await self.another(store)
        assert len((await other.loadSession(record.sid)).attributes) == 20
        assert await outcomes(*calls) == list(range(2, 22))

    @promise
    async def test_opensAgain(self, store: Store) -> None:
        """
        An operation on a closed store opens it.
        """
        record = await self.newSession(store)
        for _ in range(2):
            await store.close()
            assert await store.loadSession(record.sid) == record
        await store.close()
        change = Change(record.sid, set={"data:a": b"1"})
        assert await store.saveSession(change) == 2
        assert await store.loadSession(record.sid) == apply(record, change)

    @promise
    async def test_opensWhileClosing(self, store: Store) -> None:
        """
        An operation that is asked for while the store closes is done all the same.
        """
        record = await self.newSession(store)
        closed, loaded, version = await outcomes(
            store.close(),
            store.loadSession(record.sid),
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
        )
        assert (closed, loaded, version) == (None, record, 2)
        assert (await store.loadSession(record.sid)).attributes == {"data:a": b"1"}


class DurabilityContract(Contract):
    """
    What a store has acknowledged is there after it was opened anew (hook:
    C{reopen}).
    """

    @promise
    async def test_keepsSessions(self, store: Store) -> None:
        """
        A created session, its changes and its touches outlive the process.
        """
        untouched = await self.newSession(store, attributes={"data:a": b"1"})
        record = await self.newSession(store, sessionKey="anna", absoluteTimeout=86400.5)
        change = Change(record.sid, set={"data:b": b"2"}, verifier=b"1" * 32)
        await store.saveSession(change)
        moved = touch(record, record.lastModified + 0.25)
        await store.saveSession(moved)
        store = await self.reopened(store)
        assert await store.loadSession(untouched.sid) == untouched
        record = apply(apply(record, change), moved)
        assert await store.loadSession(record.sid) == record
        assert await store.saveSession(Change(record.sid, sessionKey="bert")) == 3

    @promise
    async def test_keepsEnds(self, store: Store) -> None:
        """
        A session that has ended is dead after a restart, and why is known.
        """
        record = await self.newSession(store, sessionKey="anna")
        await store.deleteSession(record.sid, LOGOUT)
        store = await self.reopened(store)
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT
        assert await store.createSession(record) is False
        await staysDead(store, record, await self.now())

    @promise
    async def test_keepsIndex(self, store: Store) -> None:
        """
        The sessions of an owner are found after a restart.
        """
        record = await self.newSession(store)
        change = Change(record.sid, sessionKey="a:\u00e9")
        await store.saveSession(change)
        store = await self.reopened(store)
        assert await store.loadSession(record.sid) == apply(record, change)
        if isProvided(ISessionIndex, store):
            assert await store.findSessions("a:\u00e9") == [apply(record, change)]

    @promise
    async def test_keepsDeadlines(self, store: Store) -> None:
        """
        What expires is claimed after a restart, and what was touched is not.
        """
        expiring = await self.newSession(store)
        touched = await self.newSession(store)
        await self.advance(TIMEOUT - 1)
        await store.saveSession(touch(touched, await self.now()))
        store = await self.reopened(store)
        assert await store.loadSession(expiring.sid) == expiring
        if isProvided(ISessionSweep, store):
            assert list((await store.claimExpired(10)).endings) == []
            await self.advance(2)
            endings = (await store.claimExpired(10)).endings
            assert [ending.record for ending in endings] == [expiring]
            store = await self.reopened(store)
            assert list((await store.claimExpired(10)).endings) == []
            await staysDead(store, expiring, await self.now())
