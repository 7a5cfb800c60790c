"""
Envelopes: encrypted values of records.

An envelope is a JSON string, so that it is kept by whatever keeps JSON: L{MARK},
which has the version of the form, and the URL-safe Base64 (RFC 4648, section 5, no
padding) of

  - what the key is known by, L{ID_BYTES<txsessions.keys.ID_BYTES>};
  - a nonce, 12 random bytes;
  - the encrypted value, with a tag of 16 bytes;
  - a CRC-32 of all of that.

The version, the handle of the session and the name of the attribute are
authenticated with it, so that none opens in any other place.  Each session has a
key of its own, derived from the key and the handle: random nonces of 96 bits are
good for 2**32 values (NIST SP 800-38D, 8.3), which one session never has.

The CRC protects nothing.  It tells a value that is damaged from one whose key is
not there, without the key.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zlib import crc32

from .errors import CorruptRecord, UnknownKey
from .keys import ID_BYTES, KeyRing

if TYPE_CHECKING:
    from .aead import Cipher

PURPOSE: Final = b"txsessions/data/v1"

MARK: Final = b'"txs1.'
"""
How an envelope begins.
"""

FAMILY: Final = b'"txs'
"""
How an envelope of any version begins, with a digit behind it.
"""

SECRET: Final = ("data:", "component:")
"""
How the names of those attributes begin whose values are for nobody else to see.
What else there is has to be read by whoever administrates sessions.
"""

NONCE: Final = 12
BODY: Final = ID_BYTES + NONCE
CRC: Final = 4
MINIMUM_BYTES: Final = BODY + 16 + CRC

MAXIMUM_CIPHERS: Final = 4096
"""
For how many sessions the derived keys are held in memory, those that were used
last: deriving one takes as long as five values.
"""


class PlainValue(UnknownKey):
    """
    A value is not encrypted where all have to be: somebody has put it there who
    has no key.
    """

    def __init__(self, sid: str) -> None:
        super().__init__(
            f"session {sid} has values that are not encrypted: encrypt them by python -m "
            "txsessions rekey --plain, or set plainUntil if you have just begun to encrypt"
        )


class State(Enum):
    """
    What can be said of a value without decrypting it.
    """

    CURRENT = "current"
    """
    Encrypted with the first key.
    """

    OLDER = "older"
    """
    Encrypted with another key of the ring.
    """

    PLAIN = "plain"
    """
    Not encrypted.
    """

    UNKNOWN = "unknown"
    """
    Encrypted with a key that is not on the ring.
    """

    DAMAGED = "damaged"
    """
    Nothing of this.
    """


class Envelopes:
    """
    Encrypts and decrypts values with the keys of an application.

    @ivar _ring: The keys.
    @ivar _entropy: Gives that many random bytes.
    @ivar _cipher: The cipher of a key for a session.
    """

    def __init__(self, ring: KeyRing, entropy: Callable[[int], bytes]) -> None:
        """
        @param entropy: Such as L{os.urandom}.  What it raises is raised by
            L{close}.
        """
        self._ring = ring
        self._entropy = entropy
        self._cipher = lru_cache(MAXIMUM_CIPHERS)(self._derive)

    def close(self, sid: str, name: str, text: bytes) -> bytes:
        """
        The envelope of a value.

        @param text: The JSON text of it.
        """
        id = self._ring.first.id
        nonce = self._entropy(NONCE)
        if len(nonce) != NONCE:
            raise ValueError(f"the source of randomness gave {len(nonce)} bytes of {NONCE}")
        body = self._cipher(id, sid).encrypt(nonce, text, _associated(sid, name))
        raw = id + nonce + body
        raw += crc32(raw).to_bytes(CRC, "big")
        return MARK + urlsafe_b64encode(raw).rstrip(b"=") + b'"'

    def open(self, sid: str, name: str, value: bytes) -> bytes:
        """
        The JSON text of a value.

        @raise UnknownKey: It is encrypted with a key that is not on the ring.
        @raise PlainValue: It is not encrypted.
        @raise CorruptRecord: It is not what was put there.
        """
        if value[: len(MARK)] != MARK:
            raise _strange(sid, value)
        raw = _decoded(value)
        if raw is None:
            raise _corrupt(sid)
        id = raw[:ID_BYTES]
        if self._ring.get(id) is None:
            raise _corrupt(sid) if not _isWhole(raw) else _unknown(sid, id)
        text = self._cipher(id, sid).decrypt(
            raw[ID_BYTES:BODY], raw[BODY:-CRC], _associated(sid, name)
        )
        # Who changes the CRC alone has changed nothing, but none is to pass.
        if text is None or not _isWhole(raw):
            raise _corrupt(sid)
        return text

    def state(self, value: bytes) -> State:
        """
        What kind of value this seems to be.
        """
        if value[: len(MARK)] != MARK:
            return State.UNKNOWN if _isOfAnotherVersion(value) else State.PLAIN
        raw = _decoded(value)
        if raw is None or not _isWhole(raw):
            return State.DAMAGED
        id = raw[:ID_BYTES]
        if id == self._ring.first.id:
            return State.CURRENT
        return State.UNKNOWN if self._ring.get(id) is None else State.OLDER

    def _derive(self, id: bytes, sid: str) -> Cipher:
        """
        The cipher of a key for a session.
        """
        key = self._ring.get(id)
        if key is None:
            raise KeyError(id)
        return key.cipher(PURPOSE, sid.encode("utf-8", "surrogatepass"))


def isSecret(name: str) -> bool:
    """
    Whether the value of the attribute of this name is encrypted.
    """
    return name.startswith(SECRET)


def _decoded(value: bytes) -> bytes | None:
    """
    All bytes of what may be an envelope; C{None} if it is none.
    """
    text = value[len(MARK) : -1]
    try:
        raw = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return None
    # Decoding passes over much; what is not written as we write it is not ours.
    if len(raw) < MINIMUM_BYTES or MARK + urlsafe_b64encode(raw).rstrip(b"=") + b'"' != value:
        return None
    return raw


def _isWhole(raw: bytes) -> bool:
    """
    Whether the CRC is that of what is before it.
    """
    return crc32(raw[:-CRC]) == int.from_bytes(raw[-CRC:], "big")


def _isOfAnotherVersion(value: bytes) -> bool:
    """
    Whether this begins as an envelope of a version does that is not this one.
    """
    number, dot, _ = value[len(FAMILY) : len(FAMILY) + 4].partition(b".")
    return value.startswith(FAMILY) and number.isdigit() and dot == b"."


def _associated(sid: str, name: str) -> bytes:
    """
    What is authenticated with a value: where it belongs.
    """
    return PURPOSE + f"\0{sid}\0{name}".encode("utf-8", "surrogatepass")


def _corrupt(sid: str) -> CorruptRecord:
    """
    The error for a value that is not what was put there.
    """
    return CorruptRecord(
        sid, "an encrypted value was changed, or does not belong there, and is not decrypted"
    )


def _unknown(sid: str, id: bytes) -> UnknownKey:
    """
    The error for a key that is not there.
    """
    return UnknownKey(
        f"session {sid} is encrypted with the key {id.hex()}, which this process does not have: "
        "add it to the keys"
    )


def _strange(sid: str, value: bytes) -> UnknownKey:
    """
    The error for a value that is no envelope of this version.
    """
    if _isOfAnotherVersion(value):
        return UnknownKey(
            f"session {sid} was encrypted by another release of txsessions: install that, or a "
            "later one"
        )
    return PlainValue(sid)
