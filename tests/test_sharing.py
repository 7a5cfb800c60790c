"""
Several sites, and managers, of one process over one store.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import SharedStore, count, look
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from txsessions import SessionManager
from txsessions.interfaces import IConnectedStore
from txsessions.stores.memory import MemoryStore
from txsessions.testing import GatedStore, HangingStore, resultOf

KINDS = [MemoryStore, SharedStore]


def end(request: Any) -> bytes:
    """
    Log out.
    """
    request.getSession().expire()
    return b""


def twoSites(it: Any, isOneManager: bool) -> list[Any]:
    """
    Two sites, with a manager in common or not.
    """
    sites = [it.makeSite(), it.makeSite()]
    if isOneManager:
        manager = SessionManager(it.store, it.clock)
        for site in sites:
            site.sessionManager = manager
    return sites


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("isOneManager", [True, False])
class TestTwoSites:
    """
    Two sites of one process over one store.
    """

    def test_data(self, scene: Any, kind: Any, isOneManager: bool) -> None:
        """
        Each sees what the other has stored.
        """
        it = scene(kind())
        one, other = twoSites(it, isOneManager)
        browser = it.browser(one)
        second = it.browser(other, cookies=browser.cookies)
        for number, each in enumerate([browser, second, browser, browser, second], 1):
            assert it.get(each, count).body == b"%d" % number

    def test_end(self, scene: Any, kind: Any, isOneManager: bool) -> None:
        """
        What has ended at one has ended at the other, which tells those who wait for it at once.
        """
        it = scene(kind())
        one, other = twoSites(it, isOneManager)
        browser = it.browser(one)
        it.get(browser, count)
        told: list[str] = []
        (session,) = one.sessions.values()
        token = session.uid
        session.notifyOnExpire(lambda: told.append(session.endReason))
        second = it.browser(other, cookies=browser.cookies)
        it.get(second, end)
        assert told == ["logout"]
        headers = {"Cookie": b"TWISTED_SESSION=" + token}
        assert it.get(it.browser(one), look, headers=headers).body == b"none"


@pytest.mark.parametrize("wrap", [lambda store: store, HangingStore])
def test_manager(scene: Any, wrap: Any) -> None:
    """
    A site sees what a manager of its own over the same store does, in whatever that is wrapped.
    """
    it = scene(wrap=wrap)
    browser = it.browser()
    it.get(browser, count)
    (session,) = it.site.sessions.values()
    manager = SessionManager(it.memory, it.clock)
    assert resultOf(manager.get(session.uid)) == {"n": 1}
    resultOf(manager.update(session.uid, {"n": 10}))
    assert it.get(browser, look).body == b"10"
    resultOf(manager.delete(session.uid))
    assert session.endReason == "logout"
    assert it.get(browser, look).body == b"none"


def test_alone(scene: Any) -> None:
    """
    A site that is alone with its store need not ask it for what it knows.
    """
    assert scene().site.sessionManager.isOwner


def test_unusualStore() -> None:
    """
    A store that cannot be told from another that is equal is a store nevertheless.
    """

    class Equal(MemoryStore):
        __hash__ = None  # type: ignore[assignment]  # so it is where there is only __eq__

        def __eq__(self, other: object) -> bool:
            return True

    assert resultOf(SessionManager(Equal(), Clock()).create("anna", {}))


@implementer(IConnectedStore)
class Connected(MemoryStore):
    """
    A store that is let go of.

    @ivar closed: How often.
    """

    closed = 0

    def close(self) -> Deferred[None]:
        """
        Let go.
        """
        self.closed += 1
        return succeed(None)


def test_letGo() -> None:
    """
    Who is done with a store does not take it away from others of the process that use it.
    """
    clock, store = Clock(), Connected()
    one, other = SessionManager(store, clock), SessionManager(store, clock)
    one.start()
    other.start()
    resultOf(one.stop())
    assert store.closed == 0
    resultOf(other.stop())
    assert store.closed == 1


@pytest.mark.parametrize("restarts", [1, 2])
def test_startedAgain(restarts: int) -> None:
    """
    A manager that is started again before it has stopped is at work afterwards: it ends what
    expires, and tells observers.
    """
    clock = Clock()
    store = GatedStore(MemoryStore(clock), "claimExpired")
    manager = SessionManager(store, clock, sessionTimeout=100)
    told: list[str] = []
    manager.subscribe(lambda event: told.append(event.type))
    manager.start()
    stopping = []
    for _ in range(restarts):
        stopping.append(manager.stop())
        manager.start()
    store.openAll()
    for each in stopping:
        resultOf(each)
    resultOf(manager.create("anna"))
    for _ in range(20):
        clock.advance(10)
        store.openAll()
    assert told == ["created", "destroyed"]
    manager.stop()
    store.openAll()
    clock.advance(0)
    assert clock.getDelayedCalls() == []
