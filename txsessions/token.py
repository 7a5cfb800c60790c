"""
Tokens: the bytes a browser holds, and what a store may know of them.

A token of the stock form is C{hexlify(site._entropy(32))}, 64 hexadecimal
digits.  The first half is the public handle C{sid}, by which a store looks the
session up; the second half is the verifier, of which a store keeps a digest
only.  So a stolen store holds no usable token, a lookup is never by a secret,
and a rework changes the second half of one record.

An id of any other form (an application's own C{idFactory}, a test's
C{b"unique"}) has a digest of itself for its C{sid}.
"""

from __future__ import annotations

import re
from binascii import hexlify
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

import msgspec

SID_BYTES: Final = 16
"""
128 bits in each half: OWASP ASVS 5.0, 7.2.3 asks for as much in the whole.
"""

MAXIMUM_LENGTH: Final = 1024
"""
No id of any form is longer, in bytes: browsers keep 4096 of name and value.
"""

INSECURE: Final = b""
"""
The audience of a session whose token travels over plain HTTP, or that has
nothing to do with the web.
"""

SECURE: Final = b"secure"
"""
The audience of a session whose token travels over HTTPS only.
"""

_matchStock = re.compile(rb"[0-9a-f]{64}").fullmatch


class Token(msgspec.Struct, frozen=True, gc=False):
    """
    A token in its two halves.  Its C{repr} shows the public one.

    @ivar sid: The public handle: 32 hexadecimal digits.
    @ivar verifier: The secret half, as bytes of any length.
    """

    sid: str
    verifier: bytes

    def __repr__(self) -> str:
        return f"Token(sid={self.sid!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """
        The same for C{rich}, to which a struct shows all.
        """
        return [("sid", self.sid)]


def parse(token: bytes) -> Token | None:
    """
    A token of the stock form in its halves; C{None} if it has another form.
    """
    if _matchStock(token) is None:
        return None
    return Token(token[: 2 * SID_BYTES].decode("ascii"), token[2 * SID_BYTES :])


def parseAny(token: bytes) -> Token | None:
    """
    A token of any form in its halves; C{None} only if it is empty or too long.
    """
    stock = parse(token)
    if stock is not None or not 0 < len(token) <= MAXIMUM_LENGTH:
        return stock
    return Token(sha256(b"txsessions sid\0" + token).hexdigest()[: 2 * SID_BYTES], token)


def sidOf(token: bytes) -> str:
    """
    The public handle of a token of any form, however long.
    """
    if _matchStock(token) is not None:
        return token[: 2 * SID_BYTES].decode("ascii")
    return sha256(b"txsessions sid\0" + token).hexdigest()[: 2 * SID_BYTES]


def digest(verifier: bytes, audience: bytes) -> bytes:
    """
    What a store keeps of a verifier: 32 bytes.

    A verifier has 128 random bits, so that a plain, fast digest is enough.
    The audience goes in, so that a token which leaked over plain HTTP opens no
    session that was made for HTTPS.

    @param audience: L{SECURE} or L{INSECURE}.
    """
    return sha256(b"txsessions verifier\0" + audience + b"\0" + verifier).digest()


def matches(token: Token, audience: bytes, stored: bytes) -> bool:
    """
    Whether the token's verifier is the one whose digest is stored, in
    constant time.
    """
    return compare_digest(digest(token.verifier, audience), stored)


def reworked(sid: str, entropy: Callable[[int], bytes]) -> bytes:
    """
    A new token for the same session: same C{sid}, new verifier.

    @param entropy: Gives that many random bytes, such as L{os.urandom}.
    """
    return sid.encode("ascii") + hexlify(entropy(SID_BYTES))
