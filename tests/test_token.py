"""
Tests for L{txsessions.token}.
"""

from __future__ import annotations

import os
from binascii import hexlify

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from txsessions.token import (
    INSECURE,
    MAXIMUM_LENGTH,
    SECURE,
    Token,
    digest,
    matches,
    parse,
    parseAny,
    reworked,
    sidOf,
)

STOCK = hexlify(bytes(range(32)))

stock = st.binary(min_size=32, max_size=32).map(hexlify)
oddForms = st.binary(max_size=2000) | st.sampled_from(
    [
        STOCK[:-1],
        STOCK + b"0",
        STOCK.upper(),
        STOCK + b"\n",
        b" " + STOCK[1:],
        STOCK[:-1] + b"g",
        b"unique",
        b"../../etc/passwd",
        "é".encode() * 32,
    ]
)


def test_halves() -> None:
    """
    The first half of a stock token is the public handle, the second half is the verifier.
    """
    assert parse(STOCK) == Token("000102030405060708090a0b0c0d0e0f", STOCK[32:])


@given(oddForms)
def test_onlyTheStockForm(token: bytes) -> None:
    """
    A token of any other form is none, whatever its bytes are.
    """
    assert parse(token) is None


@given(stock | oddForms)
def test_handleIsSafe(token: bytes) -> None:
    """
    Whatever the token is, its handle is 32 hexadecimal digits, the same each time.
    """
    sid = sidOf(token)
    assert len(sid) == 32 and set(sid) <= set("0123456789abcdef")
    parsed = parseAny(token)
    assert (parsed is None) == (not 0 < len(token) <= MAXIMUM_LENGTH)
    assert parsed is None or parsed.sid == sid


@given(oddForms.filter(bool), oddForms.filter(bool))
def test_oddFormsDiffer(one: bytes, other: bytes) -> None:
    """
    Two tokens of another form have two handles.
    """
    assert (sidOf(one) == sidOf(other)) == (one == other)


@given(stock, st.sampled_from([SECURE, INSECURE]))
def test_onlyTheRightVerifier(token: bytes, audience: bytes) -> None:
    """
    A stored digest is matched by the token it was made of, and by no other.
    """
    parsed = parse(token)
    assert parsed is not None
    stored = digest(parsed.verifier, audience)
    assert len(stored) == 32 and parsed.verifier not in stored
    assert matches(parsed, audience, stored)
    for place in range(32):
        wrong = bytearray(parsed.verifier)
        wrong[place] ^= 1
        assert not matches(Token(parsed.sid, bytes(wrong)), audience, stored)


def test_audiences() -> None:
    """
    A token that leaked over plain HTTP opens no session that was made for HTTPS, nor the other
    way round.
    """
    token = parse(STOCK)
    assert token is not None
    for mine, other in ((SECURE, INSECURE), (INSECURE, SECURE)):
        assert not matches(token, other, digest(token.verifier, mine))


def test_reworked() -> None:
    """
    A reworked token has the same handle and another verifier.
    """
    token = reworked(sidOf(STOCK), os.urandom)
    parsed = parse(token)
    assert parsed is not None
    assert parsed.sid == sidOf(STOCK) and parsed.verifier != STOCK[32:]
    assert reworked(sidOf(STOCK), os.urandom) != token


def test_reworkedOfAnyForm() -> None:
    """
    The reworked token of an id of any other form opens the same session.
    """
    assert sidOf(reworked(sidOf(b"unique"), os.urandom)) == sidOf(b"unique")


def test_brokenEntropy() -> None:
    """
    A source of randomness that fails makes no token.
    """

    def broken(size: int) -> bytes:
        raise OSError("no randomness")

    with pytest.raises(OSError, match="no randomness"):
        reworked(sidOf(STOCK), broken)


def test_representation() -> None:
    """
    However a token is shown, its secret half is not.
    """
    token = parse(STOCK)
    assert token is not None
    for text in (repr(token), str(token), pretty_repr([token])):
        assert token.sid in text and token.verifier.decode() not in text
