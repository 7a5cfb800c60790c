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


def clockOf(start: float = 1e9) -> Clock:
    """
    A clock that shows a usual time.
    """
    clock = Clock()
    clock.advance(start)
    return clock


def settle(clock: Clock, turns: int = 10_000) -> None:
    """
    Let the reactor run until nothing is due, without any time going by.
    """
    for _ in range(turns):
        due = [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]
        if not due:
            return
        clock.advance(0)
    raise AssertionError("there is no end to it")


def pass_(clock: Clock, seconds: float, step: float = 0.5) -> None:
    """
    Let time go by in steps.
    """
    end = clock.seconds() + seconds
    while clock.seconds() < end:
        settle(clock)
        clock.advance(min(step, end - clock.seconds()))
    settle(clock)


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
