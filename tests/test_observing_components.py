"""
Tests for components of a session that observe it.
"""

from __future__ import annotations

from typing import Any

import pytest
from listening import Listener
from scenes import SharedStore, count, stored
from twisted.internet.defer import Deferred, fail
from zope.interface import Interface, implementer

from txsessions.event import DESTROYED, REWORKED
from txsessions.interfaces import ISessionObserver
from txsessions.lifetime import IDLE, LOGOUT, REVOKED
from txsessions.testing import resultOf


class IDiary(Interface):
    """
    What an application keeps about a session.
    """


class ISecretDiary(IDiary):
    """
    The same by another name.
    """


@implementer(ISecretDiary)
class Diary(Listener):
    """
    A component that observes its session.
    """


def observed(it: Any, do: Any = lambda event: None) -> tuple[Any, Diary]:
    """
    A session with such a component.
    """
    session, diary = stored(it), Diary(do)
    session.setComponent(IDiary, diary)
    return session, diary


def told(diary: Diary) -> list[tuple[str, str | None]]:
    """
    Of what it was told.
    """
    return [(event.type, event.reason) for event in diary.heard]


def test_own(scene):
    """
    It is told of its own session, and of no other.
    """
    it = scene()
    session, diary = observed(it)
    it.get(it.browser(), count)
    (other,) = (each for each in it.site.sessions.values() if each is not session)
    other.expire()
    assert diary.heard == []
    session.expire()
    assert told(diary) == [(DESTROYED, LOGOUT)]
    (event,) = diary.heard
    assert (event.sid, event.data["n"]) == (session.sid, 1)


def test_rework(scene):
    """
    It is told when the session gets another token, a log-in being one, and when it
    ends, in this order.
    """
    session, diary = observed(scene())
    resultOf(session.rework())
    resultOf(session.logIn("alice"))
    session.expire()
    assert told(diary) == [(REWORKED, None), (REWORKED, None), (DESTROYED, LOGOUT)]
    assert diary.heard[-1].sessionKey == "alice"


def test_timeOut(scene):
    """
    It is told of the time-out when that has come.
    """
    it = scene()
    _, diary = observed(it)
    it.clock.advance(899)
    assert diary.heard == []
    it.clock.advance(1)
    assert told(diary) == [(DESTROYED, IDLE)]


def test_elsewhere(scene):
    """
    It is told when another process ends the session.
    """
    it = scene(SharedStore())
    session, diary = observed(it)
    it.memory.deleteSession(session.sid)
    assert told(diary) == [(DESTROYED, REVOKED)]


def test_once(scene):
    """
    One that is there for several interfaces is told once.
    """
    session, diary = observed(scene())
    session.setComponent(ISecretDiary, diary)
    session.addComponent(diary)
    assert len(session._adapterCache) > 1
    session.expire()
    assert told(diary) == [(DESTROYED, LOGOUT)]


def test_removed(scene):
    """
    One that was taken away is told of nothing more.
    """
    session, diary = observed(scene())
    session.unsetComponent(IDiary)
    session.expire()
    assert diary.heard == []


@pytest.mark.parametrize("do", [lambda event: 1 / 0, lambda event: fail(ZeroDivisionError())])
def test_failing(scene, do):
    """
    One that fails is logged, and hurts neither the other components nor the callbacks.
    """
    it, called = scene(), []
    session, _ = observed(it, do)
    after = Diary()
    session.setComponent(ISecretDiary, after)
    session.notifyOnExpire(lambda: called.append(1))
    session.expire()
    assert (told(after), called) == ([(DESTROYED, LOGOUT)], [1])
    it.errors.flush("of session")


def test_neverDone(scene):
    """
    Nobody waits for one that is never done.
    """
    it = scene()
    session, _ = observed(it, lambda event: Deferred())
    resultOf(session.logOut())
    assert session.endReason == LOGOUT


def test_coroutine(scene):
    """
    One whose update is a coroutine is run to its end.
    """
    heard: list[Any] = []

    async def hear(event: Any) -> None:
        heard.append(event.type)

    session, _ = observed(scene(), hear)
    session.expire()
    assert heard == [DESTROYED]


def test_endsAnother(scene):
    """
    One may end other sessions, also those whose components end this one.
    """
    it = scene()
    first = stored(it)
    it.get(it.browser(), count)
    (second,) = (each for each in it.site.sessions.values() if each is not first)
    diaries = [Diary(lambda event: second.expire()), Diary(lambda event: first.expire())]
    first.setComponent(IDiary, diaries[0])
    second.setComponent(IDiary, diaries[1])
    first.expire()
    assert [told(diary) for diary in diaries] == [[(DESTROYED, LOGOUT)]] * 2
    assert it.memory._records == {}


def test_kept(scene, monkeypatch):
    """
    A session with such a component is kept, however many others there are.
    """
    monkeypatch.setattr("txsessions.web.live.MAXIMUM", 3)
    it = scene()
    session, diary = observed(it)
    uid = session.uid
    del session
    for _ in range(20):
        it.get(it.browser(), count)
    it.site.sessions[uid].expire()
    assert told(diary) == [(DESTROYED, LOGOUT)]


def test_interface(scene):
    """
    Others that have an C{update} and do not say that they observe are not called.
    """
    session = stored(scene())

    @implementer(IDiary)
    class Book:
        def update(self, event: object) -> None:
            raise AssertionError("a book observes nothing")

    assert not ISessionObserver.implementedBy(Book)
    session.setComponent(IDiary, Book())
    session.expire()
