"""
Tests for L{txsessions.stores.redisserver.keys}: what one step touches is in one slot.
"""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest

from txsessions.redis.slots import SLOTS, slotOf
from txsessions.stores.redisserver.keys import BUCKETS, Keys, ownerOf

KEYS = Keys("txsessions")


def test_oneSlot() -> None:
    """
    All keys of a step on a session are in one slot, that of its bucket.
    """
    for _ in range(1000):
        sid = uuid4().hex
        bucket = KEYS.bucket(sid)
        assert {slotOf(key) for key in bucket.keys(sid)} == {slotOf(bucket.base)}


def test_spread() -> None:
    """
    The buckets are in different slots, and sessions are spread over them and over the nodes
    of a Cluster.
    """
    assert len({slotOf(bucket.base) for bucket in KEYS.buckets}) == BUCKETS
    sessions = Counter(KEYS.bucket(uuid4().hex).base for _ in range(64 * 200))
    assert len(sessions) == BUCKETS
    assert max(sessions.values()) < 300
    for size in (3, 6):
        nodes = Counter(slotOf(bucket.base) * size // SLOTS for bucket in KEYS.buckets)
        assert len(nodes) == size
        assert max(nodes.values()) <= 2 * BUCKETS / size


@pytest.mark.parametrize("prefix", ["", "{a}", "a}"])
def test_wrongPrefix(prefix: str) -> None:
    """
    A prefix that would make another slot is refused.
    """
    with pytest.raises(ValueError, match="braces"):
        Keys(prefix)


def test_owners() -> None:
    """
    Any text is an owner of its own.
    """
    owners = ["", "a", "a:", "\0", "\ud800", "\u00e9", "e\u0301"]
    assert len({ownerOf(owner) for owner in owners}) == len(owners)
