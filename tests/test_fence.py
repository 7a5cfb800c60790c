"""
Tests for L{txsessions.stores.fence}.
"""

from __future__ import annotations

from txsessions.stores.fence import DURATION, Fence


def test_moment() -> None:
    """
    What is before the moment comes too late; what is at it or after, of another owner, or of
    an unknown time does not.
    """
    fence = Fence()
    assert not fence.isTooLate("anna", -1e9)
    fence.put("anna", 100.0)
    assert fence.isTooLate("anna", 99.999)
    assert not fence.isTooLate("anna", 100.0)
    assert not fence.isTooLate("anna", None)
    assert not fence.isTooLate("bert", 1.0)


def test_neverBack() -> None:
    """
    The moment does not go back when the clock does.
    """
    fence = Fence()
    fence.put("anna", 100.0)
    fence.put("anna", 50.0)
    assert fence.isTooLate("anna", 75.0)


def test_forgotten() -> None:
    """
    After an hour a moment is forgotten, as soon as others are put, and not before.
    """
    fence = Fence()
    for number in range(10):
        fence.put(f"owner {number}", 0.0)
    fence.put("anna", DURATION - 1)
    assert fence.isTooLate("owner 9", -1.0)
    for _ in range(5):
        fence.put("anna", DURATION)
    assert list(fence._moments) == ["anna"]
    fence.put("bert", 3 * DURATION)
    assert list(fence._moments) == ["bert"]


def test_bounded() -> None:
    """
    Where too many are remembered the oldest is forgotten, and what is older than that comes
    too late for everybody: nobody is let in whom the fence should keep out.
    """
    fence = Fence(maximum=3)
    for number in range(5):
        fence.put(f"owner {number}", float(number))
    assert len(fence._moments) == 3
    assert fence.isTooLate("owner 1", 0.5)
    assert fence.isTooLate("anna", 0.5)
    assert not fence.isTooLate("anna", 1.0)
    assert fence.isTooLate("owner 4", 3.5)
