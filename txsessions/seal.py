"""
Sealed tokens: what a browser holds instead of a token, so that one which nobody
of us has made is found out without asking the store.

A sealed token is the URL-safe Base64 (RFC 4648, section 5, no padding) of

  - its form, one byte: L{STOCK} or L{OTHER};
  - what the key is known by, L{ID_BYTES<txsessions.keys.ID_BYTES>};
  - a salt and a nonce, 12 random bytes each;
  - the encrypted token, with a tag of 16 bytes.

Each has a key of its own, that is derived from the key and the salt: nonces of
96 bits alone would be good for 2**32 tokens under one key (NIST SP 800-38D,
8.3), which a thousand tokens in a second use up in seven weeks, and nobody
counts them over all processes.  Salt and nonce together are good for 2**80.

The first two fields, the purpose and the audience
(L{txsessions.token.SECURE}) are authenticated with it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import hexlify, unhexlify
from collections.abc import Callable
from typing import Final

from .keys import ID_BYTES, Key, KeyRing
from .token import INSECURE, MAXIMUM_LENGTH, parse

PURPOSE: Final = b"txsessions/token/v1"

STOCK: Final = b"\1"
"""
The form of a token of 64 hexadecimal digits: half as many bytes are encrypted.
"""

OTHER: Final = b"\2"
"""
The form of any other token, encrypted as it is.
"""

HEAD: Final = 1 + ID_BYTES
SALT: Final = 12
NONCE: Final = 12
TAG: Final = 16
BODY: Final = HEAD + SALT + NONCE

MINIMUM_SEALED: Final = -(-4 * (BODY + 1 + TAG) // 3)
"""
No sealed token is shorter.
"""

MAXIMUM_SEALED: Final = -(-4 * (BODY + MAXIMUM_LENGTH + TAG) // 3)
"""
None is longer.  That of a token of the stock form has 108 characters.
"""

_match = re.compile(rb"[A-Za-z0-9_-]+").fullmatch


def seal(
    token: bytes, ring: KeyRing, entropy: Callable[[int], bytes], audience: bytes = INSECURE
) -> bytes:
    """
    Seal a token with the first key.

    @param token: Of any form, 1 to L{MAXIMUM_LENGTH} bytes.
    @param entropy: Gives that many random bytes, such as L{os.urandom}.  What it
        raises is raised.
    @param audience: L{txsessions.token.SECURE} or
        L{txsessions.token.INSECURE}.
    @return: Characters that a cookie may have.
    @raise ValueError: It is no token; or C{entropy} gives too little.
    """
    if not 0 < len(token) <= MAXIMUM_LENGTH:
        raise ValueError(f"a token has 1 to {MAXIMUM_LENGTH} bytes, not {len(token)}")
    random = entropy(SALT + NONCE)
    if len(random) != SALT + NONCE:
        raise ValueError(f"the source of randomness gave {len(random)} bytes of {SALT + NONCE}")
    isStock = parse(token) is not None
    head = (STOCK if isStock else OTHER) + ring.first.id
    cipher = ring.first.cipher(PURPOSE, random[:SALT])
    text = unhexlify(token) if isStock else token
    body = cipher.encrypt(random[SALT:], text, _associated(head, audience))
    return urlsafe_b64encode(head + random + body).rstrip(b"=")


def unseal(sealed: bytes, ring: KeyRing, audience: bytes = INSECURE) -> bytes | None:
    """
    The token that was sealed with any of the keys, for this audience; C{None} if
    this is anything else.  Whatever it is, that takes microseconds.
    """
    opened = _opened(sealed, ring)
    if opened is None:
        return None
    key, raw = opened
    cipher = key.cipher(PURPOSE, raw[HEAD : HEAD + SALT])
    text = cipher.decrypt(raw[HEAD + SALT : BODY], raw[BODY:], _associated(raw[:HEAD], audience))
    if text is None:
        return None
    return hexlify(text) if raw[:1] == STOCK else text


def isCurrent(sealed: bytes, ring: KeyRing) -> bool:
    """
    Whether what L{unseal} opens was sealed with the first key; if not, the
    browser had better get it anew.
    """
    opened = _opened(sealed, ring)
    return opened is not None and opened[0] is ring.first


class TokenSealer:
    """
    Seals tokens with the keys of an application.

    @ivar _ring: The keys.
    @ivar _entropy: Gives that many random bytes.
    """

    def __init__(self, ring: KeyRing, entropy: Callable[[int], bytes]) -> None:
        self._ring = ring
        self._entropy = entropy

    def seal(self, token: bytes, audience: bytes = INSECURE) -> bytes:
        """
        What the browser holds.  See L{seal<txsessions.seal.seal>}.
        """
        return seal(token, self._ring, self._entropy, audience)

    def open(self, sealed: bytes, audience: bytes = INSECURE) -> bytes | None:
        """
        The token, or C{None}.  See L{unseal}.
        """
        return unseal(sealed, self._ring, audience)

    def isCurrent(self, sealed: bytes) -> bool:
        """
        Whether the browser can keep it.  See L{isCurrent
        <txsessions.seal.isCurrent>}.
        """
        return isCurrent(sealed, self._ring)


def _opened(sealed: bytes, ring: KeyRing) -> tuple[Key, bytes] | None:
    """
    The key of what may be a sealed token, and all its bytes.
    """
    length = len(sealed)
    if not MINIMUM_SEALED <= length <= MAXIMUM_SEALED or length % 4 == 1 or not _match(sealed):
        return None
    raw = urlsafe_b64decode(sealed + b"=" * (-length % 4))
    # Other characters at its end would mean the same bytes.
    if urlsafe_b64encode(raw).rstrip(b"=") != sealed:
        return None
    key = ring.get(raw[1:HEAD])
    return None if key is None else (key, raw)


def _associated(head: bytes, audience: bytes) -> bytes:
    """
    What is authenticated with a token.
    """
    return PURPOSE + b"\0" + head + audience
