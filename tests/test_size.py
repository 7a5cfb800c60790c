"""
Tests for L{txsessions.size}.
"""

from __future__ import annotations

import pytest

from txsessions.errors import SessionTooLarge
from txsessions.size import MAXIMUM_ATTRIBUTES, MAXIMUM_BYTES, MAXIMUM_NAME, USUAL


def test_bytes() -> None:
    """
    All names and texts together take 64 KiB at the most.
    """
    fits = {"data:a": b"1" * (MAXIMUM_BYTES - 12), "data:b": b""}
    USUAL.check(fits)
    with pytest.raises(SessionTooLarge, match=f"not {MAXIMUM_BYTES + 1}"):
        USUAL.check({**fits, "data:b": b"1"})


def test_number() -> None:
    """
    A record has 1024 attributes at the most.
    """
    fits = {f"data:{number}": b"1" for number in range(MAXIMUM_ATTRIBUTES)}
    USUAL.check(fits)
    with pytest.raises(SessionTooLarge, match="keys at the most, not 1025"):
        USUAL.check({**fits, "data:more": b"1"})


def test_name() -> None:
    """
    A name has 4096 characters at the most.
    """
    USUAL.check({"n" * MAXIMUM_NAME: b"1"})
    with pytest.raises(SessionTooLarge, match="4096 characters"):
        USUAL.check({"n" * (MAXIMUM_NAME + 1): b"1"})


def test_empty() -> None:
    """
    A session with nothing in it is not too large.
    """
    USUAL.check({})
