"""
The suite for L{ISessionSweep<txsessions.interfaces.ISessionSweep>}.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded
from ...interfaces import ISessionSweep
from ...lifetime import IDLE, LOGOUT
from ...record import Change
from ...stores import Claim
from ...stores.claim import Ending
from .deadlines import ROUNDS, DeadlineContract, sidsOf
from .harness import TIMEOUT, Store, outcomes, promise, provides, staysDead, touch


class SweepContract(DeadlineContract):
    """
    What a sweep claims has ended for good, and each goes to exactly one caller.
    """

    @promise
    async def test_providesSweep(self, store: Store) -> None:
        """
        A store that sweeps provides ISessionSweep.
        """
        provides(store, ISessionSweep)

    @promise
    async def test_nothingToClaim(self, store: Store) -> None:
        """
        An empty store has nothing to claim, and no deadline ahead.
        """
        claim = await store.claimExpired(10)
        assert (list(claim.endings), claim.nextDeadline) == ([], None)

    @promise
    async def test_lastRecord(self, store: Store) -> None:
        """
        An ending holds the last record, with all that was saved.
        """
        record = await self.newSession(store, sessionKey="anna", attributes={"data:a": b"1"})
        await store.saveSession(Change(record.sid, set={"data:b": b"2"}, verifier=b"1" * 32))
        last = await store.loadSession(record.sid)
        await self.advance(TIMEOUT + 1)
        assert await self.claimAll(store) == [Ending(last, IDLE)]

    @promise
    async def test_claimedHasEnded(self, store: Store) -> None:
        """
        A claimed session has ended, for the reason that the claim gives, for good.
        """
        record = await self.newSession(store, sessionKey="anna")
        other = await self.another(store)
        await self.advance(TIMEOUT + 1)
        await self.claimAll(store)
        for handle in (store, other):
            with pytest.raises(SessionEnded) as caught:
                await handle.loadSession(record.sid)
            assert (caught.value.sid, caught.value.reason) == (record.sid, IDLE)
            assert await handle.createSession(record) is False
            await staysDead(handle, record, await self.now())

    @promise
    async def test_claimedIsRemembered(self, store: Store) -> None:
        """
        The end of a claimed session is remembered for a minute at the least.
        """
        record = await self.newSession(store)
        await self.advance(TIMEOUT + 1)
        await self.claimAll(store)
        await self.advance(59)
        await store.claimExpired(10)
        with pytest.raises(SessionEnded):
            await store.saveSession(Change(record.sid, set={"data:a": b"1"}))

    @promise
    async def test_claimedStaysDeadWhenForgotten(self, store: Store) -> None:
        """
        A save does not revive a claimed session whose end is remembered no longer.
        """
        record = await self.newSession(store)
        await self.advance(TIMEOUT + 1)
        await self.claimAll(store)
        await self.forgetEnds(store)
        await staysDead(store, record, await self.now())

    @promise
    async def test_endedIsNotClaimed(self, store: Store) -> None:
        """
        A session that was ended before its deadline is not claimed at it.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        await self.advance(TIMEOUT + 1)
        assert await self.claimAll(store) == []
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT

    @promise
    async def test_limitAndOrder(self, store: Store) -> None:
        """
        At most so many are claimed at once as are asked for, the longest overdue first.
        """
        now = await self.now()
        ages = [7, 3, 9, 1, 8, 2, 6, 4, 5, 0]
        sids = {
            age: (await self.newSession(store, lastModified=now - TIMEOUT - 10 * age - 1)).sid
            for age in ages
        }
        claims = [await store.claimExpired(limit) for limit in (1, 3, 3)]
        assert [len(claim.endings) for claim in claims] == [1, 3, 3]
        assert claims[-1].nextDeadline is not None
        assert claims[-1].nextDeadline <= now
        endings = [ending for claim in claims for ending in claim.endings]
        endings += await self.claimAll(store, limit=1)
        assert sidsOf(endings) == [sids[age] for age in sorted(ages, reverse=True)]

    @promise
    async def test_orderOfTouched(self, store: Store) -> None:
        """
        Those that were touched come in the order of the deadlines which that gave them.
        """
        now = await self.now()
        first = await self.newSession(store, lastModified=now)
        second = await self.newSession(store, lastModified=now + 10)
        third = await self.newSession(store, lastModified=now + 30)
        await store.saveSession(touch(first, now + 20))
        await self.advance(TIMEOUT + 60)
        assert sidsOf(await self.claimAll(store)) == [second.sid, first.sid, third.sid]

    @promise
    async def test_oneClaimer(self, store: Store) -> None:
        """
        Of many who claim at the same time each session goes to exactly one.
        """
        other = await self.another(store)
        now = await self.now()
        records = [await self.newRecord(lastModified=now - TIMEOUT - n - 1) for n in range(200)]
        await outcomes(*(store.createSession(record) for record in records))
        claimed: list[str] = []
        for _ in range(ROUNDS):
            claims = await outcomes(*(h.claimExpired(10) for h in (store, other) * 4))
            sids = [sid for claim in claims for sid in sidsOf(claim.endings)]
            claimed += sids
            if not sids and all(claim.nextDeadline is None for claim in claims):
                break
        assert sorted(claimed) == sorted(record.sid for record in records)

    @promise
    async def test_claimAgainstDelete(self, store: Store) -> None:
        """
        A session that is claimed and ended at the same time is given to one of the two.
        """
        other = await self.another(store)
        records = [await self.newSession(store) for _ in range(40)]
        await self.advance(TIMEOUT + 1)
        calls = [store.claimExpired(10)]
        calls += [other.deleteSession(record.sid) for record in records[:20:2]]
        calls += [other.claimExpired(10), store.claimExpired(10)]
        calls += [other.deleteSession(record.sid) for record in records[20::2]]
        given: list[str] = []
        for answer in await outcomes(*calls):
            if isinstance(answer, Claim):
                given += sidsOf(answer.endings)
            elif answer is not None:
                given.append(answer.sid)
        given += sidsOf(await self.claimAll(store))
        assert sorted(given) == sorted(record.sid for record in records)

    @promise
    async def test_claimAgainstTouch(self, store: Store) -> None:
        """
        A touch in time that meets a sweep saves the session, or is told of its end.
        """
        other = await self.another(store)
        records = [await self.newSession(store) for _ in range(40)]
        await self.advance(TIMEOUT - 1)
        moment = await self.now()
        await self.advance(2)
        calls, claiming = [], []
        for number, record in enumerate(records):
            if number in (10, 30):
                claiming.append(store.claimExpired(10))
            calls.append(other.saveSession(touch(record, moment)))
        one, two, *answers = await outcomes(*claiming, *calls)
        claims = (one, two)
        claimed = {sid for claim in claims for sid in sidsOf(claim.endings)}
        claimed |= set(sidsOf(await self.claimAll(store)))
        for record, answer in zip(records, answers, strict=True):
            assert (record.sid in claimed) == isinstance(answer, SessionEnded)
            assert (record.sid in claimed) != (answer == 1)
            assert await store.hasSession(record.sid) is (answer == 1)
