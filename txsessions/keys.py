"""
Keys: what tokens are sealed and data are encrypted with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .errors import SessionError

if TYPE_CHECKING:
    from .aead import Cipher

SHORTEST: Final = 32
"""
No key is shorter: it has to have the 256 bits of the cipher.
"""

LONGEST: Final = 64
"""
No key is longer: more than SHA-256 takes in at a time is not a key but a mistake.
"""

ID_BYTES: Final = 8
"""
The length of what a key is known by.
"""

ID_PURPOSE: Final = b"txsessions/keyid/v1"


class BadKeys(SessionError, ValueError):
    """
    These keys cannot be used.  The text is one line that says what to do, and
    shows nothing of a key.
    """


class Secretive:
    """
    What is in here stays in this process: it is not pickled, not copied, and
    not shown.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is neither pickled nor copied: it is secret")


class Key(Secretive):
    """
    One key.

    @ivar id: What it is known by: L{ID_BYTES} that are derived from it and tell
        nothing of it.  They stand beside whatever was encrypted with it, and may
        be logged.
    @ivar _master: The key, of which nothing is encrypted with itself.
    """

    __slots__ = ("_master", "id")

    def __init__(self, master: bytes) -> None:
        try:
            # What has no keys must do without the library.
            from .aead import derive
        except ImportError as e:
            raise BadKeys(str(e)) from e
        self._master = master
        self.id = derive(master, ID_PURPOSE, length=ID_BYTES)

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"

    def cipher(self, purpose: bytes, salt: bytes = b"") -> Cipher:
        """
        Encrypts for one purpose.

        @param purpose: A label with a version, such as
            C{b"txsessions/token/v1"}.
        @param salt: Different for each thing that gets a cipher of its own.
        """
        from .aead import Cipher, derive

        return Cipher(derive(self._master, purpose, salt))


class KeyRing(Secretive):
    """
    The keys of an application, the newest first: the first one encrypts, all of
    them decrypt.

    @ivar first: The L{Key} that encrypts.
    """

    __slots__ = ("_keys", "first")

    def __init__(self, *keys: bytes | Iterable[bytes]) -> None:
        """
        @param keys: Each a L{bytes} of L{SHORTEST} to L{LONGEST}
            from C{secrets.token_bytes}; or one iterable of them.
        @raise BadKeys: There is none; one is not that long, or no bytes; one is
            there twice; or the library C{cryptography} is not installed.
        """
        made = [Key(master) for master in _masters(keys)]
        self._keys = {key.id: key for key in made}
        if len(self._keys) < len(made):
            raise BadKeys("one of the keys is there twice: leave one of the two out")
        self.first = made[0]

    def __repr__(self) -> str:
        return f"<KeyRing of {', '.join(key.id.hex() for key in self._keys.values())}>"

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, id: bytes) -> Key | None:
        """
        The key that is known by this, if it is there.
        """
        return self._keys.get(id)


def ringOf(keys: KeyRing | bytes | Iterable[bytes]) -> KeyRing:
    """
    The ring of these keys, or the ring itself: what users give where keys are
    wanted.

    @raise BadKeys: See L{KeyRing}.
    """
    return keys if isinstance(keys, KeyRing) else KeyRing(keys)


def _masters(keys: Sequence[bytes | Iterable[bytes]]) -> list[bytes]:
    """
    The keys themselves, if they are fit.
    """
    if len(keys) == 1 and not isinstance(keys[0], bytes):
        if not isinstance(keys[0], Iterable):
            raise BadKeys(f"a key is bytes, not {type(keys[0]).__name__}")
        keys = list(keys[0])
    if not keys:
        raise BadKeys("there is no key: python -m txsessions keygen FILE makes one")
    return [_fit(key) for key in keys]


def _fit(key: object) -> bytes:
    """
    A key, if it is one.
    """
    if not isinstance(key, bytes):
        raise BadKeys(f"a key is bytes, not {type(key).__name__}")
    if not SHORTEST <= len(key) <= LONGEST:
        raise BadKeys(
            f"a key is {SHORTEST} to {LONGEST} random bytes, as "
            f"secrets.token_bytes({SHORTEST}) makes them, not {len(key)}"
        )
    return key
