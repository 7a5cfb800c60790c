"""
Encryption that nobody changes unnoticed: AES-256-GCM, with keys that are derived
by HKDF-SHA256.

This is the one place that needs the library C{cryptography}.
"""

from __future__ import annotations

from typing import Final

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as e:
    raise ImportError("keys need the library cryptography: pip install 'txsessions[crypto]'") from e

KEY_BYTES: Final = 32
"""
The length of a key of AES-256.
"""


def derive(master: bytes, purpose: bytes, salt: bytes = b"", length: int = KEY_BYTES) -> bytes:
    """
    A key for one purpose (RFC 5869), from which nobody gets at another one or at
    the master key.

    @param purpose: Different for whatever is encrypted; with a version.
    @param salt: Different for each key of that purpose.
    """
    return HKDF(SHA256(), length, salt, purpose).derive(master)


class Cipher:
    """
    AES-256-GCM under one key.
    """

    __slots__ = ("_gcm",)

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)

    def encrypt(self, nonce: bytes, text: bytes, associated: bytes) -> bytes:
        """
        The encrypted text, with its tag.

        @param nonce: 12 bytes (NIST SP 800-38D, 8.2), never the same twice.
        @param associated: What the text belongs to: whoever decrypts it has to
            know it.
        """
        return self._gcm.encrypt(nonce, text, associated)

    def decrypt(self, nonce: bytes, body: bytes, associated: bytes) -> bytes | None:
        """
        The text; C{None} if this is not what L{encrypt} made under this key of
        this nonce and this associated data.
        """
        try:
            return self._gcm.decrypt(nonce, body, associated)
        except InvalidTag:
            return None
