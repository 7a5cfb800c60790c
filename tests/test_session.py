"""
The session object: all of the stock API, without its defects.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from scenes import Errors, SharedStore, count, stored
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.components import Componentized, registerAdapter
from twisted.web import server
from twisted.web.resource import Resource
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from txsessions import Session, Site, persistentComponent
from txsessions.errors import (
    SessionError,
    VersionConflict,
)
from txsessions.interfaces import ISession
from txsessions.lifetime import ABSOLUTE, IDLE
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf


class INotes(Interface):
    """
    A component.
    """


@implementer(INotes)
class Notes:
    """
    Keeps notes, in this process only.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.notes: list[str] = []


registerAdapter(Notes, server.Session, INotes)


@pytest.fixture
def errors():
    """
    What is logged.
    """
    logged = Errors()
    globalLogPublisher.addObserver(logged)
    yield logged
    globalLogPublisher.removeObserver(logged)
    assert logged.texts() == []


@pytest.fixture
def clock():
    """
    A clock of the test, on which nothing is left.
    """
    clock = Clock()
    yield clock
    assert clock.getDelayedCalls() == []


def test_provides(scene):
    """
    A session provides what it promises, and all that stock code asks of one.
    """
    session = stored(scene())
    assert verifyObject(ISession, session)
    assert isinstance(session, server.Session)
    assert isinstance(session, Componentized)
    stock = server.Session(Site(None, reactor=Clock()), b"uid")
    for name in vars(stock):
        assert hasattr(session, name), name


class TestWithoutSite:
    """
    Sessions that belong to no site.
    """

    def test_nothing(self, errors):
        """
        Session(None, None) constructs, and everything but saving and expiring
        works.
        """
        session = Session(None, None)
        session.data["key"] = "value"
        session.touch()
        session.notifyOnExpire(lambda: told.append(1))
        told: list[int] = []
        assert repr(session)
        assert session.getComponent(INotes).session is session
        for waiting in (session.commit(), session.modify(dict), session.rework()):
            with pytest.raises(SessionError, match="without a site"):
                resultOf(waiting)
        with pytest.raises(SessionError, match="cannot expire"):
            session.startCheckingExpiration()
        session.expire()
        assert told == [1]

    def test_listGivenOut(self):
        """
        A callback that takes itself out of the list keeps no other from being called.
        """
        session, told = Session(None, None), []
        callbacks = session.expireCallbacks
        session.notifyOnExpire(lambda: callbacks[:] and callbacks.pop(0))
        for number in range(2):
            session.notifyOnExpire(lambda number=number: told.append(number))
        session.expire()
        assert told == [0, 1]
        assert callbacks == []

    def test_siteLater(self, clock):
        """
        One that gets a site later is stored there.
        """
        site = Site(Resource(), sessionStore=MemoryStore(), reactor=clock)
        session = Session(None, site.newToken(), reactor=clock)
        session.data["key"] = "value"
        session.site = site
        resultOf(session.commit())
        record = resultOf(site.sessionManager.store.loadSession(session.sid))
        assert record.attributes == {"data:key": b'"value"'}

    def test_expires(self, clock, errors):
        """
        Session(None, uid, reactor=clock) expires after its time-out, not before,
        and later for each touch.
        """
        session = Session(None, b"uid", reactor=clock)
        told = []
        session.notifyOnExpire(lambda: told.append(session.endReason))
        session.startCheckingExpiration()
        clock.advance(899)
        session.touch()
        clock.advance(899)
        assert told == []
        clock.advance(1)
        assert told == [IDLE]
        assert session.endReason == IDLE

    def test_timeoutOfSubclass(self, clock, errors):
        """
        sessionTimeout may be overridden in a subclass or set on an instance.
        """

        class ShortSession(Session):
            sessionTimeout = 60

        short, shorter = (ShortSession(None, uid, reactor=clock) for uid in (b"a", b"b"))
        shorter.sessionTimeout = 30
        for session in (short, shorter):
            session.startCheckingExpiration()
        clock.advance(30)
        assert (short.endReason, shorter.endReason) == (None, IDLE)
        clock.advance(30)
        assert short.endReason == IDLE

    def test_absolute(self, clock, errors):
        """
        The absolute time-out is not extended by any touch.
        """
        session = Session(None, b"uid", reactor=clock)
        session.absoluteTimeout = 1000
        session.startCheckingExpiration()
        for _ in range(9):
            clock.advance(111)
            session.touch()
        assert session.endReason is None
        clock.advance(1)
        assert session.endReason == ABSOLUTE

    def test_stockSite(self, clock, errors):
        """
        On a stock Site it lives in memory, and takes itself out when it ends.
        """
        site = server.Site(None, reactor=clock)
        site.sessionFactory = Session
        session, other = site.makeSession(), site.makeSession()
        assert site.getSession(session.uid) is session
        clock.advance(10)
        session.touch()
        session.expire()
        assert list(site.sessions.values()) == [other]
        clock.advance(890)
        assert site.sessions == {}


def test_components(scene):
    """
    Adapters that were registered for the stock Session work, and stay with the
    session between requests.
    """
    it = scene()
    browser = it.browser()

    def note(request: Any) -> bytes:
        notes = request.getSession(INotes)
        notes.notes.append("note")
        assert INotes(notes.session) is notes
        return b"%d" % len(notes.notes)

    assert it.get(browser, note).body == b"1"
    assert it.get(browser, note).body == b"2"


class IBasket(Interface):
    """
    A component that is kept with the session.
    """


@persistentComponent(IBasket, key="basket of the tests")
@implementer(IBasket)
@attrs.define
class Basket:
    """
    Keeps items.
    """

    items: list[str] = attrs.field(factory=list)


def test_persistentComponents(scene):
    """
    A component that was declared persistent is kept with the session, noticed when
    it changes inside, found by other processes, and by no means a reason to keep the
    session in memory.
    """
    it = scene(SharedStore())
    browser = it.browser()
    other = it.browser(it.makeSite(), cookies=browser.cookies)

    def put(request: Any) -> bytes:
        basket = request.getSession(IBasket)
        basket.items.append("pear")
        return b"%d" % len(basket.items)

    assert [it.get(each, put).body for each in (browser, other, browser)] == [b"1", b"2", b"3"]
    (session,) = it.site.sessions.values()
    assert session.isPlain()
    it.site.storeEmptySessions = False
    assert len(it.get(it.browser(), put).cookies) == 1


def test_attributes(scene):
    """
    Attributes that a handler sets on the session stay with it between requests.
    """
    it = scene()
    browser = it.browser()

    def answer(request: Any) -> bytes:
        session = request.getSession()
        session.visits = getattr(session, "visits", 0) + 1
        return b"%d" % session.visits

    assert [it.get(browser, answer).body for _ in range(3)] == [b"1", b"2", b"3"]


def test_ownAttributesOfASubclass(scene):
    """
    What a class of sessions sets itself keeps them in memory, also if it does so before
    it calls ours; what only hides an attribute of ours, a time-out, does not.
    """

    class Before(Session):
        def __init__(self, *args: Any) -> None:
            self.extra = 1
            super().__init__(*args)

    class TimedOut(Session):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.sessionTimeout = 60

    for kind, isPlain in ((Before, False), (TimedOut, True)):
        it = scene()
        it.site.sessionFactory = kind
        it.get(it.browser(), count)
        (session,) = it.site.sessions.values()
        assert session.isPlain() is isPlain


def test_expireCallbacks(scene):
    """
    C{expireCallbacks} is a list, to which stock code may append, and for which it may set
    another one.
    """
    it, told = scene(), []
    session = it.site.makeSession()
    assert session.expireCallbacks == []
    session.expireCallbacks = [lambda: told.append(1)]
    session.expireCallbacks.append(lambda: told.append(2))
    session.notifyOnExpire(lambda: told.append(3))
    session.expire()
    assert told == [1, 2, 3] and session.expireCallbacks == []


def test_reprIsHarmless(scene):
    """
    No text about a session has its token in it.
    """
    it = scene()
    session = stored(it)
    (record,) = it.memory._records.values()
    for each in (session, it.site.sessions, session.data, record, session._track()):
        assert session.uid.decode()[32:] not in repr(each)
        assert session.uid.decode()[32:] not in str(each)


def test_conflictingVersions():
    """
    VersionConflict tells the handle and nothing else.
    """
    assert str(VersionConflict("abc")).count("abc") == 1
