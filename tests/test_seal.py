"""
Tests for L{txsessions.seal}.
"""

from __future__ import annotations

import os
import re
from binascii import hexlify
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis.strategies import binary, sampled_from

from txsessions import seal as module
from txsessions.keys import KeyRing
from txsessions.seal import (
    MAXIMUM_SEALED,
    MINIMUM_SEALED,
    TokenSealer,
    isCurrent,
    seal,
    unseal,
)
from txsessions.token import INSECURE, MAXIMUM_LENGTH, SECURE, parse

OLD, NEW, OTHER = (bytes([number]) * 16 + os.urandom(16) for number in range(3))

RING = KeyRing(OLD)

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

tokens = binary(min_size=1, max_size=MAXIMUM_LENGTH)


def newToken() -> bytes:
    """
    A token of the stock form.
    """
    return hexlify(os.urandom(32))


def sealed(token: bytes, audience: bytes = INSECURE) -> bytes:
    """
    A token sealed with the old key.
    """
    return seal(token, RING, os.urandom, audience)


@given(tokens, sampled_from([INSECURE, SECURE]))
def test_roundTrip(token: bytes, audience: bytes) -> None:
    """
    What is sealed is opened, whatever its form, and is fit for a cookie.
    """
    text = sealed(token, audience)
    assert unseal(text, RING, audience) == token
    assert re.fullmatch(rb"[A-Za-z0-9_-]+", text)
    assert MINIMUM_SEALED <= len(text) <= MAXIMUM_SEALED
    if len(token) > 8:
        assert token not in text


def test_short() -> None:
    """
    That of a stock token is short; forms that look like it stay what they are.
    """
    token = newToken()
    assert len(sealed(token)) == 108
    for other in (token.upper(), token[:-1] + b"g", token + b"0", token[:-1], token + b"\n"):
        assert unseal(sealed(other), RING) == other
    assert len(sealed(b"x")) == MINIMUM_SEALED
    assert len(sealed(b"x" * MAXIMUM_LENGTH)) == MAXIMUM_SEALED


@pytest.mark.parametrize("token", [b"", b"x" * (MAXIMUM_LENGTH + 1)])
def test_noToken(token: bytes) -> None:
    """
    What is no token is not sealed, and the error does not repeat it.
    """
    with pytest.raises(ValueError, match="1 to 1024 bytes") as caught:
        sealed(token)
    assert "xxx" not in str(caught.value)


def flipped(text: bytes) -> list[bytes]:
    """
    The text with each of its bytes changed, to another of the alphabet and to one beside it.
    """
    found = []
    for place in range(len(text)):
        near = ALPHABET[ALPHABET.index(text[place : place + 1]) ^ 1]
        for byte in (near, text[place] ^ 1, text[place] ^ 0x80):
            found.append(text[:place] + bytes([byte]) + text[place + 1 :])
    return found


def accepted(texts: list[bytes], open: Callable[[bytes], bytes | None]) -> int:
    """
    How many of these are opened.
    """
    return sum(open(text) is not None for text in texts)


def test_flipped() -> None:
    """
    Of 1,000 sealed tokens with any byte changed none is opened.
    """
    sealer = TokenSealer(RING, os.urandom)
    for number in range(1000):
        token = newToken() if number % 4 else os.urandom(1 + number % 50)
        text = sealer.seal(token)
        assert sealer.open(text) == token
        assert accepted(flipped(text), sealer.open) == 0


def test_control() -> None:
    """
    The same finds a seal that is not checked (broken on purpose).
    """

    def careless(text: bytes) -> bytes | None:
        try:
            raw = module.urlsafe_b64decode(text + b"==")
        except ValueError:
            return None
        return raw[module.BODY :]

    assert accepted(flipped(sealed(newToken())), careless) > 100


@given(binary(max_size=2000))
def test_junk(junk: bytes) -> None:
    """
    What nobody has sealed is not opened, and raises nothing.
    """
    assert unseal(junk, RING) is None
    assert isCurrent(junk, RING) is False


@given(binary(min_size=MINIMUM_SEALED, max_size=200), sampled_from([b"\1", b"\2"]))
def test_forged(junk: bytes, form: bytes) -> None:
    """
    Nor is what has the right head and nothing behind it that fits.
    """
    text = module.urlsafe_b64encode(form + RING.first.id + junk).rstrip(b"=")
    assert unseal(text, RING) is None


def test_cut() -> None:
    """
    Nor is a part of one, one with more behind it, or one with padding.
    """
    text = sealed(newToken())
    wrong = [text[:end] for end in range(len(text))] + [text[start:] for start in range(1, 99)]
    wrong += [text + end for end in (b"=", b"==", b"A", b"AAAA", b"\n", b" ", b"\0")]
    wrong += [b" " + text, text + text, text.swapcase()]
    wrong += [b"A" * length for length in (107, 108, 109, 5000)]
    assert accepted(wrong, lambda each: unseal(each, RING)) == 0


def test_audience() -> None:
    """
    One that leaked over plain HTTP opens nothing that was made for HTTPS.
    """
    token = newToken()
    assert unseal(sealed(token, INSECURE), RING, SECURE) is None
    assert unseal(sealed(token, SECURE), RING, INSECURE) is None


def test_unknownKey() -> None:
    """
    One that was sealed with a key that is not on the ring is not opened.
    """
    assert unseal(sealed(newToken()), KeyRing(NEW, OTHER)) is None


def test_rotation() -> None:
    """
    A new key in front logs nobody out, on any of several processes, if each knows it before
    the first one uses it; and says whose cookie is of yesterday.
    """
    old, both, new = KeyRing(OLD, NEW), KeyRing(NEW, OLD), KeyRing(NEW)
    before = [(token, seal(token, old, os.urandom)) for token in (newToken() for _ in range(100))]
    after = [(token, seal(token, both, os.urandom)) for token, _ in before]
    for ring in (old, both):
        assert all(unseal(text, ring) == token for token, text in before + after)
    assert not any(isCurrent(text, both) for _, text in before)
    assert all(isCurrent(text, both) for _, text in after)
    assert all(unseal(text, new) == token for token, text in after)
    assert accepted([text for _, text in before], lambda text: unseal(text, new)) == 0


def test_neverTheSame() -> None:
    """
    A token that is sealed again looks different, and no salt with its nonce comes twice.
    """
    token = newToken()
    start, end = module.HEAD, module.BODY
    texts = [module.urlsafe_b64decode(sealed(token)) for _ in range(20_000)]
    assert len({raw[start:end] for raw in texts}) == len(texts)
    assert len({raw[end:] for raw in texts}) == len(texts)


def test_entropy() -> None:
    """
    Where there is no randomness nothing is sealed.
    """

    def fails(count: int) -> bytes:
        raise OSError("no randomness")

    with pytest.raises(OSError, match="no randomness"):
        seal(newToken(), RING, fails)
    with pytest.raises(ValueError, match="gave 23 bytes"):
        seal(newToken(), RING, lambda count: bytes(count - 1))


def test_fast() -> None:
    """
    Junk of any length costs microseconds: less than a hundredth of a request.
    """
    junk = [b"A" * 108, b"A" * 2_000_000, bytes(108), sealed(newToken())[:-1] + b"!"]
    forged = module.urlsafe_b64encode(b"\1" + RING.first.id + bytes(72))
    for text in (*junk, forged):
        began = process_time()
        for _ in range(1000):
            assert unseal(text, RING) is None
        assert process_time() - began < 0.1


def test_stockIsParsed() -> None:
    """
    What comes out is what went in, and has the stock form if that had it.
    """
    token = newToken()
    opened = unseal(sealed(token), RING)
    assert opened is not None and parse(opened) == parse(token)
