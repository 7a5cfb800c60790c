"""
Observers for tests, and what is logged while they are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from zope.interface import implementer

from txsessions.event import CREATED, SessionEvent
from txsessions.interfaces import ISessionObserver


class TurningClock(Clock):
    """
    A clock whose calls run turn by turn, as those of a reactor: what is made
    during one runs in the next.
    """

    def turn(self, seconds: float = 0.0) -> bool:
        """
        Let time go by, and run once what is due then.

        @return: Whether anything was.
        """
        self.rightNow += seconds
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def advance(self, amount: float) -> None:
        """
        Let time go by, and run what is due until nothing is.
        """
        self.turn(amount)
        for _ in range(100_000):
            if not self.turn():
                return
        raise AssertionError("there is no end to it")


def clockOf(start: float = 1e9) -> TurningClock:
    """
    A clock that shows a usual time.
    """
    clock = TurningClock()
    clock.advance(start)
    return clock


def settle(clock: Clock) -> None:
    """
    Let the reactor run until nothing is due, without any time going by.
    """
    clock.advance(0)


def letPass(clock: Clock, seconds: float, step: float = 0.5) -> None:
    """
    Let time go by in steps.
    """
    for _ in range(round(seconds / step)):
        clock.advance(step)


def created(*ids: int) -> list[SessionEvent]:
    """
    Events of sessions that begin.
    """
    return [SessionEvent(CREATED, each, eventID=f"event-{each}") for each in ids]


@contextmanager
def logged() -> Iterator[list[Any]]:
    """
    What is logged meanwhile.
    """
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def texts(events: list[Any]) -> list[str]:
    """
    What was logged by the library, as lines.
    """
    ours = [each for each in events if str(each.get("log_namespace")).startswith("txsessions")]
    return [formatEvent(each) for each in ours]


@implementer(ISessionObserver)
class Listener:
    """
    Notes what it is told, and does what the test says.

    @ivar heard: The events so far.
    @ivar do: Called with each event; what it returns is returned.
    """

    def __init__(self, do: Any = lambda event: None) -> None:
        self.heard: list[Any] = []
        self.do = do

    def update(self, event: Any) -> Any:
        """
        See L{ISessionObserver.update}.
        """
        self.heard.append(event)
        return self.do(event)


def boom(event: Any) -> None:
    """
    What a broken observer does.
    """
    raise ZeroDivisionError("the observer is broken")
