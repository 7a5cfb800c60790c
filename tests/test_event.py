"""
Tests for L{txsessions.event}.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from zope.interface.verify import verifyObject

from txsessions.event import LastData, SessionEvent
from txsessions.interfaces import (
    ISessionCreated,
    ISessionDestroyed,
    ISessionEvent,
    ISessionExpired,
    ISessionReworked,
)
from txsessions.lifetime import ABSOLUTE, EVICTED, IDLE, LOGOUT, REVOKED
from txsessions.record import Record

SID = "0123456789abcdef" * 2
RECORD = Record(
    SID,
    b"\x11" * 32,
    created=1.0,
    lastModified=2.0,
    sessionTimeout=3.0,
    sessionKey="tuna-owner",
    attributes={
        "data:pin": b'"tuna-4711"',
        "data:cart": b'["apple",{"n":1}]',
        "component:cart": b"{}",
        "fact:x": b"1",
    },
)

KINDS = [
    ("created", None, {ISessionCreated}),
    ("reworked", None, {ISessionReworked}),
    *[("destroyed", reason, {ISessionDestroyed}) for reason in (None, LOGOUT, REVOKED, EVICTED)],
    *[("destroyed", reason, {ISessionDestroyed, ISessionExpired}) for reason in (IDLE, ABSOLUTE)],
]


@pytest.mark.parametrize(("type", "reason", "kinds"), KINDS)
def test_kinds(type: str, reason: str | None, kinds: set[Any]) -> None:
    """
    An event provides the interface of its kind, and no other.
    """
    event = SessionEvent(type, 5, reason=reason)
    for interface in (ISessionEvent, *kinds):
        assert verifyObject(interface, event)
    others = {ISessionCreated, ISessionDestroyed, ISessionExpired, ISessionReworked} - kinds
    assert not [each for each in others if each.providedBy(event)]


def test_facts() -> None:
    """
    It has the facts of the record; without one it has none of them.
    """
    event = SessionEvent("destroyed", SID, SID, IDLE, "id-1", 9.0, RECORD)
    assert (event.type, event.sessionID, event.sid, event.reason) == ("destroyed", SID, SID, IDLE)
    assert (event.eventID, event.time) == ("id-1", 9.0)
    assert (event.sessionKey, event.created, event.lastModified) == ("tuna-owner", 1.0, 2.0)
    assert dict(event.data) == {"pin": "tuna-4711", "cart": ["apple", {"n": 1}]}
    bare = SessionEvent("created", -5)
    assert (bare.sid, bare.reason, bare.sessionKey, bare.created, bare.lastModified) == (None,) * 5
    assert dict(bare.data) == {}


def test_data() -> None:
    """
    The data can only be read; what an observer does to a value, no other one sees; and a value
    is decoded when it is asked for.
    """
    data = SessionEvent("destroyed", SID, record=RECORD).data
    data["cart"].append("pear")
    assert data["cart"] == ["apple", {"n": 1}]
    assert (len(data), "pin" in data, "x" in data, data.get(5)) == (2, True, False, None)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(KeyError):
        data["x"]
    with pytest.raises(TypeError):
        data["pin"] = 1  # type: ignore[index]  # on purpose
    lazy = LastData({"data:good": b"1", "data:bad": b"{"})
    assert (lazy["good"], list(lazy)) == (1, ["good", "bad"])


@pytest.mark.parametrize("sessionID", [SID, b"tuna-token", 4711])
def test_secrecy(sessionID: Any) -> None:
    """
    The text form says the public handle at the most: no id of the caller's, no owner, no value.
    """
    for sid in (None, SID):
        event = SessionEvent("destroyed", sessionID, sid, IDLE, "id-1", 9.0, RECORD)
        text = f"{event!r} {event} {event.data!r}"
        assert "tuna" not in text and "4711" not in text and "pin" not in text
    assert SID in text and "expired-idle" in text
    assert "int" in repr(SessionEvent("created", 4711))


def test_frozen() -> None:
    """
    An event cannot be changed; two of the same facts are equal and can be kept in a set.
    """
    event = SessionEvent("created", 5)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.type = "destroyed"  # type: ignore[misc]  # on purpose
    assert {event, SessionEvent("created", 5), SessionEvent("created", 5, record=RECORD)} == {event}
    assert event != SessionEvent("created", b"5")
    with pytest.raises(ValueError, match="created, destroyed or reworked"):
        SessionEvent("ended", 5)
