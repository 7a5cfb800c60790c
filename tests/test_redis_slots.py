"""
Tests for L{txsessions.redis.slots}.
"""

from __future__ import annotations

import pytest

from txsessions.redis.address import Address
from txsessions.redis.slots import SLOTS, parseRedirection, parseSlots, slotOf

ASKED = Address("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # The check value of CRC16/XMODEM, of the Cluster specification.
        (b"123456789", 0x31C3),
        ("{user1000}.following", slotOf("user1000")),
        ("foo{}{bar}", slotOf(b"foo{}{bar}")),
        ("foo{{bar}}zap", slotOf("{bar")),
        ("foo{bar}{zap}", slotOf("bar")),
        ("foo{bar", slotOf(b"foo{bar")),
    ],
)
def test_slotOf(key: str | bytes, slot: int) -> None:
    """
    The slot of a key is that of the Cluster specification, its examples of braces included.
    """
    assert slotOf(key) == slot
    assert slotOf("foo{}{bar}") != slotOf("bar")


def test_parseSlots() -> None:
    """
    The map names the master of each slot; a node without a host of its own is the one who was
    asked.
    """
    masters = parseSlots(
        [
            [0, 5, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.9", 7009, b"id"]],
            [7, 7, [b"", 7002]],
            [9, SLOTS - 1, [None, 7003]],
        ],
        ASKED,
    )
    assert len(masters) == SLOTS
    assert masters[0] == masters[5] == Address("10.0.0.2", 7001)
    assert masters[6] is None
    assert masters[7] == Address("10.0.0.1", 7002)
    assert masters[SLOTS - 1] == Address("10.0.0.1", 7003)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("MOVED 1 10.0.0.2:7001", Address("10.0.0.2", 7001)),
        ("ASK 1 ::1:7001", Address("::1", 7001)),
        ("MOVED 1 :7001", Address("10.0.0.1", 7001)),
    ],
)
def test_parseRedirection(text: str, address: Address) -> None:
    """
    A redirection names a node, by IPv4, IPv6, or only by its port.
    """
    assert parseRedirection(text, ASKED) == address
