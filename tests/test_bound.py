"""
Tests for connections that belong to a session, and end with it.
"""

from __future__ import annotations

from typing import Any

import pytest
from listening import letPass
from scenes import SharedStore, count, stored
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.components import registerAdapter
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.bound import ClosableConnection, RequestConnection
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ISessionConnection
from txsessions.lifetime import ABSOLUTE, IDLE, LOGOUT
from txsessions.testing import FailingStore, RecordingStore, resultOf


class Connection:
    """
    Anything that can be closed.

    @ivar closed: How often it was.
    """

    def __init__(self) -> None:
        self.closed = 0
        self.disconnected = False

    def loseConnection(self) -> None:
        """
        Close it.
        """
        self.closed += 1
        self.disconnected = True


class Telephone:
    """
    Something that an application knows how to close.
    """

    def __init__(self) -> None:
        self.isHungUp = False


@implementer(ISessionConnection)
class Call:
    """
    A telephone, for a session.
    """

    def __init__(self, telephone: Telephone) -> None:
        self._telephone = telephone

    def loseConnection(self) -> None:
        self._telephone.isHungUp = True

    def isOpen(self) -> bool:
        return not self._telephone.isHungUp


registerAdapter(Call, Telephone, ISessionConnection)


def bound(it: Any, isActivity: bool = False) -> tuple[Any, Connection]:
    """
    A session with a connection.
    """
    session, connection = stored(it), Connection()
    session.bind(connection, isActivity)
    return session, connection


def protocol() -> Any:
    """
    A protocol with a connection.
    """
    made = Protocol()
    made.makeConnection(StringTransport())
    return made


class TestEnd:
    """
    What the end of a session does to connections.
    """

    def test_logOut(self, scene):
        """
        They are closed when it is logged out, once.
        """
        session, connection = bound(scene())
        session.expire()
        session.expire()
        assert (connection.closed, session.endReason) == (1, LOGOUT)

    def test_timeOut(self, scene):
        """
        They are closed at its time-out, and not before; an open one does not count as
        its use if nobody asked for that.
        """
        it = scene()
        session, connection = bound(it)
        it.clock.advance(899)
        assert connection.closed == 0
        it.clock.advance(1)
        assert (connection.closed, session.endReason) == (1, IDLE)

    def test_endedElsewhere(self, scene):
        """
        They are closed when another process ends it.
        """
        it = scene(SharedStore())
        session, connection = bound(it)
        it.memory.deleteSession(session.sid)
        assert connection.closed == 1

    def test_rework(self, scene):
        """
        They survive that the session gets another token.
        """
        session, connection = bound(scene())
        resultOf(session.rework())
        assert connection.closed == 0
        session.expire()
        assert connection.closed == 1

    def test_failedEnd(self, scene):
        """
        As long as the store does not confirm the end they stay.
        """
        it = scene(wrap=FailingStore)
        session, connection = bound(it)
        it.store.fail("deleteSession")
        with pytest.raises(StoreUnavailable):
            resultOf(session.logOut())
        assert connection.closed == 0
        it.store.mend()
        resultOf(session.logOut())
        assert connection.closed == 1

    def test_tooLate(self, scene):
        """
        What is bound to a session that has ended is closed at once.
        """
        session, connection = stored(scene()), Connection()
        session.expire()
        session.bind(connection)
        assert connection.closed == 1

    def test_raising(self, scene):
        """
        One that cannot be closed is logged, and harms neither the others nor the
        callbacks.
        """
        it, told = scene(), []
        session, first = bound(it)
        broken = Connection()
        broken.loseConnection = lambda: 1 / 0  # type: ignore[method-assign]
        session.bind(broken)
        last = Connection()
        session.bind(last)
        session.notifyOnExpire(lambda: told.append(1))
        session.expire()
        assert (first.closed, last.closed, told) == (1, 1, [1])
        it.errors.flush("division by zero")

    def test_unbindsItself(self, scene):
        """
        One that unbinds itself when it is closed disturbs nothing.
        """
        it = scene()
        session, first = bound(it)
        second = Connection()
        second.loseConnection = lambda: session.unbind(second)  # type: ignore[method-assign]
        third = Connection()
        session.bind(second)
        session.bind(third)
        session.expire()
        assert (first.closed, third.closed) == (1, 1)

    def test_unbind(self, scene):
        """
        What was unbound is let be; what was not bound may be unbound.
        """
        session, connection = bound(scene())
        session.unbind(connection)
        session.unbind(connection)
        session.unbind(Connection())
        session.expire()
        assert connection.closed == 0

    def test_twice(self, scene):
        """
        What was bound twice is closed once.
        """
        session, connection = bound(scene())
        session.bind(connection)
        session.expire()
        assert connection.closed == 1

    def test_kept(self, scene, monkeypatch):
        """
        A session with a connection is kept, however many others there are.
        """
        monkeypatch.setattr("txsessions.web.live.MAXIMUM", 3)
        it = scene()
        session, connection = bound(it)
        uid = session.uid
        del session
        for _ in range(20):
            it.get(it.browser(), count)
        assert uid in it.site.sessions
        it.site.sessions[uid].expire()
        assert connection.closed == 1


class TestActivity:
    """
    A connection that keeps its session alive.
    """

    @pytest.mark.parametrize("kind", [None, SharedStore])
    def test_open(self, scene, kind):
        """
        It lives as long as the connection is open, here and for others, and its time-out
        begins when that is closed.
        """
        it = scene(None if kind is None else kind())
        session, connection = bound(it, isActivity=True)
        letPass(it.clock, 9000)
        assert session.endReason is None
        assert resultOf(it.memory.hasSession(session.sid))
        connection.disconnected = True
        it.clock.advance(800)
        assert session.endReason is None
        it.clock.advance(101)
        assert session.endReason == IDLE

    def test_seldomSaved(self, scene):
        """
        That costs the store a write in most of a time-out.
        """
        it = scene(wrap=RecordingStore)
        bound(it, isActivity=True)
        it.store.calls.clear()
        letPass(it.clock, 9000)
        saves = [call for call in it.store.calls if call.name == "saveSession"]
        assert 10 <= len(saves) <= 12

    def test_absolute(self, scene):
        """
        It puts the absolute time-out off by nothing, and costs no more in the end.
        """
        it = scene(wrap=RecordingStore)
        session = stored(it)
        session.absoluteTimeout = 1000
        resultOf(session.commit())
        connection = Connection()
        session.bind(connection, isActivity=True)
        it.store.calls.clear()
        letPass(it.clock, 999.5)
        assert (connection.closed, session.endReason) == (0, None)
        assert len([call for call in it.store.calls if call.name == "saveSession"]) < 5
        it.clock.advance(0.5)
        assert (connection.closed, session.endReason) == (1, ABSOLUTE)

    def test_unstored(self, scene):
        """
        So it is with a session that is in no store.
        """
        it = scene()
        session, connection = it.site.makeSession(), Connection()
        session.bind(connection, isActivity=True)
        letPass(it.clock, 4500)
        assert session.endReason is None
        session.unbind(connection)
        it.clock.advance(901)
        assert (connection.closed, session.endReason) == (0, IDLE)

    def test_storeDown(self, scene):
        """
        A store that could not hear of it is told again in time.
        """
        it = scene(SharedStore(), wrap=FailingStore)
        session, _ = bound(it, isActivity=True)
        session.sessionTimeout = 7200
        resultOf(session.commit())
        letPass(it.clock, 7190)
        it.store.fail("saveSession")
        it.clock.advance(6)
        it.store.mend()
        letPass(it.clock, 7000)
        assert session.endReason is None
        session.expire()

    def test_boundAnew(self, scene):
        """
        Whether it counts is what was last said.
        """
        it = scene()
        session, connection = bound(it, isActivity=True)
        session.bind(connection)
        it.clock.advance(900)
        assert connection.closed == 1


class TestKinds:
    """
    What can be bound.
    """

    def test_providers(self):
        """
        Ours do what the interface says.
        """
        for provider in (ClosableConnection(Connection()), RequestConnection(object())):
            verifyObject(ISessionConnection, provider)

    def test_protocol(self, scene):
        """
        Of a protocol the transport is closed.
        """
        session, connection = stored(scene()), protocol()
        session.bind(connection)
        session.expire()
        assert connection.transport.disconnecting

    def test_closedProtocol(self):
        """
        A protocol with a C{loseConnection} of its own is not open when its transport has
        gone.
        """
        connection = protocol()
        connection.loseConnection = connection.transport.loseConnection
        assert ClosableConnection(connection).isOpen()
        connection.transport.connected = False
        assert not ClosableConnection(connection).isOpen()

    def test_adapter(self, scene):
        """
        What an application has an adapter for is closed by that.
        """
        session, telephone = stored(scene()), Telephone()
        session.bind(telephone)
        session.expire()
        assert telephone.isHungUp

    def test_nothing(self, scene):
        """
        What nobody knows how to close is refused.
        """
        session = stored(scene())
        with pytest.raises(TypeError, match="object has no loseConnection"):
            session.bind(object())
        session.expire()

    def test_response(self, scene):
        """
        A response that goes on and on is cut off at the end of the session, so that
        nobody takes it for complete; and is unbound when the client leaves.
        """
        it, sessions = scene(), []

        def events(request: Any) -> Any:
            session = request.getSession()
            session.bind(request)
            sessions.append(session)
            request.write(b"data: hello\n\n")
            return NOT_DONE_YET

        browser = it.browser()
        response = it.ask(browser, events)
        (session,) = sessions
        assert len(session._bound) == 1
        session.expire()
        assert len(session._bound) == 0
        with pytest.raises(ConnectionDone):
            resultOf(response)


class Broken:
    """
    A connection that answers nothing, and cannot be closed.
    """

    @property
    def connected(self) -> bool:
        raise RuntimeError("nobody knows")

    def loseConnection(self) -> None:
        raise RuntimeError("it does not close")


def newSession(it: Any) -> Any:
    """
    The session of one more visitor.
    """
    made: list[Any] = []
    it.get(it.browser(), lambda request: made.append(request.getSession()) or b"")
    return made[0]


class TestBroken:
    """
    Connections that raise.
    """

    def test_isOpen(self, scene):
        """
        One that cannot say whether it is open keeps nothing alive, and does not keep other
        sessions from ending.
        """
        it = scene()
        ended = []
        for number in range(3):
            session = newSession(it)
            session.notifyOnExpire(lambda number=number: ended.append(number))
            session.bind(Broken(), isActivity=True)
        it.clock.advance(900)
        it.clock.advance(0)
        assert sorted(ended) == [0, 1, 2]
        it.errors.flush("nobody knows", "it does not close")

    def test_ended(self, scene):
        """
        One that is bound to a session that has ended, and cannot be closed, hurts nobody either.
        """
        it = scene()
        session = stored(it)
        resultOf(session.logOut())
        session.bind(Broken())
        it.errors.flush("it does not close")


@pytest.mark.parametrize("isActivity", [True, False])
def test_onlyBound(scene, isActivity):
    """
    A visitor who has nothing but a connection has a session, which ends with it at its time.
    """
    it = scene()
    it.site.storeEmptySessions = False
    browser, connection = it.browser(), Connection()
    response = it.get(
        browser, lambda request: request.getSession().bind(connection, isActivity) or b""
    )
    assert len(response.cookies) == 1
    letPass(it.clock, 2000)
    assert connection.closed == (not isActivity)
    assert len(it.memory._records) == isActivity
    connection.disconnected = True
    letPass(it.clock, 2000)
    assert len(it.memory._records) == 0


@pytest.mark.parametrize("isActivity", [True, False])
def test_goneRequest(scene, isActivity):
    """
    A request whose client has left already is not held on to until the session ends.
    """
    it = scene()
    browser, requests = it.browser(), []
    connection = browser.connect()
    it.ask(connection, lambda request: (requests.append(request), NOT_DONE_YET)[1]).addErrback(
        lambda failure: None
    )
    connection.disconnect()
    session = stored(it)
    session.bind(requests[0], isActivity)
    assert not session._bound
