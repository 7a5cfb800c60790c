"""
Tests for L{txsessions.envelope}.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from time import process_time
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, text

from txsessions import envelope
from txsessions.envelope import BODY, CRC, MARK, Envelopes, PlainValue, State, isSecret
from txsessions.errors import CorruptRecord, SessionError, UnknownKey
from txsessions.keys import ID_BYTES, KeyRing

SID = "0123456789abcdef" * 2
OTHER_SID = "f" * 32

OLD, NEW = os.urandom(32), os.urandom(32)

TEXT = b'{"cart":["apple","pear"],"pin":"canary"}'


def newEnvelopes(*keys: bytes) -> Envelopes:
    """
    Something that encrypts with these keys, or with the old one.
    """
    return Envelopes(KeyRing(*(keys or (OLD,))), os.urandom)


ENVELOPES = newEnvelopes()


def rawOf(value: bytes) -> bytes:
    """
    The bytes in an envelope.
    """
    inside = value[len(MARK) : -1]
    return urlsafe_b64decode(inside + b"=" * (-len(inside) % 4))


def isOpened(envelopes: Envelopes, sid: str, name: str, value: bytes) -> bool:
    """
    Whether a value is decrypted.
    """
    try:
        envelopes.open(sid, name, value)
    except SessionError:
        return False
    return True


@given(text(), binary(max_size=300))
def test_roundTrip(name: str, value: bytes) -> None:
    """
    What is encrypted is decrypted to the byte; and is a JSON string of ASCII characters that a
    store which takes JSON apart gives back as it was.
    """
    closed = ENVELOPES.close(SID, name, value)
    assert ENVELOPES.open(SID, name, closed) == value
    assert json.dumps(json.loads(closed)).encode() == closed
    assert len(value) < 9 or value not in closed


@pytest.mark.parametrize(
    ("name", "isIt"),
    [
        ("data:a", True),
        ("data:", True),
        ("component:cart", True),
        ("fact:authenticatedAt", False),
        ("sid", False),
        ("", False),
        ("DATA:a", False),
    ],
)
def test_which(name: str, isIt: bool) -> None:
    """
    What an application keeps is secret; facts that a store may have to read are not.
    """
    assert isSecret(name) is isIt


def flipped(value: bytes) -> Iterator[bytes]:
    """
    The value with each of its bytes changed.
    """
    for place in range(len(value)):
        for mask in (1, 2, 0x20):
            yield value[:place] + bytes([value[place] ^ mask]) + value[place + 1 :]


def test_flipped() -> None:
    """
    Of 1,000 encrypted values with any byte changed none is decrypted.
    """
    for number in range(1000):
        sid = f"{number:032x}"
        value = ENVELOPES.close(sid, "data:a", os.urandom(number % 40))
        assert isOpened(ENVELOPES, sid, "data:a", value)
        assert not any(isOpened(ENVELOPES, sid, "data:a", each) for each in flipped(value))


def test_controlOfFlips() -> None:
    """
    The same finds values whose tag nobody looks at (broken on purpose).
    """

    class Careless(Envelopes):
        def open(self, sid: str, name: str, value: bytes) -> bytes:
            if not value.startswith(MARK):
                raise PlainValue(sid)
            try:
                return rawOf(value)[BODY:-CRC]
            except ValueError:
                raise CorruptRecord(sid, "") from None

    careless = Careless(KeyRing(OLD), os.urandom)
    value = careless.close(SID, "data:a", TEXT)
    assert sum(isOpened(careless, SID, "data:a", each) for each in flipped(value)) > 100


def test_bound() -> None:
    """
    A value that is put under another name or into another session is refused, and so is one
    whose parts come from two.
    """
    value = ENVELOPES.close(SID, "data:a", TEXT)
    for sid, name in ((SID, "data:b"), (OTHER_SID, "data:a"), (SID, "component:a"), (SID, "")):
        with pytest.raises(CorruptRecord) as caught:
            ENVELOPES.open(sid, name, value)
        assert caught.value.sid == sid
        assert "\n" not in str(caught.value) and "data:" not in str(caught.value)
    one, two = rawOf(value), rawOf(ENVELOPES.close(SID, "data:a", TEXT))
    for cut in (ID_BYTES + 1, BODY, len(one) - CRC - 16):
        mixed = one[:cut] + two[cut:-CRC]
        assert not isOpened(ENVELOPES, SID, "data:a", written(mixed))


def test_noBorderMoves() -> None:
    """
    What a value belongs to is told apart from what else is spelled alike.
    """
    value = ENVELOPES.close("a" * 32, "data:\0b", TEXT)
    assert not isOpened(ENVELOPES, "a" * 32 + "\0data:", "b", value)


def written(body: bytes) -> bytes:
    """
    An envelope with these bytes and the CRC that goes with them.
    """
    raw = body + crc32(body).to_bytes(CRC, "big")
    return MARK + envelope.urlsafe_b64encode(raw).rstrip(b"=") + b'"'


@pytest.mark.parametrize("part", ["session", "name"])
def test_controlOfBinding(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """
    The same finds values that are bound to nothing (broken on purpose: no associated data, one
    key for all).
    """
    monkeypatch.setattr(envelope, "_associated", lambda sid, name: b"")
    monkeypatch.setattr(
        Envelopes, "_derive", lambda self, id, sid: self._ring.get(id).cipher(b"txsessions/data/v1")
    )
    careless = newEnvelopes()
    value = careless.close(SID, "data:a", TEXT)
    place = (OTHER_SID, "data:a") if part == "session" else (SID, "data:b")
    assert isOpened(careless, *place, value)


def test_neverTheSameNonce() -> None:
    """
    Of 100,000 encryptions no two have the same nonce.
    """
    nonces = {rawOf(ENVELOPES.close(SID, "data:a", b"1"))[ID_BYTES:BODY] for _ in range(100_000)}
    assert len(nonces) == 100_000


def test_unknownKey() -> None:
    """
    A value under a key that is not there says so, and by which name the key is known; and
    nothing of the value.
    """
    value = newEnvelopes(NEW).close(SID, "data:a", TEXT)
    with pytest.raises(UnknownKey) as caught:
        ENVELOPES.open(SID, "data:a", value)
    line = str(caught.value)
    assert KeyRing(NEW).first.id.hex() in line and SID in line and "\n" not in line
    assert value[10:30].decode() not in line


@given(integers(len(MARK), 100), integers(1, 255))
def test_damageIsNoUnknownKey(place: int, mask: int) -> None:
    """
    A value that is damaged is damaged, whether its key is there or not: what fails in a disk
    is no mistake in the configuration.
    """
    value = newEnvelopes(NEW).close(SID, "data:a", TEXT)
    changed = value[:place] + bytes([value[place] ^ mask]) + value[place + 1 :]
    with pytest.raises(CorruptRecord):
        ENVELOPES.open(SID, "data:a", changed)
    assert ENVELOPES.state(changed) is State.DAMAGED


def test_crcProtectsNothing() -> None:
    """
    Who changes a value and its CRC is found out nevertheless.
    """
    raw = bytearray(rawOf(ENVELOPES.close(SID, "data:a", TEXT))[:-CRC])
    raw[BODY] ^= 1
    with pytest.raises(CorruptRecord):
        ENVELOPES.open(SID, "data:a", written(bytes(raw)))


@pytest.mark.parametrize("value", [b"1", b'"text"', b"{}", b'""', b"null", b'"txs', b"", b'"txs1"'])
def test_plain(value: bytes) -> None:
    """
    A value that is not encrypted is not taken, and the line says what to do.
    """
    with pytest.raises(PlainValue, match="rekey --plain") as caught:
        ENVELOPES.open(SID, "data:a", value)
    assert "\n" not in str(caught.value)
    assert ENVELOPES.state(value) is State.PLAIN


@pytest.mark.parametrize("value", [b'"txs2.AAAA"', b'"txs11.AAAA"'])
def test_anotherVersion(value: bytes) -> None:
    """
    A value of a later release is neither damaged nor plain.
    """
    with pytest.raises(UnknownKey, match="another release"):
        ENVELOPES.open(SID, "data:a", value)
    assert ENVELOPES.state(value) is State.UNKNOWN


@given(binary(max_size=200))
def test_junk(junk: bytes) -> None:
    """
    What nobody has encrypted is refused as what it is, whatever it is.
    """
    for value in (junk, MARK + junk, MARK + junk + b'"', written(junk)):
        assert not isOpened(ENVELOPES, SID, "data:a", value)
        assert ENVELOPES.state(value) in (State.PLAIN, State.DAMAGED, State.UNKNOWN)


def test_rotation() -> None:
    """
    The first key encrypts, all decrypt, and it can be told which values are of yesterday.
    """
    old, both, new = newEnvelopes(OLD), newEnvelopes(NEW, OLD), newEnvelopes(NEW)
    before, after = (each.close(SID, "data:a", TEXT) for each in (old, both))
    assert both.open(SID, "data:a", before) == both.open(SID, "data:a", after) == TEXT
    assert new.open(SID, "data:a", after) == TEXT
    states = [both.state(before), both.state(after), old.state(after), new.state(before)]
    assert states == [State.OLDER, State.CURRENT, State.UNKNOWN, State.UNKNOWN]


def test_entropy() -> None:
    """
    Where there is no randomness nothing is encrypted.
    """

    def fails(count: int) -> bytes:
        raise OSError("no randomness")

    with pytest.raises(OSError, match="no randomness"):
        Envelopes(KeyRing(OLD), fails).close(SID, "data:a", TEXT)
    with pytest.raises(ValueError, match="gave 11 bytes"):
        Envelopes(KeyRing(OLD), lambda count: bytes(count - 1)).close(SID, "data:a", TEXT)


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many sessions there are, the derived keys of some are held.
    """
    monkeypatch.setattr(envelope, "MAXIMUM_CIPHERS", 50)
    envelopes = newEnvelopes()
    for number in range(500):
        envelopes.close(f"{number:032x}", "data:a", b"1")
    assert envelopes._cipher.cache_info().currsize == 50


def test_fast() -> None:
    """
    To encrypt and decrypt a value of 250 bytes takes microseconds.
    """
    value = b'"' + b"x" * 248 + b'"'
    began = process_time()
    for _ in range(2000):
        ENVELOPES.open(SID, "data:a", ENVELOPES.close(SID, "data:a", value))
    assert process_time() - began < 2000 * 100e-6
