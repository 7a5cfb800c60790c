"""
Tests for the service of a site and its store.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.web.resource import Resource
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.draining import DrainingSite
from txsessions.errors import StoreUnusable
from txsessions.interfaces import IConnectedStore
from txsessions.service import SessionService
from txsessions.stores.memory import MemoryStore


@implementer(IConnectedStore)
class Store(MemoryStore):
    """
    A store whose opening and closing the test decides on.
    """

    def __init__(self, log: list[str], opened: Any) -> None:
        super().__init__()
        self._log = log
        self._opened = opened

    def setup(self):
        """
        See L{ISessionStoreAdministration.setup}.
        """
        self._log.append("setup")
        return self._opened

    def close(self):
        """
        See L{IConnectedStore.close}.
        """
        self._log.append("close")
        return succeed(None)


class Place:
    """
    An endpoint, and its port.
    """

    def __init__(self, log: list[str], listening: Any = None) -> None:
        self._log = log
        self._listening = listening

    def listen(self, factory):
        """
        See L{IStreamServerEndpoint.listen}.
        """
        self._log.append("listen")
        return succeed(self) if self._listening is None else self._listening

    def stopListening(self):
        """
        See L{IListeningPort.stopListening}.
        """
        self._log.append("stop listening")
        return succeed(None)


class Helper(Service):
    """
    A service of the site's resources.
    """

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def stopService(self):
        """
        See L{IService.stopService}.
        """
        self._log.append("stop helper")
        return succeed(None)


class Setting:
    """
    A service, what it did in the order in which it did it, and what it said
    when it gave up.
    """

    def __init__(self, opened: Any, *listening: Any) -> None:
        self.log: list[str] = []
        self.said: list[str] = []
        store = Store(self.log, opened)
        self.site = DrainingSite(Resource(), sessionStore=store, reactor=Clock())
        places = [(f"place {n}", Place(self.log, each)) for n, each in enumerate(listening)]
        self.service = SessionService(
            self.site, store, places, self.said.append, partial(self.log.append, "listening")
        )
        Helper(self.log).setServiceParent(self.service)

    def stop(self) -> None:
        """
        Stop the service.
        """
        assert self.service.stopService().called


def test_provides():
    """
    It is a service.
    """
    assert verifyObject(IService, Setting(succeed(None)).service)


def test_order():
    """
    It opens the store, then listens everywhere; stops listening, stops what
    serves the resources, and closes the store at last.
    """
    opened: Deferred[None] = Deferred()
    setting = Setting(opened, None, None)
    setting.service.startService()
    assert setting.log == ["setup"]
    opened.callback(None)
    assert setting.log == ["setup", "listen", "listen", "listening"]
    del setting.log[:]
    setting.stop()
    assert setting.log[:3] == ["stop listening", "stop listening", "stop helper"]
    assert set(setting.log[3:]) == {"close"}
    assert setting.said == []


@pytest.mark.parametrize("isLate", [False, True])
def test_cannotOpen(isLate):
    """
    A store that cannot be opened is told in one line, at once or later, and
    nobody listens.
    """
    opened: Deferred[None] = Deferred()
    error = StoreUnusable("the sessions in x cannot be used:\nmend it")
    setting = Setting(opened if isLate else fail(error), None)
    setting.service.startService()
    if isLate:
        opened.errback(error)
    assert setting.said == ["the sessions in x cannot be used: mend it"]
    assert "listen" not in setting.log
    setting.stop()
    assert setting.log[-1] == "close"


def test_cannotListen():
    """
    A place where it cannot listen is told in one line; it stops listening
    where it could.
    """
    error = CannotListenError("127.0.0.1", 80, PermissionError(13, "Permission denied"))
    setting = Setting(succeed(None), None, fail(error))
    setting.service.startService()
    assert setting.said == ["cannot listen on place 1: Permission denied"]
    setting.stop()
    assert setting.log.count("stop listening") == 1


def test_noSuchPort():
    """
    A port that no machine has is told in one line, and logged without a traceback.
    """
    events: list[Any] = []
    setting = Setting(succeed(None), fail(OverflowError("bind(): port must be 0-65535.")))
    globalLogPublisher.addObserver(events.append)
    try:
        setting.service.startService()
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert setting.said == ["cannot listen on place 0: bind(): port must be 0-65535."]
    assert not [event for event in events if "log_failure" in event]
    setting.stop()


def test_unexpected():
    """
    An error that nobody has thought of is told in one line too, and logged
    with its traceback.
    """
    events: list[Any] = []
    setting = Setting(fail(ZeroDivisionError("division\nby zero")), None)
    globalLogPublisher.addObserver(events.append)
    try:
        setting.service.startService()
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert setting.said == ["cannot start: ZeroDivisionError: division by zero (see the log)"]
    (logged,) = [event for event in events if "log_failure" in event]
    assert logged["log_failure"].check(ZeroDivisionError)
    setting.stop()


def test_stoppedWhileOpening():
    """
    It can be stopped while the store is being opened: it does not listen
    then, and closes the store.
    """
    setting = Setting(Deferred(), None)
    setting.service.startService()
    setting.stop()
    assert "listen" not in setting.log
    assert setting.log[-1] == "close"
    assert setting.said == []


def test_stepFails(monkeypatch):
    """
    What goes wrong while it stops is logged, and does not keep it from
    closing the store.
    """
    events: list[Any] = []
    setting = Setting(succeed(None), None)
    setting.service.startService()
    monkeypatch.setattr(Place, "stopListening", lambda self: fail(ZeroDivisionError()))
    globalLogPublisher.addObserver(events.append)
    try:
        setting.stop()
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert setting.log[-1] == "close"
    assert len([event for event in events if "log_failure" in event]) == 1


def test_neverStarted():
    """
    A service that was never started can be stopped.
    """
    setting = Setting(succeed(None), None)
    setting.stop()
    assert "stop listening" not in setting.log
