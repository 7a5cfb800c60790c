"""
Tests for L{txsessions.stores.remembrance}.
"""

from __future__ import annotations

from txsessions.lifetime import IDLE, LOGOUT
from txsessions.stores.remembrance import AT_ONCE, MAXIMUM, RETENTION, Remembrance


def test_remembers() -> None:
    """
    An end is remembered with its reason for an hour, and not longer.
    """
    ends = Remembrance()
    ends.remember("a", LOGOUT, 100.0)
    ends.remember("b", IDLE, 101.0)
    ends.forget(100.0 + RETENTION - 0.001)
    assert (ends.reason("a"), ends.reason("b"), ends.reason("c")) == (LOGOUT, IDLE, None)
    ends.forget(100.0 + RETENTION)
    assert (ends.reason("a"), ends.reason("b")) == (None, IDLE)
    ends.forget(1e12)
    assert ends.reason("b") is None


def test_aMinuteAtLeast() -> None:
    """
    It is longer than the minute that every store owes.
    """
    assert RETENTION >= 60


def test_bounded() -> None:
    """
    Of too many ends the oldest are forgotten first, and never all in one go.
    """
    ends = Remembrance()
    for number in range(MAXIMUM + 10):
        ends.remember(str(number), LOGOUT, float(number))
    assert len(ends._reasons) == len(ends._order) == MAXIMUM
    assert (ends.reason("9"), ends.reason("10")) == (None, LOGOUT)
    ends.forget(1e12)
    assert len(ends._order) == MAXIMUM - AT_ONCE


def test_again() -> None:
    """
    A session that came again after its end was forgotten may end again.
    """
    ends = Remembrance()
    for moment in (0.0, 2 * RETENTION, 4 * RETENTION):
        ends.remember("a", LOGOUT, moment)
        ends.forget(moment + 1)
        assert ends.reason("a") == LOGOUT
        ends.forget(moment + RETENTION)
        assert ends.reason("a") is None
