"""
Tests for those who subscribe to a site.
"""

from __future__ import annotations

from typing import Any

import pytest
from listening import Listener, TurningClock
from scenes import count, gated, look, stored
from twisted.internet.defer import Deferred

from txsessions.event import CREATED, DESTROYED, REWORKED
from txsessions.interfaces import ISessionDestroyed, ISessionExpired
from txsessions.lifetime import ABSOLUTE, EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.manager import SessionManager
from txsessions.publisher import MAXIMUM
from txsessions.testing import Browser, CookieJar, resultOf

SESSIONS = 5000
"""
How many sessions come and go while somebody hangs.
"""


def subscribed(it: Any, *kinds: Any, do: Any = lambda event: None) -> Listener:
    """
    An observer of the site.
    """
    listener = Listener(do)
    it.site.subscribe(listener, *kinds)
    return listener


def told(listener: Listener, it: Any) -> list[tuple[str, str | None]]:
    """
    Of what it was told, after a turn of the reactor.
    """
    it.clock.advance(0)
    return [(event.type, event.reason) for event in listener.heard]


def logIn(request: Any) -> Any:
    """
    Log in.
    """

    async def page() -> bytes:
        await request.getSession().logIn("alice")
        return b"in"

    return page()


def logOut(request: Any) -> bytes:
    """
    Log out.
    """
    request.getSession().expire()
    return b"out"


class TestOnce:
    """
    One event for each real change.
    """

    def test_life(self, scene):
        """
        A session is created, reworked by a log-in, and destroyed by a log-out; each
        is told once, with the same handle, and requests in between are not told.
        """
        it = scene()
        listener = subscribed(it)
        browser = it.browser()
        for page in (count, count, logIn, count, look, logOut, look):
            it.get(browser, page)
        assert told(listener, it) == [(CREATED, None), (REWORKED, None), (DESTROYED, LOGOUT)]
        assert len({event.sid for event in listener.heard}) == 1
        assert len({event.eventID for event in listener.heard}) == 3
        assert listener.heard[-1].data["n"] == 3
        assert listener.heard[-1].sessionKey == "alice"

    def test_rework(self, scene):
        """
        So is a rework.
        """
        it = scene()
        session = stored(it)
        listener = subscribed(it)
        resultOf(session.rework())
        assert told(listener, it) == [(REWORKED, None)]

    def test_notStored(self, scene):
        """
        A session that is never stored is not told.
        """
        it = scene()
        listener = subscribed(it)
        it.site.makeSession().expire()
        assert told(listener, it) == []

    def test_expired(self, scene):
        """
        A session that expires is told with the reason.
        """
        it = scene()
        listener = subscribed(it, ISessionExpired)
        stored(it)
        browser = it.browser()
        it.get(browser, count)
        other = max(it.site.sessions.values(), key=lambda each: each.created)
        other.absoluteTimeout = 100
        resultOf(other.commit())
        it.clock.advance(100)
        assert told(listener, it) == [(DESTROYED, ABSOLUTE)]
        it.clock.advance(800)
        assert told(listener, it) == [(DESTROYED, ABSOLUTE), (DESTROYED, IDLE)]

    def test_twoAtOnce(self, scene):
        """
        Two who end a session at the same time make one event.
        """
        it = scene(wrap=gated)
        browser = it.browser()
        asking = it.ask(browser, count)
        it.store.openAll()
        resultOf(asking)
        (session,) = it.site.sessions.values()
        listener = subscribed(it)
        manager = it.site.sessionManager
        ends = [session.logOut(), manager.revoke(session.sid), manager.revoke(session.sid)]
        it.store.openAll()
        assert all(end.called for end in ends)
        assert len(told(listener, it)) == 1


class TestAtOnce:
    """
    What a manager ends ends here at once.
    """

    @pytest.mark.parametrize(
        "end, reason",
        [
            (lambda it, session: it.site.sessionManager.clear("alice"), REVOKED),
            (lambda it, session: it.site.sessionManager.revoke(session.sid), REVOKED),
            (lambda it, session: it.site.sessionManager.delete(session.uid), LOGOUT),
        ],
    )
    def test_ended(self, scene, end, reason):
        """
        The live session has ended when the manager has done it: its callbacks have run,
        and its cookie opens nothing.
        """
        it, called = scene(), []
        browser = it.browser()
        it.get(browser, count)
        it.get(browser, logIn)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: called.append(session.endReason))
        listener = subscribed(it)
        resultOf(end(it, session))
        assert called == [reason]
        assert session.uid not in it.site.sessions
        assert it.get(browser, look).body == b"none"
        assert told(listener, it) == [(DESTROYED, reason)]

    def test_evicted(self, scene):
        """
        So it is with one that has to make room at a log-in.
        """
        it, called = scene(), []
        it.site.sessionManager = SessionManager(it.store, it.clock, maxSessionsPerKey=1)
        listener = subscribed(it, ISessionDestroyed)
        first, second = it.browser(), it.browser()
        it.get(first, count)
        it.get(first, logIn)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: called.append(session.endReason))
        it.clock.advance(1)
        it.get(second, logIn)
        assert called == [EVICTED]
        assert it.get(first, look).body == b"none"
        assert it.get(second, look).body == b"0"
        assert told(listener, it) == [(DESTROYED, EVICTED)]


class TestObservers:
    """
    Who may observe, and what that costs others.
    """

    def test_unsubscribed(self, scene):
        """
        One that has unsubscribed is told of nothing more; to unsubscribe what has not
        subscribed is no error.
        """
        it = scene()
        listener = subscribed(it)
        stored(it)
        assert len(told(listener, it)) == 1
        it.site.unsubscribe(listener)
        it.site.unsubscribe(listener)
        stored_ = next(iter(it.site.sessions.values()))
        stored_.expire()
        assert len(told(listener, it)) == 1

    def test_kinds(self, scene):
        """
        One that asks for endings is told of nothing else.
        """
        it = scene()
        listener = subscribed(it, ISessionDestroyed)
        session = stored(it)
        resultOf(session.rework())
        session.expire()
        assert told(listener, it) == [(DESTROYED, LOGOUT)]

    def test_feed(self, scene):
        """
        A feed gives the events one by one.
        """
        it = scene()
        feed = it.site.sessionManager.feed()
        seen: list[str] = []

        async def read() -> None:
            async for event in feed:
                seen.append(event.type)

        reading = Deferred.fromCoroutine(read())
        session = stored(it)
        it.clock.advance(0)
        assert seen == [CREATED]
        session.expire()
        it.clock.advance(0)
        assert seen == [CREATED, DESTROYED]
        feed.close()
        assert reading.called

    def test_name(self, scene):
        """
        A durable observer of a site is told of endings.
        """
        it = scene()
        listener = Listener()
        it.site.subscribe(listener, name="mail")
        session = stored(it)
        it.clock.advance(1)
        session.expire()
        for _ in range(20):
            it.clock.advance(1)
        assert [(each.type, each.sid) for each in listener.heard] == [(DESTROYED, session.sid)]
        assert listener.heard[0].data["n"] == 1


def raising(event: Any) -> None:
    """
    Fails each time.
    """
    raise ZeroDivisionError("it fails")


def neverDone(event: Any) -> Deferred[None]:
    """
    Is never done.
    """
    return Deferred()


@pytest.mark.parametrize("kind", [raising, neverDone, "ending"])
def test_isolated(kind, scene):
    """
    One that fails each time, one that is never done and one that ends other sessions:
    each of thousands of requests is answered at once, the other observer hears of every
    event, and what waits for those who do not listen stays bounded.
    """
    it, clock = scene(), TurningClock()
    clock.advance(1e6)
    site = it.makeSite(reactor=clock)
    manager = site.sessionManager

    def ending(event: Any) -> None:
        if event.type == CREATED and event.sid != first.sid:
            manager.revoke(event.sid)

    path = it.page(count)
    browser = Browser(site)
    resultOf(browser.request("GET", path))
    (first,) = site.sessions.values()
    site.subscribe(Listener(ending if kind == "ending" else kind))
    healthy = Listener()
    site.subscribe(healthy)
    for _ in range(SESSIONS):
        browser.cookies = CookieJar(clock)
        assert resultOf(browser.request("GET", path)).code == 200
        for session in site.sessions.values():
            if session is not first:
                session.expire()
        clock.turn()
        clock.turn()
        clock.turn()
    types = [event.type for event in healthy.heard]
    assert (types.count(CREATED), types.count(DESTROYED)) == (SESSIONS, SESSIONS)
    for subscription in manager.publisher._subscriptions:
        assert len(subscription._queue) <= MAXIMUM
    browser.close()
    letTurn(clock, 30)
    assert clock.calls == []
    it.errors.events.clear()


def letTurn(clock: TurningClock, seconds: float) -> None:
    """
    Let time pass, and the reactor run as it does.
    """
    for _ in range(round(seconds / 0.1)):
        clock.turn(0.1)
