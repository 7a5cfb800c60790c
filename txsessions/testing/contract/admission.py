"""
A log-in: a save that gives the session an owner.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded, SessionNotFound, VersionConflict
from ...lifetime import LOGOUT
from ...limit import SessionLimit
from ...record import Change, apply
from ...stores.claim import LogIn
from .harness import TIMEOUT, Store, outcomes, promise, staysDead
from .index import OWNERS
from .logins import LogInContract, logIn


class AdmissionContract(LogInContract):
    """
    A log-in does what a save does, and answers as a save does.
    """

    @promise
    async def test_logInSaves(self, store: Store) -> None:
        """
        A log-in merges like a save, counts as one version, and fires with a LogIn
        that has that version and has evicted nobody.
        """
        record = await self.newSession(store, attributes={"data:a": b"1", "data:b": b"2"})
        change = logIn(
            record,
            at=record.created + 0.5,
            set={"data:c": b"3"},
            unset=frozenset(["data:b"]),
            lastModified=record.lastModified + 1,
            sessionTimeout=60.0,
            absoluteTimeout=86400.0,
        )
        answer = await store.logInSession(change)
        assert isinstance(answer, LogIn)
        assert (answer.version, list(answer.evicted)) == (2, [])
        loaded = await store.loadSession(record.sid)
        assert loaded == apply(record, change)
        assert loaded.authenticatedAt == record.created + 0.5
        assert await store.findSessions("anna") == [loaded]

    @promise
    async def test_logInWithLimitSaves(self, store: Store) -> None:
        """
        A log-in for which there is room is the same with a limit.
        """
        record = await self.newSession(store)
        change = logIn(record, at=record.created, set={"data:a": b"1"})
        answer = await store.logInSession(change, SessionLimit(1))
        assert (answer.version, list(answer.evicted)) == (2, [])
        assert await store.findSessions("anna") == [apply(record, change)]

    @promise
    async def test_logInAtExpectedVersion(self, store: Store) -> None:
        """
        A log-in that expects a version or a verifier is made only to that.
        """
        record = await self.newSession(store)
        for wrong in (
            logIn(record, expectedVersion=2),
            logIn(record, expectedVerifier=b"w" * 32),
            logIn(record, expectedVersion=1, expectedVerifier=b"w" * 32),
        ):
            with pytest.raises(VersionConflict):
                await store.logInSession(wrong)
            assert await store.loadSession(record.sid) == record
        right = logIn(record, expectedVersion=1, expectedVerifier=record.verifier)
        assert (await store.logInSession(right)).version == 2

    @promise
    async def test_logInOnce(self, store: Store) -> None:
        """
        Of many log-ins that expect one verifier exactly one is made.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        changes = [
            logIn(record, f"owner {n}", verifier=bytes([n]) * 32, expectedVerifier=record.verifier)
            for n in range(100, 110)
        ]
        calls = [(store, other)[n % 2].logInSession(change) for n, change in enumerate(changes)]
        answers = await outcomes(*calls)
        made = [
            change
            for change, a in zip(changes, answers, strict=True)
            if not isinstance(a, VersionConflict)
        ]
        assert [await other.loadSession(record.sid)] == [apply(record, each) for each in made]

    @promise
    async def test_logInAbsent(self, store: Store) -> None:
        """
        A log-in to a session that never was fails as such, and creates none.
        """
        record = await self.newRecord()
        with pytest.raises(SessionNotFound) as caught:
            await store.logInSession(logIn(record))
        assert not isinstance(caught.value, SessionEnded)
        assert await store.loadSession(record.sid) is None
        assert await self.sessionsOf(store) == []

    @promise
    async def test_logInEnded(self, store: Store) -> None:
        """
        A log-in to a session that has ended is told why, and does not revive it,
        whoever asks.
        """
        record = await self.newSession(store)
        other = await self.another(store)
        await store.deleteSession(record.sid, LOGOUT)
        for handle in (store, other):
            with pytest.raises(SessionEnded) as caught:
                await handle.logInSession(logIn(record), SessionLimit(3))
            assert caught.value.reason == LOGOUT
        assert await self.sessionsOf(store) == []
        await staysDead(store, record, await self.now())

    @promise
    async def test_logInForgotten(self, store: Store) -> None:
        """
        A log-in does not revive a session whose end is no longer remembered.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        await self.forgetEnds(store)
        with pytest.raises(SessionNotFound):
            await store.logInSession(logIn(record))
        assert await self.sessionsOf(store) == []
        await staysDead(store, record, await self.now())

    @promise
    async def test_logInTooLate(self, store: Store) -> None:
        """
        A log-in that touches the session after its deadline is refused, and
        changes nothing.
        """
        record = await self.newSession(store)
        with pytest.raises(SessionEnded):
            await store.logInSession(logIn(record, lastModified=record.lastModified + TIMEOUT))
        assert await store.loadSession(record.sid) == record
        assert await self.sessionsOf(store) == []

    @promise
    async def test_logInAsAnother(self, store: Store) -> None:
        """
        A session that logs in as somebody else is the other's from then on.
        """
        record = await self.newSession(store)
        await store.logInSession(logIn(record, "anna"))
        assert (await store.logInSession(logIn(record, "bert"), SessionLimit(1))).version == 3
        assert await self.sessionsOf(store, "anna") == []
        assert await self.sessionsOf(store, "bert") == [record.sid]
        await store.saveSession(Change(record.sid, sessionKey=None))
        assert await self.sessionsOf(store, "bert") == []

    @promise
    async def test_logInOfAnyOwner(self, store: Store) -> None:
        """
        An owner may be any text, has a limit of his own, and is told from owners with
        a similar one.
        """
        sids = {}
        for owner in (*OWNERS, "anna\0admin", "a" * 10_000):
            record = await self.newSession(store)
            answer = await store.logInSession(logIn(record, owner), SessionLimit(1))
            assert list(answer.evicted) == [], owner
            sids[owner] = record.sid
        for owner, sid in sids.items():
            assert await self.sessionsOf(store, owner) == [sid], owner
        for owner, sid in sids.items():
            endings = await store.endSessions(owner)
            assert [ending.record.sid for ending in endings] == [sid], owner

    @promise
    async def test_logInInOrder(self, store: Store) -> None:
        """
        Log-ins and other calls on one session are treated in their order, without
        being waited for.
        """
        record = await self.newRecord()
        calls = [
            store.createSession(record),
            store.logInSession(logIn(record, "anna")),
            store.saveSession(Change(record.sid, set={"data:a": b"1"})),
            store.logInSession(logIn(record, "bert"), SessionLimit(1)),
            store.saveSession(Change(record.sid, set={"data:a": b"2"})),
            store.loadSession(record.sid),
            store.deleteSession(record.sid, LOGOUT),
            store.logInSession(logIn(record, "carl")),
        ]
        created, first, two, second, four, loaded, last, late = await outcomes(*calls)
        assert (created, first.version, two, second.version, four) == (True, 2, 3, 4, 5)
        assert (loaded.sessionKey, loaded.attributes["data:a"]) == ("bert", b"2")
        assert loaded == last
        assert isinstance(late, SessionEnded)
