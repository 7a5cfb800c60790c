"""
Tests for sessions at rest: those that have their record, and no tracker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled
from twisted.internet.task import Clock
from twisted.web.resource import Resource

import txsessions
from txsessions.errors import SessionEnded, SessionError, SessionNotFound, StoreUnavailable
from txsessions.record import Change
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore, resultOf
from txsessions.token import INSECURE


def newSite(store: Any = None) -> Any:
    """
    A site that serves, in virtual time.
    """
    site = txsessions.Site(Resource(), sessionStore=store or MemoryStore(), reactor=Clock())
    site.startFactory()
    return site


def atRest(site: Any) -> Any:
    """
    A session that is stored, and at rest.
    """
    session = site.makeSession()
    session.data["n"] = [1]
    resultOf(session.commit())
    session.rest()
    assert session._tracker is None
    return session


def recordOf(session: Any) -> Any:
    """
    What is stored of it.
    """
    return resultOf(session.site.sessionStore.loadSession(session.sid))


def test_known() -> None:
    """
    It knows what it knew, without a tracker.
    """
    session = atRest(newSite())
    assert session.isStored() and session.isExact() and session.doubts == 0
    assert session.isOpenedBy(session.uid, INSECURE)
    assert session.data == {"n": [1]}
    assert session.nextDuty() == session.lastModified + session.sessionTimeout
    assert session._tracker is None


def test_saved() -> None:
    """
    What changes in it then is saved, also deep inside, and nothing else.
    """
    session = atRest(newSite())
    session.data["n"].append(2)
    session.sessionKey = "anna"
    session.sessionTimeout = 60.0
    resultOf(session.commit())
    record = recordOf(session)
    assert record.attributes == {"data:n": b"[1,2]"}
    assert (record.sessionKey, record.sessionTimeout, record.version) == ("anna", 60.0, 2)


def test_nothingToSave() -> None:
    """
    A commit changes nothing where nothing has changed.
    """
    session = atRest(newSite())
    resultOf(session.commit())
    assert recordOf(session).version == 1


def test_changedElsewhere() -> None:
    """
    What somebody else stored meanwhile is known to be in doubt, and is not lost.
    """
    site = newSite()
    session = atRest(site)
    site.sessionStore.saveSession(Change(session.sid, set={"data:other": b"7"}))
    site.sessionChanged(session.sid)
    assert not session.isExact() and session.doubts == 1
    session.data["n"].append(2)
    resultOf(session.commit())
    assert recordOf(session).attributes == {"data:n": b"[1,2]", "data:other": b"7"}


def test_endedElsewhere() -> None:
    """
    When it is ended its callbacks are told, and nothing saves it any more.
    """
    site, told = newSite(), []
    session = atRest(site)
    session.notifyOnExpire(lambda: told.append(True))
    site.sessionManager.store.deleteSession(session.sid)
    assert (told, session.endReason) == ([True], "revoked")
    session.data["n"] = 2
    with pytest.raises(SessionEnded):
        resultOf(session.commit())


def test_expires() -> None:
    """
    It is alive a moment before its deadline, and has ended at it, here and in the store.
    """
    site, told = newSite(), []
    session = atRest(site)
    session.notifyOnExpire(lambda: told.append(True))
    site.reactor.advance(899.9)
    assert told == [] and session._tracker is None
    site.reactor.advance(0.1)
    assert (told, session.endReason) == ([True], "expired-idle")
    assert not resultOf(site.sessionStore.hasSession(session.sid))


def test_touchedElsewhere() -> None:
    """
    At its deadline the store is asked, which may know of a later one.
    """
    site = newSite()
    session = atRest(site)
    site.reactor.advance(600)
    site.sessionStore.saveSession(Change(session.sid, lastModified=site.reactor.seconds()))
    site.reactor.advance(899.9)
    assert session.endReason is None
    site.reactor.advance(0.1)
    assert session.endReason == "expired-idle"


@pytest.mark.parametrize(
    "act", [lambda session: session.rework(), lambda session: session.logIn("anna")]
)
def test_reworked(act: Callable[[Any], Any]) -> None:
    """
    It gets another token like any other.
    """
    session = atRest(newSite())
    before = session.uid
    resultOf(act(session))
    assert session.uid != before
    session.rest()
    assert session.isOpenedBy(session.uid, INSECURE)
    assert not session.isOpenedBy(before, INSECURE)


def test_notWhileBusy() -> None:
    """
    While something is under way it does not rest.
    """
    store = GatedStore(MemoryStore(), "createSession")
    session = newSite(store).makeSession()
    done = session.commit()
    session.rest()
    assert session._tracker is not None
    store.openAll()
    resultOf(done)
    session.rest()
    assert session._tracker is None and session.isStored()


def test_notInDoubt() -> None:
    """
    Where the store did not say what became of a step, it does not rest.
    """
    store = FailingStore(MemoryStore())
    session = newSite(store).makeSession()
    store.fail("createSession")
    with pytest.raises(StoreUnavailable):
        resultOf(session.commit())
    session.rest()
    assert session._tracker is not None
    assert not session.isStored()


def test_doubtsCount() -> None:
    """
    A doubt that was settled is not forgotten, lest what was loaded before settles a later one.
    """
    session = atRest(newSite())
    session.doubt()
    session.refresh(recordOf(session))
    session.rest()
    assert session.isExact() and session.doubts == 1


def test_notWhenEnded() -> None:
    """
    One that has ended stays so.
    """
    session = atRest(newSite())
    session.expire()
    session.rest()
    with pytest.raises(SessionEnded):
        resultOf(session.commit())


STEPS: dict[str, Callable[[Any], object]] = {
    "assign": lambda session: session.data.__setitem__("a", len(session.data)),
    "nest": lambda session: session.data.setdefault("b", []).append(1),
    "remove": lambda session: session.data.pop("a", None),
    "timeout": lambda session: setattr(session, "sessionTimeout", session.sessionTimeout + 1),
    "touch": lambda session: session.touch(),
    "later": lambda session: session.site.reactor.advance(200),
    "commit": lambda session: resultOf(session.commit()),
    "modify": lambda session: resultOf(session.modify(lambda data: data.update(c=len(data)))),
    "logIn": lambda session: resultOf(session.logIn("anna")),
    "forget": lambda session: session.forgetChanges(),
    "doubt": lambda session: session.doubt(),
    "elsewhere": lambda session: session.site.sessionStore.saveSession(
        Change(session.sid, set={"data:a": b"99"})
    ).addErrback(lambda failure: failure.trap(SessionNotFound)),
}


def lived(steps: list[str], rests: bool) -> list[Any]:
    """
    What a session does in its life, and what is stored then.

    @param rests: Whether it rests after each step.
    """
    session, seen = newSite().makeSession(), []
    for step in steps:
        try:
            STEPS[step](session)
        except (SessionError, AlreadyCalled) as e:
            seen.append(type(e))
        if rests:
            session.rest()
        record = recordOf(session) if session.endReason is None else None
        seen.append(
            (
                dict(session.data),
                session.endReason,
                session.sessionTimeout,
                session.sessionKey,
                session.isStored(),
                record and (record.attributes, record.version, record.lastModified),
            )
        )
    return seen


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=15))
def test_same(steps: list[str]) -> None:
    """
    A session that rests whenever it can lives as one that never does.
    """
    assert lived(steps, rests=True) == lived(steps, rests=False)
