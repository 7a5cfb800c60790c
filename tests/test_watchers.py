"""
Tests for L{txsessions.stores.watchers}.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher

from txsessions.lifetime import LOGOUT
from txsessions.record import Record
from txsessions.stores.claim import Ending
from txsessions.stores.watchers import Watchers

SID = "0123456789abcdef" * 2
ENDING = Ending(Record(SID, bytes(32), 0.0, 0.0, 100.0), LOGOUT)


def test_tell() -> None:
    """
    All who watch are told, in their order, as often as they watch, until they stop.
    """
    watchers, heard = Watchers(), []
    assert not watchers

    def ended(*ending: str) -> None:
        heard.append(ending)

    stops = [watchers.watch(ended, lambda: heard.append(("missed",))) for _ in range(2)]
    assert watchers
    watchers.tell([ENDING])
    assert heard == [(SID, LOGOUT)] * 2
    stops[0]()
    stops[0]()
    watchers.missed()
    assert heard[2:] == [("missed",)]
    stops[1]()
    watchers.tell([ENDING])
    watchers.missed()
    assert len(heard) == 3 and not watchers


def test_idle() -> None:
    """
    While nobody watches, what has ended is not even looked at.
    """
    Watchers().tell(ENDING for _ in iter(lambda: 1 / 0, None))


def test_stopAnother() -> None:
    """
    One who is told may stop another, who hears no more at once.
    """
    watchers, heard = Watchers(), []
    stops: list[Any] = []
    watchers.watch(lambda *ending: stops[0](), lambda: None)
    stops.append(watchers.watch(lambda *ending: heard.append(ending), lambda: None))
    watchers.tell([ENDING, ENDING])
    assert heard == []


def test_raising() -> None:
    """
    One who raises is logged, and hurts no other.
    """
    watchers, heard, logged = Watchers(), [], []

    def raises(*ending: str) -> None:
        raise ValueError("broken on purpose")

    watchers.watch(raises, raises)
    watchers.watch(lambda *ending: heard.append(ending), lambda: heard.append(()))
    globalLogPublisher.addObserver(logged.append)
    try:
        watchers.tell([ENDING])
        watchers.missed()
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert heard == [(SID, LOGOUT), ()]
    assert [event["log_failure"].type for event in logged] == [ValueError] * 2
