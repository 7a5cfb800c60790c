"""
Tests for durations as people write them.
"""

from __future__ import annotations

import pytest

from txsessions.duration import seconds, spell


@pytest.mark.parametrize(
    ("text", "expected"),
    [("900", 900), ("1.5", 1.5), ("90s", 90), ("15m", 900), ("12h", 43200), (" 30d ", 2592000)],
)
def test_seconds(text, expected):
    """
    A duration is a number of seconds, or a number and a unit.
    """
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "1w", "m", "1 m", "1e3", "inf", "9" * 13])
def test_none(text):
    """
    Anything else is refused, and the error says how to write one.
    """
    with pytest.raises(ValueError, match=r"write 900 \(seconds\), 15m, 12h or 30d"):
        seconds(text)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h 5 s"),
        (90061, "1 d 1 h"),
        (30 * 86400, "30 d"),
    ],
)
def test_spell(duration, expected):
    """
    A duration is spelled in its two largest units.
    """
    assert spell(duration) == expected
