"""
When a session is claimed: never early, at its deadline, for the right reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ...lifetime import ABSOLUTE, IDLE, deadline
from ...record import Change, apply
from ...stores import Claim
from ...stores.claim import Ending
from .harness import TIMEOUT, Contract, Store, promise, touch

ROUNDS = 1000
"""
After so many calls of C{claimExpired} a sweep that still has not caught up
never will.
"""


class DeadlineContract(Contract):
    """
    A sweep ends what has expired, and nothing that has not.
    """

    async def claimAll(self, store: Store, limit: int = 100) -> list[Ending]:
        """
        Claim until nothing is due any more.
        """
        endings: list[Ending] = []
        for _ in range(ROUNDS):
            claim = await store.claimExpired(limit)
            assert isinstance(claim, Claim)
            assert len(claim.endings) <= limit
            endings.extend(claim.endings)
            if claim.nextDeadline is None or claim.nextDeadline > await self.now():
                return endings
        raise AssertionError(f"more is said to be due after {ROUNDS} claims")

    @promise
    async def test_moment(self, store: Store) -> None:
        """
        A session lives a second before its deadline, and has ended at the very moment.
        """
        now = await self.now()
        records = [
            await self.newSession(store, lastModified=now - TIMEOUT + left)
            for left in (-1, 0, 1, 2)
        ]
        before = await self.now() - self.tolerance
        claimed = {ending.record.sid for ending in await self.claimAll(store)}
        after = await self.now() + self.tolerance
        for record in records:
            if deadline(record) <= before:
                assert record.sid in claimed
            if deadline(record) > after:
                assert record.sid not in claimed
                assert await store.hasSession(record.sid) is True

    @promise
    async def test_secondBySecond(self, store: Store) -> None:
        """
        As time passes a session is claimed at its deadline, and not before.
        """
        record = await self.newSession(store)
        await self.advance(TIMEOUT - 1)
        assert await self.claimAll(store) == []
        assert await store.loadSession(record.sid) == record
        await self.advance(1 + self.tolerance)
        assert await self.claimAll(store) == [Ending(record, IDLE)]
        assert await self.claimAll(store) == []

    @promise
    async def test_reasons(self, store: Store) -> None:
        """
        An ending says which of the two time-outs it was, the one that passed first.
        """
        now = await self.now()
        old = {"created": now - 2 * TIMEOUT, "absoluteTimeout": TIMEOUT * 1.5}
        expected = {
            (await self.newSession(store, lastModified=now - 2 * TIMEOUT)).sid: IDLE,
            (await self.newSession(store, lastModified=now, **old)).sid: ABSOLUTE,
            (await self.newSession(store, lastModified=now - TIMEOUT * 1.9, **old)).sid: IDLE,
            (await self.newSession(store, lastModified=now - TIMEOUT * 1.1, **old)).sid: ABSOLUTE,
        }
        endings = await self.claimAll(store)
        assert {ending.record.sid: ending.reason for ending in endings} == expected

    @promise
    async def test_touched(self, store: Store) -> None:
        """
        A session that was touched in time lives on, until its new deadline.
        """
        record = await self.newSession(store)
        for _ in range(3):
            await self.advance(TIMEOUT - 1)
            change = touch(record, await self.now())
            await store.saveSession(change)
            record = apply(record, change)
            assert await self.claimAll(store) == []
        await self.advance(TIMEOUT - 1)
        assert await self.claimAll(store) == []
        await self.advance(2)
        assert await self.claimAll(store) == [Ending(record, IDLE)]

    @promise
    async def test_touchesDoNotExtendTheAbsolute(self, store: Store) -> None:
        """
        Neither touches nor reworks carry a session over its absolute limit.
        """
        record = await self.newSession(store, absoluteTimeout=1.5 * TIMEOUT)
        await self.advance(TIMEOUT - 1)
        await store.saveSession(touch(record, await self.now()))
        await store.saveSession(Change(record.sid, verifier=b"1" * 32))
        await self.advance(0.5 * TIMEOUT)
        assert await self.claimAll(store) == []
        await self.advance(2)
        (ending,) = await self.claimAll(store)
        assert (ending.record.sid, ending.reason) == (record.sid, ABSOLUTE)

    @promise
    async def test_changedTimeouts(self, store: Store) -> None:
        """
        A time-out that was shortened, lengthened, set or removed counts from then on.
        """
        lived: dict[str, float] = {}
        for facts, change, seconds in (
            ({}, {"sessionTimeout": TIMEOUT / 2}, 900.0),
            ({}, {"sessionTimeout": TIMEOUT * 2}, 3600.0),
            ({}, {"absoluteTimeout": TIMEOUT / 3}, 600.0),
            ({"absoluteTimeout": TIMEOUT / 3}, {"absoluteTimeout": None}, TIMEOUT),
            ({"absoluteTimeout": TIMEOUT / 3}, {"absoluteTimeout": TIMEOUT / 2}, 900.0),
            ({"absoluteTimeout": TIMEOUT * 3}, {"sessionTimeout": TIMEOUT * 4}, 5400.0),
        ):
            record = await self.newSession(store, **facts)
            await store.saveSession(Change(record.sid, **change))
            lived[record.sid] = seconds
        start, passed = await self.now(), 0.0
        for seconds in sorted(set(lived.values())):
            await self.advance(seconds - 1 - passed)
            assert await self.claimAll(store) == []
            await self.advance(2)
            passed = seconds + 1
            claimed = {ending.record.sid for ending in await self.claimAll(store)}
            assert claimed == {sid for sid, end in lived.items() if end == seconds}
        assert await self.now() >= start + passed

    @promise
    async def test_nextDeadline(self, store: Store) -> None:
        """
        A claim says until when nothing more is due, and never too late a moment.
        """
        first, second, third = [
            await self.newSession(store, sessionTimeout=left) for left in (60.0, 600.0, 6000.0)
        ]
        claim = await store.claimExpired(10)
        assert list(claim.endings) == []
        assert claim.nextDeadline == pytest.approx(deadline(first), abs=self.tolerance + 1e-3)
        shortened = Change(third.sid, sessionTimeout=30.0)
        await store.saveSession(shortened)
        claim = await store.claimExpired(10)
        assert claim.nextDeadline <= deadline(apply(third, shortened)) + self.tolerance
        await self.advance(61 + self.tolerance)
        assert len(await self.claimAll(store)) == 2
        claim = await store.claimExpired(10)
        assert claim.nextDeadline <= deadline(second) + self.tolerance

    @promise
    async def test_nextDeadlineMovesOn(self, store: Store) -> None:
        """
        After a touch the next deadline is found, without claims that never end.
        """
        record = await self.newSession(store)
        await self.advance(TIMEOUT - 1)
        touched = touch(record, await self.now())
        await store.saveSession(touched)
        await self.advance(2)
        assert await self.claimAll(store) == []
        claim = await store.claimExpired(10)
        assert await self.now() < claim.nextDeadline
        assert claim.nextDeadline <= deadline(apply(record, touched)) + self.tolerance


def sidsOf(endings: Sequence[Ending]) -> list[str]:
    """
    The handles of the sessions that have ended.
    """
    return [ending.record.sid for ending in endings]
