"""
Tests for L{txsessions.given}: what an application gives that can be of no use is refused where
it is given, in one line that says what would be, and shows nothing of what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from txsessions import SessionManager, SessionSubject, Site
from txsessions.errors import InvalidSessionData
from txsessions.stores import StoreStorage
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf

TAKERS = [SessionManager, SessionSubject, StoreStorage]


def site(store: Any) -> Site:
    """
    A site over a store.
    """
    return Site(Resource(), sessionStore=store)


@pytest.mark.parametrize("take", [*TAKERS, site])
@pytest.mark.parametrize("thing", ["redis:password=tuna", 5, MemoryStore, object()])
def test_store(take: Callable[..., Any], thing: Any) -> None:
    """
    What is no store is refused, with a word on how to get one.
    """
    with pytest.raises(TypeError, match=r"is not a stor.*openStore\(") as raised:
        take(thing)
    assert "tuna" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("take", [SessionManager, SessionSubject])
@pytest.mark.parametrize("clock", [5, Clock, "reactor"])
def test_clock(take: Callable[..., Any], clock: Any) -> None:
    """
    What is no clock is refused.
    """
    with pytest.raises(TypeError, match="is not a clock: give a reactor"):
        take(MemoryStore(), clock)


@pytest.mark.parametrize("timeout", [0, -5, "900", None, float("nan"), True])
def test_timeout(timeout: Any) -> None:
    """
    A time-out that would end every session at once, or none at its time, is refused.
    """
    with pytest.raises(ValueError, match="sessionTimeout is a number of seconds above 0"):
        StoreStorage(MemoryStore(), sessionTimeout=timeout)


@pytest.mark.parametrize("maximum", [0, -1, "5", 2.5])
def test_maximum(maximum: Any) -> None:
    """
    A feed that could keep no event is refused.
    """
    with pytest.raises(ValueError, match="a whole number of events above 0"):
        SessionSubject(MemoryStore(), Clock()).feed(maximum=maximum)


@pytest.mark.parametrize("owner", [5, b"anna", "\ud800"])
def test_owner(owner: Any) -> None:
    """
    What can be nobody's name is refused before a store is asked, whichever it is: some could
    keep it, and others could not.
    """
    manager = SessionManager(MemoryStore(), Clock())
    for operation in (manager.create, manager.find, manager.clear):
        with pytest.raises((TypeError, InvalidSessionData), match="a session key is "):
            resultOf(operation(owner))
    session = Site(Resource(), reactor=Clock()).makeSession()
    with pytest.raises((TypeError, InvalidSessionData), match="a session key is "):
        session.logIn(owner)
