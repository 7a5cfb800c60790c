"""
Tests for the page on events: what it shows works.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from listening import TurningClock, clockOf, logged, settle
from processes import Process
from test_docs import DOCS, block, blocks, function, run
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from txsessions import SessionManager, Site
from txsessions.courier import BATCH as HELD
from txsessions.courier import LEASE
from txsessions.delivery import ATTEMPTS
from txsessions.event import SessionEvent
from txsessions.interfaces import ISessionDestroyed
from txsessions.publisher import GRACE, MAXIMUM, SLICE
from txsessions.stores import openStore
from txsessions.stores.journal import MAXIMUM as JOURNAL
from txsessions.stores.journal import RETENTION
from txsessions.subject import SessionSubject
from txsessions.testing import resultOf
from txsessions.update import TIMEOUT


@pytest.fixture
def clock() -> TurningClock:
    """
    A clock that shows a usual time.
    """
    return clockOf()


def test_compiles() -> None:
    """
    What is shown as a program is one.
    """
    shown = blocks("events")
    assert len(shown) > 5
    for source in shown:
        function(source, "async def")


def test_callable(clock: TurningClock, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A function is told of a session of a site, with all and with certain kinds of events.
    """
    for part in ("def tell", "ISessionCreated, ISessionExpired"):
        site = Site(Resource(), reactor=clock)
        names = run(block("events", "def tell"), site=site)
        if part != "def tell":
            site.unsubscribe(names["tell"])
            run(block("events", part), site=site, tell=names["tell"])
        site.startFactory()
        session = site.makeSession()
        resultOf(session.commit())
        resultOf(session.logOut())
        settle(clock)
        site.stopFactory()
        settle(clock)
        expected = [f"created {session.sid} None", f"destroyed {session.sid} logout"]
        lines = capsys.readouterr().out.splitlines()
        assert lines == (expected if part == "def tell" else expected[:1])


def test_observer(clock: TurningClock) -> None:
    """
    An observer of a class of its own, a logger and one with a name are told of an ending, and a
    feed gives it.
    """
    site, released = Site(Resource(), reactor=clock), []

    async def release(cart: Any) -> None:
        released.append(cart)

    names = run(block("events", "class Basket"), site=site, release=release)
    run(block("events", "site.subscribe(basket, name="), site=site, basket=names["basket"])
    reading = function(
        block("events", "async for"), "async def", site=site, ISessionDestroyed=ISessionDestroyed
    )
    site.startFactory()
    with logged() as events:
        shown = Deferred.fromCoroutine(reading())
        settle(clock)
        session = site.makeSession()
        session.data["cart"] = ["apple"]
        resultOf(session.commit())
        resultOf(session.logOut())
        clock.advance(5)
    assert released == [["apple"]] * 2
    assert [each["type"] for each in events if each["log_namespace"] == "shop"] == [
        "created",
        "destroyed",
    ]
    site.stopFactory()
    clock.advance(20)
    assert shown.called
    resultOf(shown)


@pytest_twisted.ensureDeferred
async def test_processOfItsOwn(tmp_path: Path) -> None:
    """
    A process that serves nothing tells an observer with a name of what has ended in others,
    and leaves when it is asked to.
    """
    store = openStore(f"sqlite:{tmp_path / 'sessions.db'}")
    await store.setup()
    await store.enrol("baskets")
    manager = SessionManager(store)
    id = await manager.create("alice")
    await manager.delete(id)
    await store.close()
    observer = "def basket(event):\n    print(event.sid, flush=True)\n\n\n"
    program = tmp_path / "program.py"
    program.write_text(observer + block("events", "manager.subscribe(basket"))
    with Process([sys.executable, str(program)], tmp_path) as process:
        process.waitForOutput(id[:32])
        assert process.terminate() == 0
        assert process.errors == ""


def test_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A subject over a file begins and stops.
    """
    monkeypatch.chdir(tmp_path)
    source = block("events", "subject.start()").replace("subject.start()", "")
    assert isinstance(run(source)["subject"], SessionSubject)


def test_figures() -> None:
    """
    The page names the figures that hold, and all facts of an event.
    """
    text = (DOCS / "events.rst").read_text()
    assert (TIMEOUT, MAXIMUM, GRACE, SLICE, HELD, LEASE) == (30.0, 1000, 10.0, 0.005, 50, 30.0)
    assert (ATTEMPTS, JOURNAL, RETENTION) == (10, 1_000_000, 7 * 86400.0)
    for fact in ("type", "sessionID", "sid", "reason", "time", "eventID", "sessionKey", "data"):
        assert f"``event.{fact}``" in text and hasattr(SessionEvent, fact)
    assert re.search(r"^Coming from mtpylon$", text, re.MULTILINE)
