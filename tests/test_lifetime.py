"""
Tests for L{txsessions.lifetime}.
"""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from txsessions.lifetime import ABSOLUTE, IDLE, deadline, endReason, lastCall, touchInterval

moments = st.floats(0, 4e9)
lengths = st.floats(0, 4e9)


@attrs.define
class Life:
    """
    The times of a session.
    """

    created: float = 1000.0
    lastModified: float = 1000.0
    sessionTimeout: float = 900.0
    absoluteTimeout: float | None = None


lives = st.builds(Life, moments, moments, lengths, st.none() | lengths)


def test_idle() -> None:
    """
    A session lives its idle time-out long after a touch, and not a moment longer.
    """
    life = Life(lastModified=1500.0)
    assert endReason(life, 2399.0) is None
    assert endReason(life, 2399.999) is None
    assert endReason(life, 2400.0) == IDLE
    assert endReason(life, 1e12) == IDLE


def test_absolute() -> None:
    """
    However often it is touched, a session lives no longer than its absolute time-out.
    """
    life = Life(absoluteTimeout=3600.0, lastModified=4500.0)
    assert endReason(life, 4599.0) is None
    assert endReason(life, 4600.0) == ABSOLUTE


def test_firstReasonCounts() -> None:
    """
    Where both time-outs have passed, the one that passed first is the reason.
    """
    assert endReason(Life(absoluteTimeout=901.0), 1e9) == IDLE
    assert endReason(Life(absoluteTimeout=899.0), 1e9) == ABSOLUTE
    assert endReason(Life(absoluteTimeout=900.0), 1e9) == IDLE


@given(lives, moments)
def test_endsAtItsDeadline(life: Life, now: float) -> None:
    """
    A session has ended exactly from its deadline on.
    """
    assert (endReason(life, now) is not None) == (now >= deadline(life))


@given(lives, moments)
def test_touchNeverShortens(life: Life, now: float) -> None:
    """
    A later touch never makes a life shorter, and never longer than the absolute time-out.
    """
    touched = attrs.evolve(life, lastModified=max(life.lastModified, now))
    assert deadline(touched) >= deadline(life)
    if life.absoluteTimeout is not None:
        assert deadline(touched) <= life.created + life.absoluteTimeout


def test_touchInterval() -> None:
    """
    A touch is written after a tenth of the time-out, and after a minute at the latest.
    """
    assert [touchInterval(seconds) for seconds in (0.0, 10.0, 600.0, 86400.0)] == [0, 1, 60, 60]


def test_lastCall() -> None:
    """
    A store hears of a touch five seconds before it would end the session, or a tenth of a short
    time-out before.
    """
    assert lastCall(Life()) == 1895.0
    assert lastCall(Life(sessionTimeout=10.0)) == 1009.0
    assert lastCall(Life(absoluteTimeout=100.0)) == 1095.0
