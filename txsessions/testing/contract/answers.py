"""
What a store says of sessions that are there, that have ended, and that never
were.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from zope.interface import providedBy

from ...errors import SessionEnded, SessionNotFound
from ...interfaces import ISessionStore
from ...lifetime import LOGOUT
from ...record import Change, Record
from .harness import TIMEOUT, Contract, Store, newSid, outcomes, promise, provides, touch


class AnswerContract(Contract):
    """
    Absent, ended and present are three different answers.
    """

    @promise
    async def test_provides(self, store: Store) -> None:
        """
        A store provides ISessionStore, and whatever else it says, to the letter.
        """
        provides(store, ISessionStore, *providedBy(store))

    @promise
    async def test_answersAreDeferreds(self, store: Store) -> None:
        """
        Every operation answers with a Deferred.
        """
        record = await self.newRecord()
        answers = [
            store.createSession(record),
            store.loadSession(record.sid),
            store.saveSession(Change(record.sid)),
            store.hasSession(record.sid),
            store.deleteSession(record.sid),
        ]
        assert [type(answer) for answer in answers if not isinstance(answer, Deferred)] == []
        assert [o for o in await outcomes(*answers) if isinstance(o, Exception)] == []

    @promise
    async def test_loadPresent(self, store: Store) -> None:
        """
        A session loads as the record that was created, whatever default is given.
        """
        record = await self.newSession(store)
        loaded = await store.loadSession(record.sid)
        assert isinstance(loaded, Record)
        assert loaded == record
        assert await store.loadSession(record.sid, "nothing") == record

    @promise
    async def test_loadAbsent(self, store: Store) -> None:
        """
        A session that never was loads as the default, which is None unless given.
        """
        nothing = object()
        assert await store.loadSession(newSid()) is None
        assert await store.loadSession(newSid(), nothing) is nothing
        assert await store.loadSession(newSid(), default=nothing) is nothing

    @promise
    async def test_loadEnded(self, store: Store) -> None:
        """
        A session that has ended fails to load, with its handle and the reason.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid, "nothing")
        assert (caught.value.sid, caught.value.reason) == (record.sid, LOGOUT)

    @promise
    async def test_loadOverdue(self, store: Store) -> None:
        """
        A session whose deadline has passed loads as stored until it is claimed.
        """
        record = await self.newSession(store)
        await self.advance(TIMEOUT + 1)
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_createTwice(self, store: Store) -> None:
        """
        A second record for the same handle is refused, and changes nothing.
        """
        record = await self.newSession(store, sessionKey="anna", attributes={"data:a": b"1"})
        other = await self.newRecord(
            sid=record.sid, verifier=b"x" * 32, sessionKey="bert", attributes={"data:b": b"2"}
        )
        assert await store.createSession(other) is False
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_createEnded(self, store: Store) -> None:
        """
        A handle whose end is remembered is not given to another session.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        assert await store.createSession(record) is False
        assert await store.hasSession(record.sid) is False
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT

    @promise
    async def test_saveAbsent(self, store: Store) -> None:
        """
        A save to a session that never was fails, and creates nothing.
        """
        record = await self.newRecord()
        for change in (
            Change(record.sid, set={"data:a": b"1"}),
            Change(record.sid, sessionKey="anna"),
            touch(record, await self.now()),
            Change(record.sid),
        ):
            with pytest.raises(SessionNotFound) as caught:
                await store.saveSession(change)
            assert not isinstance(caught.value, SessionEnded)
            assert caught.value.sid == record.sid
        assert await store.loadSession(record.sid) is None
        assert await store.createSession(record) is True

    @promise
    async def test_saveEnded(self, store: Store) -> None:
        """
        A save to a session that has ended fails with the reason of its end.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        for change in (
            Change(record.sid, set={"data:a": b"1"}),
            Change(record.sid, set={"data:a": b"1"}, expectedVersion=1),
            touch(record, await self.now()),
            Change(record.sid),
        ):
            with pytest.raises(SessionEnded) as caught:
                await store.saveSession(change)
            assert (caught.value.sid, caught.value.reason) == (record.sid, LOGOUT)

    @promise
    async def test_deletePresent(self, store: Store) -> None:
        """
        Ending a session gives its last record.
        """
        record = await self.newSession(store, sessionKey="anna")
        await store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        last = await store.loadSession(record.sid)
        assert await store.deleteSession(record.sid, LOGOUT) == last

    @promise
    async def test_deleteAbsent(self, store: Store) -> None:
        """
        Ending a session that never was gives None, and leaves no end behind.
        """
        record = await self.newRecord()
        assert await store.deleteSession(record.sid) is None
        assert await store.loadSession(record.sid) is None
        assert await store.createSession(record) is True

    @promise
    async def test_deleteEnded(self, store: Store) -> None:
        """
        Ending a session a second time gives None, and the first reason stays.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid, LOGOUT)
        assert await store.deleteSession(record.sid, "evicted") is None
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == LOGOUT

    @promise
    async def test_deleteReason(self, store: Store) -> None:
        """
        A session that is ended without a reason was revoked.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        with pytest.raises(SessionEnded) as caught:
            await store.loadSession(record.sid)
        assert caught.value.reason == "revoked"

    @promise
    async def test_has(self, store: Store) -> None:
        """
        Whether there is a session is True or False, before, during and after it.
        """
        record = await self.newRecord()
        assert await store.hasSession(record.sid) is False
        await store.createSession(record)
        assert await store.hasSession(record.sid) is True
        await store.deleteSession(record.sid)
        assert await store.hasSession(record.sid) is False
