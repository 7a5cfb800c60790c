"""
Tests for L{txsessions.redis.backoff}.
"""

from __future__ import annotations

from txsessions.redis.backoff import INITIAL, MAXIMUM, delay


def test_doublesUpToAMaximum() -> None:
    """
    Without jitter the wait doubles with each failure and ends at its maximum, however many
    failures there were.
    """
    waits = [delay(failures, lambda: 0.0) for failures in range(1, 7)]
    assert waits == [INITIAL, 0.2, 0.4, 0.8, MAXIMUM, MAXIMUM]
    assert delay(10_000, lambda: 0.0) == MAXIMUM


def test_jitter() -> None:
    """
    Chance takes off up to half of the wait.
    """
    assert delay(1, lambda: 1.0) == INITIAL / 2
    assert INITIAL / 2 < delay(1, lambda: 0.5) < INITIAL
