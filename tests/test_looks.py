"""
The two looks that let most requests go straight through see whatever stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from scenes import COOKIE, SECURE_COOKIE, Scene, SharedStore, count, gated, look
from test_components import Cart, ICart
from twisted.internet.error import AlreadyCalled

from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf
from txsessions.token import INSECURE, SECURE


def known(it: Scene) -> Any:
    """
    A session of which all is stored and known.
    """
    browser = it.browser()

    def fill(request: Any) -> bytes:
        request.getSession().data.update(text="a", other="b")
        return b""

    it.get(browser, fill)
    it.get(browser, look)
    (session,) = it.site.sessions.values()
    return session


def put(session: Any) -> None:
    """
    Put a component on a session.
    """
    session.setComponent(ICart, Cart())


CHANGES: dict[str, Callable[[Any], object]] = {
    "a new key": lambda session: session.data.update(new=1),
    "another value": lambda session: session.data.update(text="b"),
    "a list": lambda session: session.data.update(list=[1]),
    "within a list": lambda session: session.data.setdefault("list", []).append(2),
    "a key less": lambda session: session.data.pop("text"),
    "no key": lambda session: session.data.clear(),
    "an owner": lambda session: setattr(session, "sessionKey", "anna"),
    "the idle time-out": lambda session: setattr(session, "sessionTimeout", 5),
    "the absolute time-out": lambda session: setattr(session, "absoluteTimeout", 5000),
    "a component": put,
    "a touch": lambda session: (session.site.reactor.advance(100), session.touch()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes(scene, change):
    """
    A session that has changed is looked at closely, until that is stored.
    """
    session = known(scene())
    assert session.isSettled()
    CHANGES[change](session)
    assert not session.isSettled()
    assert session.pendingCommit() is None
    assert session._track().isSaved()


@pytest.mark.parametrize("first", CHANGES)
def test_neverMore(scene, first):
    """
    After any two changes, saved or not: what one look finds in order, a closer one does too.
    """
    it = scene()
    sent: list[Any] = []
    save = it.memory.saveSession
    it.memory.saveSession = lambda change: sent.append(change) or save(change)
    for second, change in CHANGES.items():
        for isSaved in (False, True):
            session = known(it)
            CHANGES[first](session)
            if isSaved:
                session.pendingCommit()
            with suppress(KeyError, AlreadyCalled):
                change(session)
            del sent[:]
            isSettled = session.isSettled()
            session.pendingCommit()
            assert not (isSettled and sent), (first, second, isSaved)
            resultOf(session.logOut())


def test_underWay(scene):
    """
    A save, or an end, that the store has not confirmed yet is waited for.
    """
    it = scene(wrap=gated)
    browser = it.browser()
    waiting = it.ask(browser, count)
    it.store.openAll()
    resultOf(waiting)
    (session,) = it.site.sessions.values()
    for step in (session.commit, session.logOut):
        session.data["a"] = 1
        step()
        assert not session.isSettled()
        assert session.pendingCommit() is not None
        it.store.openAll()


class TestToken:
    """
    The look at a token.
    """

    def test_known(self, scene):
        """
        The token that has opened it opens it; no other one of the same handle, and for nobody
        else.
        """
        session = known(scene())
        uid, now = session.uid, session._seconds()
        assert session.isOpenTo(uid, INSECURE, now)
        assert not session.isOpenTo(uid, SECURE, now)
        for other in (
            uid[:-1] + b"x",
            uid[:32],
            uid + b"0",
            uid.upper(),
            b"",
            uid[:32] + b"0" * 32,
        ):
            assert not session.isOpenTo(other, INSECURE, now)

    def test_time(self, scene):
        """
        It does so until its time is over, and not at that very moment.
        """
        session = known(scene())
        session.sessionTimeout, session.absoluteTimeout = 50, None
        assert session.isOpenTo(session.uid, INSECURE, session.lastModified + 49.9)
        assert not session.isOpenTo(session.uid, INSECURE, session.lastModified + 50)
        session.absoluteTimeout = 20
        assert session.isOpenTo(session.uid, INSECURE, session.created + 19.9)
        assert not session.isOpenTo(session.uid, INSECURE, session.created + 20)

    def test_ended(self, scene):
        """
        One that has ended is opened by nothing.
        """
        session = known(scene())
        resultOf(session.logOut())
        assert not session.isOpenTo(session.uid, INSECURE, session._seconds())

    def test_reworked(self, scene):
        """
        After a rework the old token opens nothing, and the new one only at a closer look.
        """
        session = known(scene())
        old = session.uid
        resultOf(session.rework())
        assert not session.isOpenTo(old, INSECURE, session._seconds())
        assert not session.isOpenTo(session.uid, INSECURE, session._seconds())
        assert session.isOpenedBy(session.uid, INSECURE)
        assert session.isOpenTo(session.uid, INSECURE, session._seconds())

    def test_doubt(self, scene):
        """
        Nor where somebody else has changed what is stored.
        """
        session = known(scene())
        session.doubt()
        assert not session.isOpenTo(session.uid, INSECURE, session._seconds())


@pytest.mark.parametrize("store", [MemoryStore, SharedStore])
def test_loads(scene, store):
    """
    One look spares the store, unless others use it as well.
    """
    it = scene(store())
    browser = it.browser()
    it.get(browser, count)
    it.get(browser, look)
    asked: list[str] = []
    load = it.memory.loadSession
    it.memory.loadSession = lambda sid, *rest: asked.append(sid) or load(sid, *rest)
    it.get(browser, look)
    assert bool(asked) is store.isMultiprocessSafe


def test_wrongCookie(scene):
    """
    A cookie of another name that begins or ends as ours does, or has it within, opens nothing.
    """
    it = scene()
    session = known(it)
    for name in (b"X" + COOKIE, COOKIE + b"X", SECURE_COOKIE, COOKIE.lower(), b"a=" + COOKIE):
        browser = it.browser()
        answer = it.get(browser, look, headers={b"Cookie": [name + b"=" + session.uid]})
        assert answer.body == b"none"


def test_control(scene):
    """
    A look that is blind for the data finds all in order.
    """
    session = known(scene())
    session.data["list"] = [1]
    session.data.touched = {}
    assert session.isSettled()
