"""
The session object: all of the stock API, without its defects, and what is new.
"""

from __future__ import annotations

import gc
from typing import Any

import attrs
import pytest
from scenes import Errors, Scene, SharedStore, count, gated, look, scenes
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.components import Componentized, registerAdapter
from twisted.web import server
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from txsessions import Session, Site, persistentComponent
from txsessions.errors import (
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    StoreUnavailable,
    VersionConflict,
)
from txsessions.interfaces import ISession
from txsessions.lifetime import ABSOLUTE, IDLE, LOGOUT, REVOKED
from txsessions.record import Change
from txsessions.testing import FailingStore, HangingStore, resultOf
from txsessions.token import reworked


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
def scene():
    """
    Makes scenes.
    """
    yield from scenes()


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


def stored(it: Scene) -> Any:
    """
    The live session of a new visitor, stored and held by nobody.
    """
    it.get(it.browser(), count)
    (session,) = it.site.sessions.values()
    return session


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


class TestTouch:
    """
    The idle time-out slides.
    """

    def test_slides(self, scene):
        """
        A session lives for its time-out from its last visit: alive one second
        before, gone then, however little time was between its visits.
        """
        for pause in (1, 10, 59, 60, 61, 400, 899):
            it = scene()
            browser = it.browser()
            it.get(browser, count)
            it.clock.advance(pause)
            assert it.get(browser, look).body == b"1"
            it.clock.advance(899)
            assert it.get(browser, look).body == b"1"
            it.clock.advance(900)
            assert it.get(browser, look).body == b"none"
            assert it.memory._records == {}

    def test_slidesInSmallSteps(self, scene):
        """
        So it is when time goes on in small steps, and timers run in between.
        """
        it, told = scene(), []
        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: told.append(it.clock.seconds()))
        start = it.clock.seconds()
        it.clock.advance(17)
        it.get(browser, look)
        while it.clock.seconds() < start + 17 + 899:
            it.clock.advance(1)
        assert told == []
        it.clock.advance(1)
        assert told == [start + 17 + 900]

    def test_control(self, scene):
        """
        The test notices a session of whose touches the store does not hear.
        """

        class Forgetful(Session):
            def nextDuty(self) -> float | None:
                return float("inf")

        it = scene()
        it.site.sessionFactory = Forgetful
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(10)
        it.get(browser, look)
        it.clock.advance(899)
        assert it.get(browser, look).body == b"none"

    def test_slidesElsewhere(self, scene):
        """
        A process that only sweeps does not end a session of whose touch only
        another one knows.
        """
        it = scene(SharedStore())
        browser = it.browser()
        other = it.browser(it.makeSite())
        assert it.get(browser, count).body == b"1"
        it.clock.advance(50)
        it.get(browser, look)
        for _ in range(899):
            it.clock.advance(1)
        assert it.get(browser, look).body == b"1"
        assert it.get(other, look).body == b"none"
        for _ in range(900):
            it.clock.advance(1)
        assert it.memory._records == {}

    def test_storeDownAtLastCall(self, scene):
        """
        A store that cannot hear of a touch when it has to is told again.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(10)
        it.get(browser, look)
        it.clock.advance(880)
        it.store.fail()
        for _ in range(12):
            it.clock.advance(1)
        it.store.mend()
        for _ in range(7):
            it.clock.advance(1)
        assert it.get(browser, look).body == b"1"
        it.errors.events.clear()

    def test_stockLoad(self, scene):
        """
        site.getSession(uid) of stock code slides the time-out too.
        """
        it = scene()
        session = stored(it)
        for _ in range(5):
            it.clock.advance(800)
            assert it.site.getSession(session.uid) is session
        assert session.endReason is None
        it.clock.advance(900)
        with pytest.raises(KeyError):
            it.site.getSession(session.uid)

    def test_absolute(self, scene):
        """
        The absolute time-out is not extended by visits, nor by a rework, and is
        stored with the session.
        """
        it = scene()

        async def begin(request: Any) -> bytes:
            request.getSession().absoluteTimeout = 2000
            return count(request)

        async def renew(request: Any) -> bytes:
            await request.getSession().rework()
            return b""

        browser = it.browser()
        it.get(browser, begin)
        for _ in range(4):
            it.clock.advance(499)
            it.get(browser, renew)
        assert it.get(browser, look).body == b"1"
        it.clock.advance(4)
        assert it.get(browser, look).body == b"none"

    def test_shorter(self, scene):
        """
        A time-out that is made shorter while the session lives ends it, and tells
        so, when the shorter time is over.
        """
        it, told = scene(), []
        browser = it.browser()
        it.get(browser, count)

        def shorten(request: Any) -> bytes:
            session = request.getSession()
            session.sessionTimeout = 10
            session.notifyOnExpire(lambda: told.append(session.endReason))
            return b""

        it.get(browser, shorten)
        it.clock.advance(9)
        assert told == []
        it.clock.advance(1)
        assert told == [IDLE]

    def test_lateTouch(self, scene):
        """
        A session that is past its deadline when it is loaded is none, though nobody
        has ended it yet.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        late = it.makeSite()
        late.sessionManager._sweeper = None
        it.site.sessionManager._sweeper.stop()
        it.site.sessionExpiry.stop()
        it.clock.advance(901)
        assert len(it.memory._records) == 1
        assert it.get(it.browser(late, cookies=browser.cookies), look).body == b"none"


class TestSaving:
    """
    commit, modify, rework, logIn.
    """

    def test_nested(self, scene):
        """
        Changes inside of nested values are stored, and nothing is when nothing
        changed.
        """
        it = scene()
        session = stored(it)
        session.data["cart"] = {"items": [{"n": 1}]}
        resultOf(session.commit())
        session.data["cart"]["items"][0]["n"] = 2
        session.data["cart"]["items"].append([])
        resultOf(session.commit())
        record = it.memory._records[session.sid]
        assert record.attributes["data:cart"] == b'{"items":[{"n":2},[]]}'
        resultOf(session.commit())
        assert it.memory._records[session.sid] is record

    def test_commitOfEnded(self, scene):
        """
        Nothing of a session that has ended can be saved, and each call says so.
        """
        session = stored(scene())
        resultOf(session.logOut())
        session.data["n"] = 2
        for waiting in (
            session.commit(),
            session.modify(dict),
            session.rework(),
            session.logIn("anna"),
        ):
            with pytest.raises(SessionEnded):
                resultOf(waiting)

    def test_modify(self, scene):
        """
        modify() gives what its function returns, and what it raised changes nothing.
        """
        it = scene()
        session = stored(it)

        def increment(data: Any) -> int:
            data["n"] += 1
            return data["n"]

        assert resultOf(session.modify(increment)) == 2
        assert session.data["n"] == 2
        with pytest.raises(ZeroDivisionError):
            resultOf(session.modify(lambda data: data.update(n=5) or 1 / 0))
        assert session.data["n"] == 2
        assert it.memory._records[session.sid].attributes["data:n"] == b"2"
        with pytest.raises(InvalidSessionData):
            resultOf(session.modify(lambda data: data.update(n=object())))

    def test_modifyOverSites(self, scene):
        """
        N increments by sites that share a store make N, whoever is in between.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        sites = [it.makeSite() for _ in range(3)]
        browsers = [it.browser(site, cookies=browser.cookies) for site in sites]

        async def increment(request: Any) -> bytes:
            def add(data: Any) -> None:
                data["n"] += 1

            await request.getSession().modify(add)
            return b"done"

        for _ in range(20):
            for each in browsers:
                assert it.get(each, increment).body == b"done"
        assert it.get(browser, look).body == b"61"

    def test_modifyInParallel(self, scene):
        """
        So they do when all of them read before any of them writes.
        """
        it = scene(SharedStore(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        browsers = [it.browser(it.makeSite(), cookies=browser.cookies) for _ in range(4)]

        async def increment(request: Any) -> bytes:
            await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
            return b"done"

        waiting = [it.ask(each, increment) for each in browsers]
        while it.store.gates:
            for gate in list(it.store.gates):
                gate.open()
        assert [resultOf(each).body for each in waiting] == [b"done"] * 4
        (record,) = it.memory._records.values()
        assert record.attributes["data:n"] == b"5"

    def test_modifyControl(self, scene):
        """
        The test notices a store that does not look at versions.
        """

        class Blind(SharedStore):
            def saveSession(self, change: Change) -> Any:
                return super().saveSession(attrs.evolve(change, expectedVersion=None))

        it = scene(Blind(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        browsers = [it.browser(it.makeSite(), cookies=browser.cookies) for _ in range(4)]

        async def increment(request: Any) -> bytes:
            await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
            return b"done"

        waiting = [it.ask(each, increment) for each in browsers]
        while it.store.gates:
            for gate in list(it.store.gates):
                gate.open()
        for each in waiting:
            resultOf(each)
        (record,) = it.memory._records.values()
        assert record.attributes["data:n"] != b"5"

    def test_rework(self, scene):
        """
        A rework gives a new token of the same handle; the old one opens nothing.
        """
        it = scene()
        session = stored(it)
        before, sid = session.uid, session.sid
        token = resultOf(session.rework())
        assert token == session.uid != before
        assert (session.sid, token[:32]) == (sid, before[:32])
        assert it.site.getSession(token) is session
        with pytest.raises(KeyError):
            it.site.getSession(before)
        assert len(it.site.sessions) == 1

    def test_logIn(self, scene):
        """
        A log-in sets the owner and the token in one change of the record, along
        with what else has changed.
        """
        it = scene()
        session = stored(it)
        session.data["cart"] = [1]
        before = it.memory._records[session.sid]
        assert resultOf(session.logIn("anna")) is None
        after = it.memory._records[session.sid]
        assert after.version == before.version + 1
        assert after.verifier != before.verifier
        assert after.sessionKey == session.sessionKey == "anna"
        assert after.attributes["data:cart"] == b"[1]"
        with pytest.raises(TypeError, match="a session key is a str"):
            session.logIn(b"anna")

    def test_failedLogIn(self, scene):
        """
        A log-in that the store refuses changes neither owner nor token.
        """
        it = scene(wrap=FailingStore)
        session = stored(it)
        before = session.uid
        it.store.fail("saveSession")
        with pytest.raises(StoreUnavailable):
            resultOf(session.logIn("anna"))
        assert (session.uid, session.sessionKey) == (before, None)

    def test_logInOfNew(self, scene):
        """
        A session that is not stored yet is stored by a log-in, with a token that it
        did not begin with.
        """
        it = scene()
        it.browser()
        session = it.site.makeSession()
        before = session.uid
        resultOf(session.logIn("anna"))
        assert session.uid != before
        assert it.memory._records[session.sid].sessionKey == "anna"

    def test_sessionKey(self, scene):
        """
        sessionKey may be set like any other fact, and is saved.
        """
        it = scene()
        session = stored(it)
        session.sessionKey = "anna"
        resultOf(session.commit())
        assert [record.sid for record in resultOf(it.memory.findSessions("anna"))] == [session.sid]

    def test_hangingCommit(self, scene):
        """
        A commit that hangs fails after its time-out, and what comes after it waits
        its turn.
        """
        it = scene(wrap=HangingStore)
        session = stored(it)
        it.store.hang("saveSession")
        session.data["n"] = 2
        first, second = session.commit(), session.commit()
        it.clock.advance(5)
        with pytest.raises(StoreUnavailable):
            resultOf(first)
        it.store.release()
        assert resultOf(second) is None
        assert it.memory._records[session.sid].attributes["data:n"] == b"2"

    def test_entropyFails(self, scene):
        """
        Without randomness there is no new token: the call fails, and raises nothing.
        """
        it = scene()
        session = stored(it)
        before = session.uid

        def broken(size: int) -> bytes:
            raise OSError("no randomness")

        it.site._entropy = broken
        for waiting in (session.rework(), session.logIn("anna")):
            with pytest.raises(OSError, match="no randomness"):
                resultOf(waiting)
        assert (session.uid, session.sessionKey) == (before, None)

    def test_entropyRepeats(self, scene):
        """
        A new token that is the old one is refused: the old one would not be dead.
        """
        it = scene()
        session = stored(it)
        verifier = bytes.fromhex(session.uid[32:].decode())
        assert reworked(session.sid, lambda size: verifier) == session.uid
        it.site._entropy = lambda size: verifier
        with pytest.raises(SessionError, match="randomness"):
            resultOf(session.logIn("anna"))
        assert session.sessionKey is None

    def test_conflict(self, scene):
        """
        A log-in whose session another worker has just given a new token for another
        owner gets a token of its own: whoever got that one was not let in as him.
        """
        it = scene(SharedStore(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        other = it.browser(it.makeSite(), cookies=browser.cookies)
        tokens = {}

        def logIn(name: str) -> Any:
            async def answer(request: Any) -> bytes:
                session = request.getSession()
                await session.logIn(name)
                tokens[name] = session.uid
                return b""

            return answer

        waiting = [it.ask(browser, logIn("mallory")), it.ask(other, logIn("anna"))]
        it.store.open("loadSession")
        it.store.open("loadSession")
        it.store.openAll()
        responses = [resultOf(each) for each in waiting]
        assert [len(response.cookies) for response in responses] == [1, 1]
        (record,) = it.memory._records.values()
        assert record.sessionKey == "anna"
        assert tokens["anna"] != tokens["mallory"]
        values = [response.cookies[0].value for response in responses]
        assert values == [tokens["mallory"], tokens["anna"]]


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
