"""
Tests for L{txsessions.keys} and L{txsessions.aead}.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pprint import pformat
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis.strategies import binary
from twisted.python.failure import Failure

from txsessions.aead import derive
from txsessions.keys import BadKeys, Key, KeyRing, ringOf
from txsessions.seal import TokenSealer

CANARY = b"canary-canary-canary-canary-key!"
"""
A key that is recognised wherever it turns up.
"""


def forms(value: object) -> str:
    """
    All texts that Python makes of a thing by itself.
    """
    return "".join([repr(value), str(value), f"{value}", f"{value!r:>9}", pformat(value)])


def shows(text: str, secret: bytes = CANARY) -> bool:
    """
    Whether a text has a secret in it, in any spelling.
    """
    return any(
        spelled in text
        for spelled in (
            secret.decode("latin-1"),
            repr(secret)[2:-1],
            secret.hex(),
            secret[:8].hex(),
        )
    )


def tracebackOf(thing: object) -> str:
    """
    What a failure in a function that has the thing tells, with all variables.  (Those of this
    module would be among them.)
    """
    names: dict[str, Any] = {"Failure": Failure}
    exec(
        "def show(thing):\n"
        "    try:\n"
        "        raise ValueError(thing)\n"
        "    except ValueError:\n"
        "        return Failure(captureVars=True).getTraceback(detail='verbose')\n",
        names,
    )
    return str(names["show"](thing))


def test_firstSeals() -> None:
    """
    The first key encrypts; each is found by what it is known by.
    """
    masters = [os.urandom(32) for _ in range(3)]
    ring = KeyRing(*masters)
    assert len(ring) == 3
    assert ring.first.id == Key(masters[0]).id
    for master in masters:
        key = Key(master)
        found = ring.get(key.id)
        assert found is not None and found.id == key.id
    assert ring.get(bytes(8)) is None


@pytest.mark.parametrize("length", [32, 33, 64])
def test_lengths(length: int) -> None:
    """
    A key has 32 to 64 bytes.
    """
    assert len(KeyRing(os.urandom(length))) == 1


def test_iterable() -> None:
    """
    The keys may come in any iterable, and a ring is taken for itself.
    """
    masters = [os.urandom(32), os.urandom(32)]
    for ring in (KeyRing(masters), KeyRing(iter(masters)), ringOf(tuple(masters))):
        assert (ring.first.id, len(ring)) == (Key(masters[0]).id, 2)
    ring = KeyRing(masters)
    assert ringOf(ring) is ring
    assert ringOf(masters[0]).first.id == ring.first.id


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((), "there is no key"),
        (([],), "there is no key"),
        ((CANARY[:31],), "32 to 64 random bytes"),
        ((CANARY * 3,), "32 to 64 random bytes"),
        ((b"",), "32 to 64 random bytes"),
        ((CANARY.decode(),), "a key is bytes, not str"),
        (([CANARY.decode()],), "a key is bytes, not str"),
        ((bytearray(CANARY),), "a key is bytes, not int"),
        ((7,), "a key is bytes, not int"),
        ((None,), "a key is bytes, not NoneType"),
        ((CANARY, CANARY), "one of the keys is there twice"),
        ((CANARY, [CANARY]), "a key is bytes, not list"),
    ],
)
def test_refused(keys: Any, said: str) -> None:
    """
    What is no key is refused in one line, which shows nothing of it.
    """
    with pytest.raises(BadKeys) as caught:
        KeyRing(*keys)
    text = str(caught.value)
    assert said in text and "\n" not in text
    assert "canary" not in text


def test_ownID() -> None:
    """
    No two keys are known by the same, and a key always by the same; nor is a key with a
    zero at its end another one's, which is what padding makes of keys.
    """
    masters = [os.urandom(32) for _ in range(2000)]
    masters += [master + b"\0" for master in masters[:100]]
    assert len({Key(master).id for master in masters}) == len(masters)
    assert Key(CANARY).id == Key(CANARY).id


@given(binary(min_size=32, max_size=64), binary(max_size=40))
def test_derived(master: bytes, salt: bytes) -> None:
    """
    What is encrypted with is derived as RFC 5869 has it, and is another one for another
    purpose, salt or key.
    """
    key = derive(master, b"purpose/v1", salt)
    assert key == HKDF(SHA256(), 32, salt, b"purpose/v1").derive(master)
    others = [
        derive(master, b"purpose/v2", salt),
        derive(master, b"purpose/v1", salt + b"x"),
        derive(master[:-1] + bytes([master[-1] ^ 1]), b"purpose/v1", salt),
        master[:32],
    ]
    assert key not in others


def test_knownAnswer() -> None:
    """
    The derivation is that of RFC 5869, A.1.
    """
    okm = derive(b"\x0b" * 22, bytes(range(0xF0, 0xFA)), bytes(range(13)), 42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


@pytest.mark.parametrize("what", ["ring", "key", "sealer"])
def test_secret(what: str) -> None:
    """
    Nothing of a key is in any text, in a failure, in an exception; it is neither pickled nor
    copied.
    """
    ring = KeyRing(CANARY)
    thing: Any = {"ring": ring, "key": ring.first, "sealer": TokenSealer(ring, os.urandom)}[what]
    assert not shows(forms(thing))
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret") as caught:
            way(ring if way is copy.copy else thing)
        assert not shows(str(caught.value))
    failed = tracebackOf(thing)
    assert "ValueError" in failed and not shows(failed)


def test_control() -> None:
    """
    The same look finds a key that is shown.
    """
    assert shows(forms({"key": CANARY})) and shows(forms(CANARY.hex()))
    assert shows(tracebackOf({"key": CANARY}))


def test_missing() -> None:
    """
    Without the library, one line says what to install; what imports this does without.
    """
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from txsessions.keys import BadKeys, KeyRing\n"
        "from txsessions.seal import TokenSealer\n"
        "try:\n"
        "    KeyRing(bytes(32))\n"
        "except BadKeys as e:\n"
        "    print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "keys need the library cryptography: pip install 'txsessions[crypto]'\n"
