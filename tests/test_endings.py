"""
What happens when a session ends.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from scenes import Scene, count, gated, stored
from twisted.internet.defer import Deferred

from txsessions import Session
from txsessions.errors import (
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)
from txsessions.lifetime import IDLE, LOGOUT, REVOKED
from txsessions.testing import FailingStore, resultOf


class TestEndings:
    """
    What happens when a session ends.
    """

    def test_idempotent(self, scene):
        """
        expire() may be called twice, and its callbacks are called once.
        """
        told = []
        session = stored(scene())
        session.notifyOnExpire(lambda: told.append(1))
        session.expire()
        session.expire()
        resultOf(session.logOut())
        assert (told, session.endReason) == ([1], LOGOUT)

    def test_raisingCallback(self, scene):
        """
        A callback that raises is logged, and stops no other.
        """
        it, told = scene(), []
        session = stored(it)
        session.notifyOnExpire(lambda: told.append(1))
        session.notifyOnExpire(lambda: 1 / 0)
        session.notifyOnExpire(lambda: told.append(2))
        session.expire()
        assert told == [1, 2]
        assert session.uid not in it.site.sessions
        it.errors.flush("division by zero")

    def test_asynchronousCallback(self, scene):
        """
        A callback may be a coroutine function: it runs to its end, and what it raises
        is logged.
        """
        it, told, waiting = scene(), [], Deferred()
        session = stored(it)

        async def callback():
            await waiting
            told.append(1)
            raise ZeroDivisionError("it fails later")

        session.notifyOnExpire(callback)
        session.notifyOnExpire(lambda: told.append(0))
        session.expire()
        assert told == [0]
        waiting.callback(None)
        assert told == [0, 1]
        it.errors.flush("it fails later")

    @pytest.mark.parametrize("thing", [None, 5, "callback"])
    def test_noCallback(self, scene, thing):
        """
        What cannot be called is refused at once, not when the session ends.
        """
        session = stored(scene())
        with pytest.raises(TypeError, match="is a callable, not"):
            session.notifyOnExpire(thing)
        assert session.expireCallbacks == []

    def test_raisingCallbackOfTimer(self, scene):
        """
        So it is when the time-out calls it: nothing escapes to the reactor, and the
        sessions that end along with it end.
        """
        it, told = scene(), []
        first = stored(it)
        it.get(it.browser(), count)
        for session in it.site.sessions.values():
            session.notifyOnExpire(lambda: 1 / 0)
            session.notifyOnExpire(lambda: told.append(1))
        it.clock.advance(900)
        assert told == [1, 1]
        assert first.endReason == IDLE
        assert it.memory._records == {}
        it.errors.flush("division by zero")

    def test_reentrant(self, scene):
        """
        A callback may call anything of the session.
        """
        session, told = stored(scene()), []

        def callback() -> None:
            session.expire()
            session.notifyOnExpire(lambda: told.append("nested"))
            told.append(session.data["n"])
            with pytest.raises(SessionEnded):
                resultOf(session.commit())
            told.append(session.endReason)

        session.notifyOnExpire(callback)
        session.expire()
        assert told == ["nested", 1, LOGOUT]

    def test_endsAnother(self, scene):
        """
        A callback may end another session.
        """
        it = scene()
        first = stored(it)
        it.get(it.browser(), count)
        second = next(each for each in it.site.sessions.values() if each is not first)
        first.notifyOnExpire(second.expire)
        second.notifyOnExpire(first.expire)
        first.expire()
        assert len(it.site.sessions) == 0
        assert it.memory._records == {}

    def test_registeredAfterTheEnd(self, scene):
        """
        A callback that is registered after the end is called at once.
        """
        session, told = stored(scene()), []
        session.expire()
        session.notifyOnExpire(lambda: told.append(1))
        assert told == [1]

    def test_registeredDuringTheEnd(self, scene):
        """
        A callback that is registered while the store is being asked to end the
        session is called when it has ended it.
        """
        it, told = scene(wrap=gated), []
        response = it.ask(it.browser(), count)
        it.store.openAll()
        resultOf(response)
        (session,) = it.site.sessions.values()
        session.expire()
        session.notifyOnExpire(lambda: told.append(1))
        assert told == []
        it.store.openAll()
        assert told == [1]

    def test_dataStaysReadable(self, scene):
        """
        In a callback the last data is still there.
        """
        it, told = scene(), []
        session = stored(it)
        session.notifyOnExpire(lambda: told.append(dict(session.data)))
        it.clock.advance(900)
        assert told == [{"n": 1}]

    def test_everyWaiterHearsOfFailure(self, scene):
        """
        When the store cannot end a session, everybody who waits for the end hears
        of it, and the session lives on.
        """
        it = scene(wrap=lambda store: gated(FailingStore(store)))
        response = it.ask(it.browser(), count)
        it.store.openAll()
        resultOf(response)
        (session,) = it.site.sessions.values()
        it.store.store.fail("deleteSession")
        waiting = [session.logOut(), session.logOut(), session.pendingCommit()]
        it.store.openAll()
        for each in waiting:
            with pytest.raises(StoreUnavailable):
                resultOf(each)
        assert session.endReason is None
        it.store.store.mend()
        waiting = [session.logOut(), session.logOut()]
        it.store.openAll()
        assert [resultOf(each) for each in waiting] == [None, None]
        assert session.endReason == LOGOUT

    def test_revoked(self, scene):
        """
        A session that somebody else has ended ends here at the next use, and tells
        its callbacks so.
        """
        it, told = scene(), []
        session = stored(it)
        session.notifyOnExpire(lambda: told.append(session.endReason))
        it.memory.deleteSession(session.sid)
        session.data["n"] = 5
        with pytest.raises(SessionNotFound):
            resultOf(session.commit())
        assert told == [REVOKED]
        assert session.uid not in it.site.sessions

    @pytest.mark.parametrize("isStored", [True, False])
    def test_ownExpire(self, scene, isStored):
        """
        A subclass's own expire() hears of every end, once, before the callbacks.
        """
        told: list[Any] = []

        class Own(Session):
            def expire(self) -> None:
                told.append("own")
                super().expire()

        def begin(it: Scene) -> Session:
            it.site.sessionFactory = Own
            session = stored(it) if isStored else (it.browser(), it.site.makeSession())[1]
            session.notifyOnExpire(lambda: told.append("callback"))
            return session

        it = scene()
        begin(it)
        it.clock.advance(900)
        it = scene()
        begin(it).expire()
        if isStored:
            it = scene()
            session = begin(it)
            it.memory.deleteSession(session.sid)
            session.data["n"] = 2
            with pytest.raises(SessionNotFound):
                resultOf(session.commit())
        assert told == ["own", "callback"] * (3 if isStored else 2)

    def test_callbackOutsideOfRequest(self, scene):
        """
        A callback that something outside of any request registers is called, though
        nobody holds the session and many others come after it.
        """
        from txsessions.web import live

        it, told = scene(), []
        session = stored(it)
        it.site.sessions.letGo(session)
        session.notifyOnExpire(lambda: told.append(1))
        del session
        gc.collect()
        assert live.MAXIMUM > 1
        it.clock.advance(900)
        assert told == [1]
