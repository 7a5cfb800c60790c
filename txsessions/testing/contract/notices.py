"""
The suite for L{ISessionNotices<txsessions.interfaces.ISessionNotices>}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.task import Clock

from ...interfaces import (
    ISessionNotices,
    ISessionOwners,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ...lifetime import EVICTED, IDLE, LOGOUT, REVOKED
from ...limit import SessionLimit
from .harness import TIMEOUT, Contract, Store, aMoment, isProvided, outcomes, promise, provides
from .logins import logIn

ROUNDS = 10
"""
How often the tests look at the least for something that they wait for.
"""


class Ear:
    """
    Somebody who hears of endings.

    @ivar heard: Pairs of a C{sid} and a reason; one may be there twice.
    @ivar missed: How often some may have been missed.
    @ivar stop: Hear no more.
    """

    def __init__(self, store: Store) -> None:
        self.heard: list[tuple[str, str]] = []
        self.missed = 0
        self.stop: Callable[[], None] = store.watchEndings(self._ended, self._missed)

    def _ended(self, sid: str, reason: str) -> None:
        """
        A session has ended.
        """
        self.heard.append((sid, reason))

    def _missed(self) -> None:
        """
        Some may have ended.
        """
        self.missed += 1


class NoticesContract(Contract):
    """
    What a store owes that says at once what ends.

    @cvar noticeDelay: How long it may take until all have heard, in seconds, of
        real time and of the clock's.
    """

    noticeDelay: float = 0.0

    async def within(self, condition: Callable[[], bool]) -> bool:
        """
        Wait until that is so, for as long as a notice may take; whether it is.
        """
        rounds = max(ROUNDS, round(100 * self.noticeDelay))
        for _ in range(rounds):
            if condition():
                return True
            await self.advance(self.noticeDelay / rounds)
            await aMoment()
        return condition()

    async def ears(self, *stores: Store) -> list[Ear]:
        """
        Begin to watch through each of these handles, and wait until all hear.
        """
        ears = [Ear(store) for store in stores]
        for ear in ears:
            for _ in range(ROUNDS):
                record = await self.newSession(stores[0])
                await stores[0].deleteSession(record.sid)
                if await self.within(partial(bool, ear.heard)):
                    break
            assert ear.heard, "nothing is heard of the end of a session"
        return ears

    async def checkHeard(self, ears: list[Ear], expected: set[tuple[str, str]]) -> None:
        """
        Check that all hear of just these endings, in time.
        """
        for ear in ears:
            await self.within(partial(expected.issubset, ear.heard))
            mine = {sid for sid, _ in expected}
            assert {(sid, reason) for sid, reason in ear.heard if sid in mine} == expected

    @promise
    async def test_providesNotices(self, store: Store) -> None:
        """
        A store that says what ends provides ISessionNotices.
        """
        provides(store, ISessionNotices)

    @promise
    async def test_hearsDeleted(self, store: Store) -> None:
        """
        A session that is ended through one handle is heard of, with its reason,
        through every handle, and what lives on is not.
        """
        other = await self.another(store)
        ears = await self.ears(store, other, store)
        left = await self.newSession(store, sessionKey="anna")
        for handle in (store, other):
            record = await self.newSession(store, sessionKey="anna")
            await handle.deleteSession(record.sid, LOGOUT)
            await self.checkHeard(ears, {(record.sid, LOGOUT)})
        assert all(left.sid not in dict(ear.heard) for ear in ears)
        for ear in ears:
            ear.stop()

    @promise
    async def test_hearsExpired(self, store: Store) -> None:
        """
        A session that a sweep ends is heard of.
        """
        if not isProvided(ISessionSweep, store):
            return
        other = await self.another(store)
        ears = await self.ears(store, other)
        records = [await self.newSession(store) for _ in range(5)]
        await self.advance(TIMEOUT + 1)
        for _ in range(5):
            await outcomes(store.claimExpired(2), other.claimExpired(2))
        await self.checkHeard(ears, {(record.sid, IDLE) for record in records})
        for ear in ears:
            ear.stop()

    @promise
    async def test_hearsOwners(self, store: Store) -> None:
        """
        Sessions that make room, that end with all of their owner, or whose log-in
        comes too late are heard of.
        """
        if not isProvided(ISessionOwners, store):
            return
        other = await self.another(store)
        ears = await self.ears(store, other)
        now = await self.now()
        evicted = await self.newSession(store, sessionKey="anna", created=now - 9)
        record, late = [await self.newSession(store) for _ in range(2)]
        await other.logInSession(logIn(record), SessionLimit(1))
        await self.checkHeard(ears, {(evicted.sid, EVICTED)})
        before = await self.now() - self.tolerance - 1
        await store.endSessions("anna", LOGOUT)
        await outcomes(other.logInSession(logIn(late, at=before)))
        await self.checkHeard(ears, {(record.sid, LOGOUT), (late.sid, REVOKED)})
        for ear in ears:
            ear.stop()

    @promise
    async def test_hearsOld(self, store: Store) -> None:
        """
        Sessions that people delete for their age are heard of.
        """
        if not isProvided(ISessionStoreAdministration, store):
            return
        other = await self.another(store)
        ears = await self.ears(store, other)
        now = await self.now()
        old = [await self.newSession(store, lastModified=now - 900) for _ in range(3)]
        await store.deleteOldSessions(10)
        await self.checkHeard(ears, {(record.sid, IDLE) for record in old})
        for ear in ears:
            ear.stop()

    @promise
    async def test_hearsMany(self, store: Store) -> None:
        """
        Of many endings at once each is heard of.
        """
        other = await self.another(store)
        (ear,) = await self.ears(other)
        records = [await self.newSession(store) for _ in range(200)]
        await outcomes(*(store.deleteSession(record.sid, LOGOUT) for record in records))
        await self.checkHeard([ear], {(record.sid, LOGOUT) for record in records})
        ear.stop()

    @promise
    async def test_hearsNoMore(self, store: Store) -> None:
        """
        Whoever stops hears no more, at once; others do; to stop twice is no error; and
        whoever watches again hears again.
        """
        other = await self.another(store)
        ears = await self.ears(store, other, other)
        ears[0].stop()
        ears[1].stop()
        ears[1].stop()
        count = [len(ear.heard) for ear in ears]
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        await self.checkHeard(ears[2:], {(record.sid, REVOKED)})
        assert [len(ear.heard) for ear in ears[:2]] == count[:2]
        ears[2].stop()
        (again,) = await self.ears(other)
        again.stop()

    @promise
    async def test_stopsWhileHearing(self, store: Store) -> None:
        """
        Whoever hears may stop, watch anew and use the store.
        """
        answers: list[Any] = []
        later: list[Ear] = []

        def ended(sid: str, reason: str) -> None:
            if not later:
                later.append(Ear(store))
                stop()
                answers.append(store.hasSession(sid))

        ears = await self.ears(store)
        stop = store.watchEndings(ended, lambda: None)
        for _ in range(ROUNDS):
            await store.deleteSession((await self.newSession(store)).sid)
            if await self.within(lambda: bool(answers)):
                break
        assert await outcomes(*answers) == [False]
        ears += later + await self.ears(store)
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        await self.checkHeard(ears, {(record.sid, REVOKED)})
        for ear in ears:
            ear.stop()

    @promise
    async def test_raisesWhileHearing(self, store: Store) -> None:
        """
        Whoever raises when he hears hurts neither the others nor who ends the session.
        """

        def raises(*ending: str) -> None:
            raise RuntimeError("the test raises")

        stop = store.watchEndings(raises, raises)
        ears = await self.ears(store)
        stopAnother = store.watchEndings(raises, raises)
        record = await self.newSession(store)
        assert await store.deleteSession(record.sid, LOGOUT) == record
        await self.checkHeard(ears, {(record.sid, LOGOUT)})
        stop()
        stopAnother()
        ears[0].stop()

    @promise
    async def test_nothingLeftBehind(self, store: Store) -> None:
        """
        When nobody watches any more, nothing is left that waits on the clock.
        """
        await store.deleteSession((await self.newSession(store)).sid)
        clock = self.clock
        before = len(clock.getDelayedCalls()) if isinstance(clock, Clock) else 0
        for ear in await self.ears(store, store):
            ear.stop()
        await aMoment()
        after = len(clock.getDelayedCalls()) if isinstance(clock, Clock) else 0
        assert after <= before
