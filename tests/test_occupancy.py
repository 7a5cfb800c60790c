"""
Tests for L{txsessions.stores.occupancy}.
"""

from __future__ import annotations

from typing import Any

from txsessions.record import AUTHENTICATED, Record, timeText
from txsessions.stores.occupancy import Occupancy


def newRecord(number: int, sessionKey: str | None = "anna", **facts: Any) -> Record:
    """
    A record.
    """
    return Record(f"{number:032x}", b"v" * 32, 0.0, 0.0, 100.0, sessionKey=sessionKey, **facts)


def sidsOf(occupancy: Occupancy, sessionKey: str = "anna") -> list[str]:
    """
    Who has a place.
    """
    return [record.sid for record in occupancy.of(sessionKey)]


def isEmpty(occupancy: Occupancy) -> bool:
    """
    Whether nothing is left behind.
    """
    return not (occupancy._seen or occupancy._entering or occupancy._owned)


def test_seen() -> None:
    """
    A session has a place of the owner with whom it was last seen, and none when it is gone.
    """
    occupancy = Occupancy()
    one, two = newRecord(1), newRecord(2)
    for record in (one, two, newRecord(3, None)):
        occupancy.see(record)
    assert sidsOf(occupancy) == [one.sid, two.sid]
    occupancy.see(newRecord(1, "bert"))
    assert (sidsOf(occupancy), sidsOf(occupancy, "bert")) == ([two.sid], [one.sid])
    occupancy.see(newRecord(1, None))
    occupancy.forget(two.sid)
    occupancy.forget(two.sid)
    assert isEmpty(occupancy)


def test_little() -> None:
    """
    Of a record no more is kept than tells when it logged in, as it was last seen; and nothing
    that is secret.
    """
    occupancy = Occupancy()
    facts = {AUTHENTICATED: timeText(5.0), "data:a": b"secret"}
    occupancy.see(newRecord(1, attributes=facts))
    (known,) = occupancy.of("anna")
    assert (known.authenticatedAt, known.verifier) == (5.0, b"")
    assert list(known.attributes) == [AUTHENTICATED]
    occupancy.see(newRecord(1, attributes={AUTHENTICATED: timeText(7.0)}))
    (known,) = occupancy.of("anna")
    assert known.authenticatedAt == 7.0


def test_entering() -> None:
    """
    A session that is about to log in has its place at once, beside the one that it had, and
    keeps what it was seen with when nothing comes of it.
    """
    occupancy = Occupancy()
    occupancy.see(newRecord(1, "bert"))
    occupancy.enter(newRecord(1, "anna"), "anna")
    sid = newRecord(1).sid
    assert (sidsOf(occupancy), sidsOf(occupancy, "bert")) == ([sid], [sid])
    assert occupancy.of("bert")[0].sessionKey == "bert"
    occupancy.entered(sid)
    assert (sidsOf(occupancy), sidsOf(occupancy, "bert")) == ([], [sid])
    occupancy.enter(newRecord(1, "bert"), "bert")
    occupancy.see(newRecord(1, "bert"))
    occupancy.entered(sid)
    assert sidsOf(occupancy, "bert") == [sid]
    occupancy.enter(newRecord(1, "bert"), "bert")
    occupancy.forget(sid)
    assert sidsOf(occupancy, "bert") == [sid]
    occupancy.entered(sid)
    assert isEmpty(occupancy)


def test_leaving() -> None:
    """
    A session that is about to leave has no place, and is its owner's still.
    """
    occupancy = Occupancy()
    for number in (1, 2):
        occupancy.see(newRecord(number))
    occupancy.leaving[newRecord(1).sid] = "evicted"
    assert sidsOf(occupancy) == [newRecord(2).sid]
    assert occupancy.all("anna") == [newRecord(1).sid, newRecord(2).sid]
    assert occupancy.all("bert") == []
