"""
Tests for L{txsessions.stores.redisserver.sweep}: what is claimed first.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from txsessions.stores.redisserver.keys import Keys
from txsessions.stores.redisserver.sweep import PORTION, Due, Peek, choose, portions

BUCKETS = Keys("test").buckets
NOW = 50.0

moments = st.lists(st.integers(0, 100).map(float), max_size=12).map(sorted)


def peeksAt(contents: list[list[float]], count: int) -> list[Peek]:
    """
    What is seen of buckets when so many deadlines of each are looked at.
    """
    return [
        Peek(bucket, NOW, inside[:count], len(inside[:count]) == count)
        for bucket, inside in zip(BUCKETS, contents, strict=False)
    ]


def claimed(contents: list[list[float]], dues: list[Due]) -> list[float]:
    """
    What the servers give when they are asked for that.
    """
    inside = dict(zip(BUCKETS, contents, strict=False))
    return sorted(
        moment
        for due in dues
        for moment in [each for each in inside[due.bucket] if each <= due.bound][: due.count]
    )


@given(st.lists(moments, max_size=8), st.integers(1, 5), st.integers(1, 20))
def test_longestOverdueFirst(contents: list[list[float]], count: int, limit: int) -> None:
    """
    What is claimed is what is longest overdue of all that is there, no more than was asked
    for, nothing that is not due; and something as long as something is due.
    """
    given_ = claimed(contents, choose(peeksAt(contents, count), limit))
    due = sorted(moment for inside in contents for moment in inside if moment <= NOW)
    assert len(given_) <= limit
    assert given_ == due[: len(given_)]
    assert bool(given_) == bool(due)


@given(st.lists(st.integers(1, 3 * PORTION), max_size=20))
def test_portions(counts: list[int]) -> None:
    """
    Everything is in one portion, in its order; a portion is larger than it should be only if
    it is one bucket alone.
    """
    dues = [Due(BUCKETS[0], 0.0, count) for count in counts]
    parts = portions(dues)
    assert [due for part in parts for due in part] == dues
    assert all(part for part in parts)
    assert all(len(p) == 1 or sum(due.count for due in p) <= PORTION for p in parts)
