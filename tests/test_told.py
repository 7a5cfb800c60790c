"""
Tests for L{txsessions.stores.told}, with the example in the documentation.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from test_own import OwnContract, newRecord
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions import Site
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import (
    IConnectedStore,
    ISessionIndex,
    ISessionStorage,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from txsessions.record import Change
from txsessions.stores import openStore
from txsessions.stores.oneprocess import REST
from txsessions.testing import Browser, resultOf

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "own_storage.py"))
SID = "0123456789abcdef" * 2


@implementer(ISessionStorage)
class NotingStorage:
    """
    Notes what it is told, and insists that all is told once.
    """

    def __init__(self) -> None:
        self.sessions: set[Any] = set()
        self.told: list[tuple[str, Any]] = []
        self.isDown = False

    def createSession(self, sessionID: Any) -> Any:
        self._note("created", sessionID)
        assert sessionID not in self.sessions
        self.sessions.add(sessionID)

    def hasSession(self, sessionID: Any) -> Any:
        if self.isDown:
            raise OSError("down")
        return sessionID in self.sessions

    def destroySession(self, sessionID: Any) -> Any:
        self._note("destroyed", sessionID)
        self.sessions.remove(sessionID)

    def _note(self, what: str, sessionID: Any) -> None:
        if self.isDown:
            raise OSError("down")
        self.told.append((what, sessionID))


class WaitingStorage(NotingStorage):
    """
    Takes a while, and answers with a Deferred or by a coroutine.
    """

    def createSession(self, sessionID: Any) -> Any:
        created = super().createSession
        return deferLater(reactor, 0.001, created, sessionID)

    async def hasSession(self, sessionID: Any) -> Any:
        await deferLater(reactor, 0)
        return super().hasSession(sessionID)

    async def destroySession(self, sessionID: Any) -> Any:
        await deferLater(reactor, 0.001)
        super().destroySession(sessionID)


class GatedStorage(NotingStorage):
    """
    Answers to an end when the test says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate: Deferred[None] = Deferred()

    def destroySession(self, sessionID: Any) -> Any:
        super().destroySession(sessionID)
        return self.gate


class ToldContract(OwnContract):
    """
    What a storage owes as a store.
    """

    storage: Any

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return self.adapted(self.storage())


class TestNotingStorage(ToldContract):
    """
    A storage with plain methods is a whole store within one process.
    """

    storage = NotingStorage


class TestWaitingStorage(ToldContract):
    """
    One whose methods take a while is one as well.
    """

    storage = WaitingStorage


class TestExample(ToldContract):
    """
    The example of the documentation is one as well.
    """

    @staticmethod
    def storage() -> Any:
        """
        A new one.
        """
        return EXAMPLE["SetStorage"]()


@pytest.fixture
def storage() -> NotingStorage:
    """
    A storage that has been told nothing.
    """
    return NotingStorage()


@pytest.fixture
def clock() -> Clock:
    """
    A clock that shows zero.
    """
    return Clock()


def storeOf(storage: Any, clock: Clock) -> Any:
    """
    The store that tells a storage.
    """
    store = ISessionStore(storage)
    store.clock = clock
    return store


class TestAdapter:
    """
    How a storage becomes a store.
    """

    def test_provides(self, storage: NotingStorage) -> None:
        """
        The adapter provides all interfaces of a store, is one, and is for one process.
        """
        assert verifyObject(ISessionStorage, storage)
        for interface in (
            ISessionStore,
            ISessionSweep,
            ISessionIndex,
            ISessionStoreAdministration,
            IConnectedStore,
        ):
            assert verifyObject(interface, interface(storage))
            assert interface(storage) is ISessionStore(storage)
        assert ISessionStoreAdministration(storage).isMultiprocessSafe is False

    def test_openStore(self) -> None:
        """
        It can be had by the storage's name.
        """
        store = openStore("test_told.NotingStorage")
        assert verifyObject(ISessionStore, store)
        assert resultOf(store.createSession(newRecord()))

    def test_exampleDestroysNothing(self) -> None:
        """
        The example does not mind to be told of what it does not have.
        """
        example = EXAMPLE["SetStorage"]()
        resultOf(Deferred.fromCoroutine(example.destroySession(5)))
        assert resultOf(Deferred.fromCoroutine(example.hasSession(5))) is False
        assert verifyObject(ISessionStorage, example)


class TestTelling:
    """
    What a storage is told.
    """

    def test_once(self, storage: NotingStorage, clock: Clock) -> None:
        """
        It is told of each creation and of each end once, whatever else happens, by the public
        handle.
        """
        store = storeOf(storage, clock)
        created = [store.createSession(newRecord()) for _ in range(3)]
        assert [resultOf(each) for each in created] == [True, False, False]
        resultOf(store.saveSession(Change(SID, set={"data:a": b"1"}, lastModified=5.0)))
        assert storage.told == [("created", SID.encode())]
        ended = [resultOf(store.deleteSession(SID)) for _ in range(3)]
        assert [record is not None for record in ended] == [True, False, False]
        assert resultOf(store.createSession(newRecord())) is False
        assert storage.told == [("created", SID.encode()), ("destroyed", SID.encode())]

    def test_expiry(self, storage: NotingStorage, clock: Clock) -> None:
        """
        It is told of a session that expired when the session is claimed.
        """
        store = storeOf(storage, clock)
        resultOf(store.createSession(newRecord(sessionTimeout=60.0)))
        clock.advance(59.9)
        assert not resultOf(store.claimExpired(9)).endings
        assert storage.sessions
        clock.advance(0.1)
        assert len(resultOf(store.claimExpired(9)).endings) == 1
        assert storage.told[1:] == [("destroyed", SID.encode())]

    def test_concurrentEnds(self, clock: Clock) -> None:
        """
        Of two who end a session at the same time one gets it, when the storage has confirmed
        that; and a save in the meantime does not bring it back.
        """
        storage = GatedStorage()
        store = storeOf(storage, clock)
        resultOf(store.createSession(newRecord()))
        ends = [store.deleteSession(SID), store.deleteSession(SID)]
        save = store.saveSession(Change(SID, set={"data:a": b"1"}))
        assert not any(each.called for each in [*ends, save])
        storage.gate.callback(None)
        assert [resultOf(end) is not None for end in ends] == [True, False]
        with pytest.raises(Exception, match="has ended"):
            resultOf(save)
        assert len(storage.told) == 2

    def test_down(self, storage: NotingStorage, clock: Clock) -> None:
        """
        A storage that raises makes the store unavailable: no session begins or ends then, and
        those that live go on.
        """
        store = storeOf(storage, clock)
        resultOf(store.createSession(newRecord()))
        storage.isDown = True
        other = newRecord(sid=SID[::-1])
        for call in (
            lambda: store.deleteSession(SID),
            lambda: store.createSession(other),
            lambda: store.loadSession(other.sid),
        ):
            with pytest.raises(StoreUnavailable, match=r"ToldStore.*OSError"):
                resultOf(call())
        resultOf(store.saveSession(Change(SID, lastModified=1.0)))
        storage.isDown = False
        assert resultOf(store.hasSession(SID))
        assert resultOf(store.createSession(other)) is True

    def test_endIsTriedAgain(self, storage: NotingStorage, clock: Clock) -> None:
        """
        An expiry that the storage did not take is told again, and only then is an end.
        """
        store = storeOf(storage, clock)
        resultOf(store.createSession(newRecord()))
        clock.advance(100)
        storage.isDown = True
        with pytest.raises(StoreUnavailable):
            resultOf(store.claimExpired(9))
        storage.isDown = False
        clock.advance(REST)
        assert len(resultOf(store.claimExpired(9)).endings) == 1
        assert not storage.sessions


class TestRestart:
    """
    What a storage has from a process that was there before.
    """

    @pytest.fixture
    def left(self, storage: NotingStorage, clock: Clock) -> Any:
        """
        A store whose storage has two sessions that the store does not know.
        """
        storage.sessions = {SID.encode(), b"other"}
        return storeOf(storage, clock)

    @pytest.mark.parametrize("method", ["loadSession", "hasSession", "deleteSession"])
    def test_absent(self, left: Any, storage: NotingStorage, method: str) -> None:
        """
        It is absent, and is destroyed when somebody asks for it, once; others stay.
        """
        for _ in range(2):
            assert not resultOf(getattr(left, method)(SID))
        assert storage.told == [("destroyed", SID.encode())]
        assert storage.sessions == {b"other"}

    def test_anew(self, left: Any, storage: NotingStorage) -> None:
        """
        One that is created anew is destroyed first.
        """
        assert resultOf(left.createSession(newRecord())) is True
        assert [what for what, _ in storage.told] == ["destroyed", "created"]


def test_site(storage: NotingStorage, clock: Clock) -> None:
    """
    A site goes on with a storage as with any store: it counts visits, and tells of the
    beginning and of the end.
    """

    def answer(request: Any) -> bytes:
        session = request.getSession()
        if request.path == b"/bye":
            session.expire()
            return b"bye"
        session.data["visits"] = session.data.get("visits", 0) + 1
        return b"%d" % session.data["visits"]

    site = Site(Page(answer), sessionStore=storage, reactor=clock)
    browser = Browser(site)
    assert [resultOf(browser.get("/")).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert [what for what, _ in storage.told] == ["created"]
    assert resultOf(browser.get("/bye")).body == b"bye"
    assert [what for what, _ in storage.told] == ["created", "destroyed"]
    assert not storage.sessions
    assert resultOf(browser.get("/")).body == b"1"
    site.stopFactory()
