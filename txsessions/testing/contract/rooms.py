"""
How many sessions an owner may have: the oldest make room, or nobody is let in.
"""

from __future__ import annotations

from typing import Any

import pytest

from ...errors import SessionEnded, SessionNotFound, TooManySessions, VersionConflict
from ...interfaces import ISessionSweep
from ...lifetime import EVICTED
from ...limit import REFUSE, SessionLimit
from ...record import Change
from ...stores.claim import Ending
from .harness import TIMEOUT, Store, isProvided, outcomes, promise, staysDead
from .logins import LogInContract, logIn, sidsOf

CROWD = 30
"""
How many log in at the same time.
"""


class RoomContract(LogInContract):
    """
    At no moment has an owner more live sessions than the limit says.
    """

    @promise
    async def test_evictsOldest(self, store: Store) -> None:
        """
        Those make room that logged in longest ago, and not those that began or were
        used longest ago; they come with their last records.
        """
        now = await self.now()
        one = await self.loggedIn(store, created=now - 9, at=now - 1)
        two = await self.loggedIn(store, created=now - 5, at=now - 4)
        three = await self.loggedIn(store, created=now - 7, at=now - 2)
        other = await self.loggedIn(store, "bert", created=now - 99, at=now - 99)
        await store.saveSession(Change(two.sid, set={"data:a": b"1"}, lastModified=now))
        last = await store.loadSession(two.sid)
        comer = await self.newSession(store)
        answer = await store.logInSession(logIn(comer, at=now), SessionLimit(3))
        assert list(answer.evicted) == [Ending(last, EVICTED)]
        assert set(await self.sessionsOf(store)) == {one.sid, three.sid, comer.sid}
        assert await self.sessionsOf(store, "bert") == [other.sid]
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(two.sid)
        assert caught.value.reason == EVICTED
        await staysDead(store, last, now)

    @promise
    async def test_evictsByAge(self, store: Store) -> None:
        """
        A session of which nobody knows when it logged in did so when it began.
        """
        now = await self.now()
        one = await self.loggedIn(store, created=now - 9, at=now - 3)
        two = await self.loggedIn(store, created=now - 4)
        comer = await self.newSession(store)
        answer = await store.logInSession(logIn(comer), SessionLimit(2))
        assert sidsOf(answer.evicted) == [two.sid]
        assert set(await self.sessionsOf(store)) == {one.sid, comer.sid}

    @promise
    async def test_evictsSeveral(self, store: Store) -> None:
        """
        Where there are far more than the limit says, as many end as have to, those
        first that logged in first.
        """
        now = await self.now()
        records = [await self.loggedIn(store, created=now - n, at=now - n) for n in range(1, 8)]
        comer = await self.newSession(store)
        answer = await store.logInSession(logIn(comer, at=now), SessionLimit(3))
        assert list(answer.evicted) == [Ending(record, EVICTED) for record in records[:1:-1]]
        assert set(await self.sessionsOf(store)) == {comer.sid, records[0].sid, records[1].sid}

    @promise
    async def test_logInAgain(self, store: Store) -> None:
        """
        A session that logs in again needs no further room, however old it is, and is
        the youngest then.
        """
        now = await self.now()
        first = await self.loggedIn(store, created=now - 9, at=now - 9)
        second = await self.loggedIn(store, created=now - 5, at=now - 5)
        for limit in (SessionLimit(2), SessionLimit(2, REFUSE)):
            answer = await store.logInSession(logIn(first, at=now - 1), limit)
            assert list(answer.evicted) == []
        comer = await self.newSession(store)
        answer = await store.logInSession(logIn(comer, at=now), SessionLimit(2))
        assert sidsOf(answer.evicted) == [second.sid]
        assert set(await self.sessionsOf(store)) == {first.sid, comer.sid}

    @promise
    async def test_refuses(self, store: Store) -> None:
        """
        Where nobody makes room a further log-in fails with the maximum, and nothing is
        changed.
        """
        limit = SessionLimit(2, REFUSE)
        records = [await self.newSession(store) for _ in range(3)]
        for record in records[:2]:
            assert list((await store.logInSession(logIn(record), limit)).evicted) == []
        before = await store.findSessions("anna")
        with pytest.raises(TooManySessions) as caught:
            await store.logInSession(logIn(records[2]), limit)
        assert caught.value.maximum == 2
        assert await store.findSessions("anna") == before
        assert await store.loadSession(records[2].sid) == records[2]
        assert (await store.logInSession(logIn(records[2], "bert"), limit)).version == 2

    @promise
    async def test_roomAfterLogOut(self, store: Store) -> None:
        """
        A session that has ended, or has another owner or none by now, leaves its place
        to others.
        """
        limit = SessionLimit(3, REFUSE)
        records = [await self.newSession(store) for _ in range(7)]
        for record in records[:3]:
            await store.logInSession(logIn(record), limit)
        await store.deleteSession(records[0].sid)
        await store.saveSession(Change(records[1].sid, sessionKey=None))
        await store.logInSession(logIn(records[2], "bert"), limit)
        for record in records[3:6]:
            assert (await store.logInSession(logIn(record), limit)).version == 2
        with pytest.raises(TooManySessions):
            await store.logInSession(logIn(records[6]), limit)

    @promise
    async def test_roomAfterSweep(self, store: Store) -> None:
        """
        A session that a sweep has ended leaves its place to others.
        """
        if not isProvided(ISessionSweep, store):
            return
        limit = SessionLimit(1, REFUSE)
        await store.logInSession(logIn(await self.newSession(store)), limit)
        comer = await self.newSession(store, sessionTimeout=9 * TIMEOUT)
        await self.advance(TIMEOUT + 1)
        assert len((await store.claimExpired(10)).endings) == 1
        assert (await store.logInSession(logIn(comer), limit)).version == 2

    @promise
    async def test_refusedEvictsNobody(self, store: Store) -> None:
        """
        A log-in that fails ends no other session, whatever it fails by.
        """
        now = await self.now()
        full = [await self.loggedIn(store, created=now - n, at=now - n) for n in (3, 2)]
        ended = await self.newSession(store)
        await store.deleteSession(ended.sid)
        comer = await self.newSession(store)
        for change, error in (
            (logIn(ended), SessionEnded),
            (logIn(await self.newRecord()), SessionNotFound),
            (logIn(comer, expectedVersion=9), VersionConflict),
            (logIn(comer, expectedVerifier=b"w" * 32), VersionConflict),
            (logIn(comer, lastModified=comer.lastModified + TIMEOUT), SessionEnded),
        ):
            with pytest.raises(error):
                await store.logInSession(change, SessionLimit(2))
            assert await store.findSessions("anna") == full
        assert await store.loadSession(comer.sid) == comer

    async def crowd(self, store: Store, limit: SessionLimit) -> tuple[list[Any], list[Any]]:
        """
        Many log in at the same time, through two handles, while others look.

        @return: The records before, and what came of the log-ins.
        """
        other = await self.another(store)
        now = await self.now()
        records = [await self.newSession(store) for _ in range(CROWD)]
        logIns, looks = [], []
        for number, record in enumerate(records):
            one, two = (store, other) if number % 2 else (other, store)
            logIns.append(one.logInSession(logIn(record, at=now + number), limit))
            looks.append(two.findSessions("anna"))
        answers = await outcomes(*logIns)
        for found in await outcomes(*looks):
            assert len(found) <= limit.maximum, sidsOf(found)
        return records, answers

    @promise
    async def test_crowdEvicts(self, store: Store) -> None:
        """
        However many log in at the same time, nobody ever sees more than the limit;
        each that had to make room has ended and is given to exactly one caller.
        """
        records, answers = await self.crowd(store, SessionLimit(3))
        assert {answer.version for answer in answers} == {2}
        evicted = [ending for answer in answers for ending in answer.evicted]
        assert {ending.reason for ending in evicted} == {EVICTED}
        left = await store.findSessions("anna")
        assert len(left) == 3
        assert sorted(sidsOf(evicted) + sidsOf(left)) == sorted(sidsOf(records))
        for ending in evicted:
            assert ending.record.sessionKey == "anna"
            (gone,) = await outcomes(store.loadSession(ending.record.sid))
            assert isinstance(gone, SessionEnded) and gone.reason == EVICTED

    @promise
    async def test_crowdIsRefused(self, store: Store) -> None:
        """
        However many log in at the same time, exactly as many are let in as there is
        room for, and the others are as before.
        """
        records, answers = await self.crowd(store, SessionLimit(3, REFUSE))
        refused = [isinstance(answer, TooManySessions) for answer in answers]
        assert refused.count(False) == 3
        left = await self.sessionsOf(store)
        for record, isRefused in zip(records, refused, strict=True):
            assert (record.sid in left) is not isRefused
            if isRefused:
                assert await store.loadSession(record.sid) == record

    @promise
    async def test_crowdLogsInAgain(self, store: Store) -> None:
        """
        Sessions that make room for each other, and log in again at the same time,
        come to an end, and no more than the limit are left.
        """
        other = await self.another(store)
        now = await self.now()
        records = [await self.newSession(store) for _ in range(6)]
        calls = []
        for round_ in range(4):
            for number, record in enumerate(records):
                handle = (store, other)[(number + round_) % 2]
                calls.append(handle.logInSession(logIn(record, at=now), SessionLimit(2)))
                calls.append(handle.findSessions("anna"))
        answers = await outcomes(*calls)
        given: list[str] = []
        for answer in answers[::2]:
            if isinstance(answer, SessionEnded):
                assert answer.reason == EVICTED
            else:
                given += sidsOf(answer.evicted)
        assert max(map(len, answers[1::2])) <= 2
        left = await self.sessionsOf(store)
        assert len(left) == 2
        assert sorted(given + left) == sorted(sidsOf(records))
