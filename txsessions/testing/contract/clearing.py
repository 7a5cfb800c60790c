"""
The end of all sessions of an owner, which no log-in outruns.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ...errors import SessionEnded, SessionNotFound
from ...lifetime import LOGOUT, REVOKED
from ...limit import SessionLimit
from ...record import Change
from ...stores.claim import Ending
from .harness import Store, outcomes, promise, staysDead
from .index import OWNERS
from .logins import LogInContract, logIn, sidsOf


class ClearingContract(LogInContract):
    """
    All sessions of an owner end together, however they are being used.
    """

    @promise
    async def test_endAll(self, store: Store) -> None:
        """
        All sessions of the owner end for the given reason, and come with their last
        records, once; nobody else's do.
        """
        other = await self.another(store)
        records = [await self.loggedIn(store) for _ in range(5)]
        left = [await self.loggedIn(store, "bert"), await self.newSession(store)]
        await store.saveSession(Change(records[0].sid, set={"data:a": b"1"}))
        records[0] = await store.loadSession(records[0].sid)
        endings = await other.endSessions("anna", LOGOUT)
        assert isinstance(endings, Sequence)
        assert {ending.record.sid: ending for ending in endings} == {
            record.sid: Ending(record, LOGOUT) for record in records
        }
        assert await self.sessionsOf(store) == []
        assert list(await store.endSessions("anna", LOGOUT)) == []
        for record in records:
            with pytest.raises(SessionEnded) as caught:
                await store.loadSession(record.sid)
            assert caught.value.reason == LOGOUT
        await staysDead(store, records[0], await self.now())
        for record in left:
            assert await store.loadSession(record.sid) == record

    @promise
    async def test_endNobody(self, store: Store) -> None:
        """
        An owner without sessions has none to end, and the usual reason is "revoked".
        """
        assert list(await store.endSessions("anna")) == []
        record = await self.loggedIn(store)
        assert list(await store.endSessions("anna")) == [Ending(record, REVOKED)]

    @promise
    async def test_endAllButOne(self, store: Store) -> None:
        """
        One lives on that is excepted; one that is somebody else's, or that never was,
        excepts nobody.
        """
        records = [await self.loggedIn(store) for _ in range(4)]
        others = await self.loggedIn(store, "bert")
        endings = await store.endSessions("anna", exceptFor=records[2].sid)
        assert sorted(sidsOf(endings)) == sorted(sidsOf(records[:2] + records[3:]))
        assert await store.findSessions("anna") == [records[2]]
        assert list(await store.endSessions("anna", exceptFor=records[2].sid)) == []
        assert await store.saveSession(Change(records[2].sid, set={"data:a": b"1"})) == 2
        assert sidsOf(await store.endSessions("anna", exceptFor=others.sid)) == [records[2].sid]
        another = await self.loggedIn(store)
        never = await self.newRecord()
        endings = await store.endSessions("anna", exceptFor=never.sid)
        assert sidsOf(endings) == [another.sid]
        assert await store.loadSession(others.sid) == others

    @promise
    async def test_endOfAnyOwner(self, store: Store) -> None:
        """
        An owner may be any text, and the end of his sessions is that of nobody else's.
        """
        sids = {}
        for owner in (*OWNERS, "anna\0admin", "\0"):
            sids[owner] = (await self.loggedIn(store, owner)).sid
        nobody = await self.newSession(store)
        for owner in list(sids):
            assert sidsOf(await store.endSessions(owner)) == [sids.pop(owner)], owner
        assert await store.loadSession(nobody.sid) == nobody

    @promise
    async def test_endMany(self, store: Store) -> None:
        """
        Any number of sessions end, each once, whoever else does the same.
        """
        other = await self.another(store)
        records = [await self.newRecord(sessionKey="anna") for _ in range(700)]
        await outcomes(*(store.createSession(record) for record in records))
        answers = await outcomes(*(handle.endSessions("anna") for handle in (store, other) * 2))
        given = [sid for answer in answers for sid in sidsOf(answer)]
        assert sorted(given) == sorted(sidsOf(records))
        assert await self.sessionsOf(store) == []

    @promise
    async def test_lateLogIn(self, store: Store) -> None:
        """
        A log-in that began before the end of all sessions ends its session as revoked,
        whoever brings it; it is nobody's, and makes nobody leave.
        """
        other = await self.another(store)
        records = [await self.newSession(store) for _ in range(3)]
        before = await self.now() - self.tolerance - 1
        assert list(await store.endSessions("anna", LOGOUT)) == []
        room = await self.loggedIn(store)
        for handle, record, limit in (
            (store, records[0], None),
            (other, records[1], SessionLimit(1)),
            (store, records[2], SessionLimit(1, "refuse")),
        ):
            with pytest.raises(SessionEnded) as caught:
                await handle.logInSession(logIn(record, at=before), limit)
            assert caught.value.reason == REVOKED
            assert await self.sessionsOf(store) == [room.sid]
            with pytest.raises(SessionEnded) as caught:
                await other.loadSession(record.sid)
            assert caught.value.reason == REVOKED
            await staysDead(store, record, await self.now())

    @promise
    async def test_newLogIn(self, store: Store) -> None:
        """
        A log-in that began at the end of all sessions or after it is let in, and so is
        one of which nobody knows when it began, and one of another owner.
        """
        records = [await self.newSession(store) for _ in range(4)]
        before = await self.now() - self.tolerance - 1
        await store.endSessions("anna")
        moment = await self.now() + self.tolerance
        for record, change in zip(
            records,
            (
                logIn(records[0], at=moment),
                logIn(records[1], at=moment + 1),
                logIn(records[2]),
                logIn(records[3], "bert", at=before),
            ),
            strict=True,
        ):
            assert (await store.logInSession(change)).version == 2
            assert await store.hasSession(record.sid) is True
        assert len(await self.sessionsOf(store)) == 3

    @promise
    async def test_lateLogInLater(self, store: Store) -> None:
        """
        A log-in is too late by the last end of all sessions, for the better part of an
        hour, also where one session was excepted.
        """
        start = await self.now()
        records = [await self.newSession(store, sessionTimeout=1e6) for _ in range(3)]
        await store.endSessions("anna")
        await self.advance(600)
        await store.endSessions("anna", exceptFor=records[0].sid)
        await self.advance(3500)
        with pytest.raises(SessionEnded):
            await store.logInSession(logIn(records[1], at=start + 300))
        assert (await store.logInSession(logIn(records[2], at=start + 900))).version == 2

    @promise
    async def test_endBesideLogIns(self, store: Store) -> None:
        """
        Beside the end of all sessions no log-in that began before it leaves a session,
        whatever comes first.
        """
        other = await self.another(store)
        before = await self.now() - self.tolerance - 1
        records = [await self.newSession(store) for _ in range(40)]
        calls = []
        for number, record in enumerate(records):
            if number == 20:
                clearing = other.endSessions("anna")
            calls.append((store, other)[number % 2].logInSession(logIn(record, at=before)))
        endings, *answers = await outcomes(clearing, *calls)
        given = set(sidsOf(endings))
        assert len(given) == len(endings)
        assert await self.sessionsOf(store) == []
        for record, answer in zip(records, answers, strict=True):
            assert isinstance(answer, SessionEnded) != (record.sid in given)
            assert await store.hasSession(record.sid) is False

    @promise
    async def test_endBesideSaves(self, store: Store) -> None:
        """
        The end of all sessions ends those that are being saved, and gives what was
        acknowledged before.
        """
        other = await self.another(store)
        records = [await self.loggedIn(store) for _ in range(20)]
        calls = []
        for number, record in enumerate(records * 2):
            if number == 20:
                clearing = store.endSessions("anna")
            change = Change(record.sid, set={"data:a": b"%d" % number})
            calls.append((store, other)[number % 2].saveSession(change))
        endings, *answers = await outcomes(clearing, *calls)
        last = {ending.record.sid: ending.record for ending in endings}
        assert set(last) == set(sidsOf(records))
        for number, record in enumerate(records):
            made = [a for a in answers[number::20] if not isinstance(a, SessionNotFound)]
            assert last[record.sid].version == 1 + len(made)
        await staysDead(other, records[0], await self.now())

    @promise
    async def test_endBesideDeletes(self, store: Store) -> None:
        """
        A session that is ended alone and with the others at the same time is given to
        one of the two.
        """
        other = await self.another(store)
        records = [await self.loggedIn(store) for _ in range(40)]
        calls = [other.deleteSession(record.sid) for record in records[:10]]
        first = store.endSessions("anna")
        calls += [other.deleteSession(record.sid) for record in records[10:20]]
        one, two, *answers = await outcomes(first, other.endSessions("anna"), *calls)
        given = sidsOf(one) + sidsOf(two)
        given += [answer.sid for answer in answers if answer is not None]
        assert sorted(given) == sorted(sidsOf(records))
