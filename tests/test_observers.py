"""
Tests for L{txsessions.observers}.
"""

from __future__ import annotations

import io
import json
from functools import partial
from typing import Any

import pytest
from listening import Listener, TurningClock, clockOf, logged, settle, texts
from twisted.internet.defer import DeferredQueue
from twisted.logger import ILogObserver, Logger, LogLevel, jsonFileLogObserver
from twisted.python.components import registerAdapter
from zope.interface import Interface, implementer, provider
from zope.interface.verify import verifyObject

from txsessions.event import SessionEvent
from txsessions.interfaces import ISessionObserver
from txsessions.observers import CallingObserver, LoggingObserver, QueueingObserver, adapt
from txsessions.publisher import EventPublisher
from txsessions.record import Record

SID = "0123456789abcdef" * 2
RECORD = Record(SID, bytes(32), 1.0, 2.0, 3.0, None, "tuna-owner", {"data:pin": b'"tuna"'})
EVENT = SessionEvent("destroyed", SID, SID, "logout", "id-1", 9.0, RECORD)
OWN = SessionEvent("created", b"tuna", None, None, "id-2", 9.0)


class Plain:
    """
    An observer that does not say so.
    """

    def update(self, event: SessionEvent) -> None:
        """
        See L{ISessionObserver.update}.
        """


@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


@pytest.mark.parametrize(
    "observer",
    [CallingObserver(print), LoggingObserver(Logger()), QueueingObserver(DeferredQueue())],
)
def test_interface(observer: Any) -> None:
    """
    Each adapter is an observer, and so is what provides that already.
    """
    assert verifyObject(ISessionObserver, observer)
    assert ISessionObserver(observer) is observer
    listener = Listener()
    assert ISessionObserver(listener) is listener


def test_callables() -> None:
    """
    Any callable is called with the event, and what it returns is returned.
    """

    class Callable:
        def __call__(self, event: Any) -> Any:
            return event, "called"

        def method(self, event: Any) -> Any:
            return event, "called"

    def function(event: Any) -> Any:
        return event, "called"

    added = partial(lambda text, event: (event, text), "called")
    for each in (Callable(), Callable().method, function, added):
        observer: Any = ISessionObserver(each)
        assert observer.update(EVENT) == (EVENT, "called")


class TestLogger:
    """
    A logger.
    """

    def test_event(self) -> None:
        """
        It logs one structured event at info, in its own namespace.
        """
        with logged() as events:
            ISessionObserver(Logger("shop.sessions")).update(EVENT)  # type: ignore[call-arg]  # adapts
        (event,) = events
        assert (event["log_level"], event["log_namespace"]) == (LogLevel.info, "shop.sessions")
        assert {key: event[key] for key in ("sid", "type", "reason", "eventID")} == {
            "sid": SID,
            "type": "destroyed",
            "reason": "logout",
            "eventID": "id-1",
        }

    @pytest.mark.parametrize("event", [EVENT, OWN])
    def test_secrecy(self, event: SessionEvent) -> None:
        """
        Nothing secret goes into the log, in whichever form it is written.
        """
        out = io.StringIO()
        observer: Any = ISessionObserver(jsonFileLogObserver(out))
        observer.update(event)
        with logged() as events:
            ISessionObserver(Logger()).update(event)  # type: ignore[call-arg]  # adapts
        assert "tuna" not in out.getvalue() + repr(events) + str(texts(events))

    def test_logObserver(self) -> None:
        """
        What observes the log gets the same, be it an object or a function.
        """
        out = io.StringIO()
        got: list[Any] = []

        @provider(ILogObserver)
        def function(event: Any) -> None:
            got.append(event)

        for each in (jsonFileLogObserver(out), function):
            ISessionObserver(each).update(EVENT)  # type: ignore[call-arg]  # adapts
        assert json.loads(out.getvalue().strip("\x1e\n"))["sid"] == SID == got[0]["sid"]
        assert got[0]["log_namespace"] == "txsessions"


class TestQueue:
    """
    A queue.
    """

    def test_order(self, clock: TurningClock) -> None:
        """
        It gets the events in their order.
        """
        queue: DeferredQueue[Any] = DeferredQueue()
        publisher = EventPublisher(clock)
        publisher.subscribe(queue)
        for event in range(5):
            publisher.publish(event)
        settle(clock)
        assert queue.pending == [0, 1, 2, 3, 4]

    def test_overflow(self, clock: TurningClock) -> None:
        """
        What does not fit is dropped and counted; that is logged once, and is no failure.
        """
        queue: DeferredQueue[Any] = DeferredQueue(size=2)
        publisher = EventPublisher(clock)
        publisher.subscribe(queue)
        with logged() as events:
            for event in range(5):
                publisher.publish(event)
            settle(clock)
        assert queue.pending == [0, 1] and publisher.dropped == 3
        (text,) = texts(events)
        assert "too slow" in text and "DeferredQueue" in text
        del queue.pending[:]
        publisher.publish(5)
        settle(clock)
        assert queue.pending == [5]


class TestRegistered:
    """
    Adapters of an application's own.
    """

    def test_wins(self) -> None:
        """
        The one that is registered for a class, or an interface, goes before that for callables,
        and before that for what observes the log.
        """

        class IMailer(Interface):
            """
            Sends mail.
            """

        class Class:
            def __call__(self, event: Any) -> None:
                raise AssertionError("called")

        @implementer(IMailer)
        class Mailer(Class):
            pass

        @implementer(ILogObserver)
        class Both(Class):
            pass

        adapted = Listener()
        for kind in (Class, IMailer, Both):
            registerAdapter(lambda original: adapted, kind, ISessionObserver)
        for observer in (Class(), Mailer(), Both()):
            assert ISessionObserver(observer) is adapted

    def test_told(self, clock: TurningClock) -> None:
        """
        What has an adapter can be subscribed, for which one is made, and unsubscribed.
        """

        class Thing:
            pass

        adapted, things = Listener(), []
        registerAdapter(
            lambda original: things.append(original) or adapted,  # type: ignore[func-returns-value]  # short
            Thing,
            ISessionObserver,
        )
        thing = Thing()
        publisher = EventPublisher(clock)
        for _ in range(2):
            publisher.subscribe(thing)
        assert things == [thing]
        publisher.publish("event")
        settle(clock)
        publisher.unsubscribe(thing)
        publisher.publish("more")
        settle(clock)
        assert adapted.heard == ["event"] and not publisher.hasSubscribers


class TestNone:
    """
    What is no observer.
    """

    @pytest.mark.parametrize("thing", [5, "tuna", None, {"tuna": 1}, [print]])
    def test_refused(self, thing: Any) -> None:
        """
        It is refused at once, in one line that says what would be one and repeats nothing.
        """
        with pytest.raises(TypeError, match="is no observer: subscribe a callable") as caught:
            EventPublisher(clockOf()).subscribe(thing)
        assert "tuna" not in str(caught.value) and "\n" not in str(caught.value)

    def test_undeclared(self) -> None:
        """
        One that has an C{update}, and does not say so, is told how to say it.
        """
        with pytest.raises(TypeError, match=r"has @implementer\(ISessionObserver\) before it"):
            adapt(Plain())

    def test_class(self) -> None:
        """
        A class whose instances are observers is refused, since it would be called.
        """
        for kind in (Listener, Plain):
            with pytest.raises(TypeError, match=r"subscribe an instance of \w+, not the class"):
                adapt(kind)
        assert ISessionObserver(dict, None) is not None
