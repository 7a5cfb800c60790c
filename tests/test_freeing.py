"""
Tests for what an ended session leaves behind.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest
from scenes import count
from twisted.internet.task import Clock
from twisted.web.resource import Resource

import txsessions
from txsessions.stores.memory import MemoryStore
from txsessions.tracker import Tracker


@pytest.fixture(autouse=True)
def withoutCollector() -> Iterator[None]:
    """
    Nobody collects garbage.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def newSite(**attributes: Any) -> Any:
    """
    A site that serves, in virtual time.
    """
    site = txsessions.Site(Resource(), sessionStore=MemoryStore(), reactor=Clock())
    for name, value in attributes.items():
        setattr(site, name, value)
    site.startFactory()
    return site


def unstored(session: Any) -> None:
    """
    It is not stored.
    """


def lookedAt(session: Any) -> None:
    """
    It is not worth storing, and a request has found that out.
    """
    session.site.storeEmptySessions = False
    assert session.pendingCommit() is None


def stored(session: Any) -> None:
    """
    It is stored.
    """
    session.data["n"] = [1]
    session.commit()


def expire(session: Any) -> None:
    """
    Its time is over.
    """
    session.site.reactor.advance(session.sessionTimeout + 1)


def logOut(session: Any) -> None:
    """
    Its user goes.
    """
    session.expire()


def logOutElsewhere(session: Any) -> None:
    """
    Its user goes somewhere else, and this process is told by the store.
    """
    session.lost("logout")


@pytest.mark.parametrize("prepare", [unstored, lookedAt, stored])
@pytest.mark.parametrize("end", [expire, logOut, logOutElsewhere])
def test_freed(prepare: Callable[[Any], None], end: Callable[[Any], None]) -> None:
    """
    A session that has ended is gone when nobody holds it any more, without the
    garbage collector, which holds the reactor for long where many have ended.
    """
    site, told = newSite(), []
    session = site.makeSession()
    prepare(session)
    session.notifyOnExpire(lambda: told.append(True))
    end(session)
    assert told == [True]
    gone = ref(session)
    del session
    assert gone() is None
    site.stopFactory()


@pytest.mark.parametrize("prepare", [lookedAt, stored])
def test_letGoFreed(prepare: Callable[[Any], None]) -> None:
    """
    A session that is let go of is gone when nobody holds it any more, without the
    garbage collector, which would come again and again where many are.
    """
    site = newSite()
    session = site.makeSession()
    prepare(session)
    site.sessions.letGo(session)
    gone = ref(session)
    del session
    assert gone() is None
    site.stopFactory()


def test_strangersFreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many sessions are made, and found again, there are no more of them, and of
    what belongs to them, than are kept.
    """
    monkeypatch.setattr("txsessions.web.live.MAXIMUM", 20)
    monkeypatch.setattr("txsessions.stores.packed.RECENT", 20)
    site = newSite()
    for _ in range(100):
        session = site.makeSession()
        stored(session)
        record = site.sessionStore._records[session.sid]
        site.sessions.letGo(session)
        uid = session.uid
        del session
        stored(site.adoptRecord(uid, record))
    there = gc.get_objects()
    sessions = [each for each in there if type(each) is txsessions.Session and each.site is site]
    trackers = [each for each in there if type(each) is Tracker and each._live in sessions]
    assert [len(sessions), len(trackers)] == [20, 20]
    site.stopFactory()


def test_fewObjects() -> None:
    """
    The garbage collector looks at few objects of a session that is kept: itself, what is
    in it, its callbacks, its tracker, keeper and turns, and what the keeper calls; before
    Python 3.11, its dictionary.
    """
    site = newSite()
    for _ in range(10):
        stored(site.makeSession())
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        session = site.makeSession()
        session.data["n"] = 1
        session.commit()
    gc.collect()
    dictionaries = sys.version_info < (3, 11)
    assert len(gc.get_objects()) - before < 100 * (7.1 + dictionaries)
    site.stopFactory()


def test_endingMakesNoObjects() -> None:
    """
    While many sessions end at once there are not more objects but fewer, so that
    nothing calls the garbage collector.
    """
    site, told, counts = newSite(), [], []

    def count() -> None:
        if len(told) % 100 == 0:
            counts.append(len(gc.get_objects()))
        told.append(True)

    for number in range(1000):
        session = site.makeSession()
        session.notifyOnExpire(count)
        if number % 2:
            stored(session)
    del session
    before = len(gc.get_objects())
    site.reactor.advance(901)
    for _ in range(20):
        site.reactor.advance(0)
    assert len(told) == 1000
    assert max(counts) < before + 200
    assert len(gc.get_objects()) < before - 4500
    site.stopFactory()


def test_requestsFreed(scene: Any) -> None:
    """
    A request that is done is gone at once, and so is all that it had to do with its
    session: nothing of it waits for the garbage collector.
    """
    it, visits = scene(), []

    def answer(request: Any) -> bytes:
        body = count(request)
        visits.extend(map(ref, request._visits.values()))
        return body

    browser = it.browser()
    assert [it.get(browser, answer).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert [visit() for visit in visits] == [None] * 3
