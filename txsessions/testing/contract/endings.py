"""
Ends: told to one, remembered for a while, and final.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded, SessionNotFound
from ...interfaces import ISessionSweep
from ...lifetime import LOGOUT
from ...record import Change
from .harness import Contract, Store, isProvided, outcomes, promise, staysDead


class EndingContract(Contract):
    """
    Dead stays dead.
    """

    @promise
    async def test_final(self, store: Store) -> None:
        """
        A save that comes after the end of a session does not revive it.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        await staysDead(store, record, await self.now())

    @promise
    async def test_finalForOthers(self, store: Store) -> None:
        """
        A save through another handle does not revive a session either.
        """
        record = await self.newSession(store)
        other = await self.another(store)
        assert await other.loadSession(record.sid) == record
        await store.deleteSession(record.sid, LOGOUT)
        await staysDead(other, record, await self.now())

    @promise
    async def test_finalWhenForgotten(self, store: Store) -> None:
        """
        A save does not revive a session whose end is no longer remembered.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        await self.forgetEnds(store)
        await staysDead(store, record, await self.now())

    @promise
    async def test_remembered(self, store: Store) -> None:
        """
        An end is remembered for a minute at the least, with its reason.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        await self.advance(59)
        if isProvided(ISessionSweep, store):
            await store.claimExpired(100)
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT
        with pytest.raises(SessionEnded):
            await store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        assert await store.createSession(record) is False

    @promise
    async def test_endsAlone(self, store: Store) -> None:
        """
        The end of a session ends no other.
        """
        ended = await self.newSession(store, sessionKey="anna")
        left = await self.newSession(store, sessionKey="anna")
        await store.deleteSession(ended.sid)
        assert await store.loadSession(left.sid) == left

    @promise
    async def test_oneCaller(self, store: Store) -> None:
        """
        Of many who end a session at the same time exactly one gets its record.
        """
        other = await self.another(store)
        for _ in range(5):
            record = await self.newSession(store, attributes={"data:a": b"1"})
            calls = [handle.deleteSession(record.sid) for handle in (store, other) * 5]
            given = [answer for answer in await outcomes(*calls) if answer is not None]
            assert given == [record]

    @promise
    async def test_endsBetweenSaves(self, store: Store) -> None:
        """
        The record that an end gives holds each save that was acknowledged, and
        no other.
        """
        other = await self.another(store)
        for round_ in range(5):
            record = await self.newSession(store)
            changes = [Change(record.sid, set={f"data:{n}": b"%d" % n}) for n in range(20)]
            calls = []
            for number, change in enumerate(changes):
                if number == 4 * round_:
                    ending = store.deleteSession(record.sid)
                calls.append((store, other)[number % 2].saveSession(change))
            last, *answers = await outcomes(ending, *calls)
            saved: dict[str, bytes] = {}
            for change, answer in zip(changes, answers, strict=True):
                if isinstance(answer, int):
                    saved.update(change.set)
                else:
                    assert isinstance(answer, SessionNotFound)
            assert last.attributes == saved
            assert last.version == 1 + len(saved)
            await staysDead(other, record, await self.now())
