"""
The ids that a manager gives out and takes back.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable
from typing import Any, Protocol

from .errors import SessionError
from .token import SID_BYTES, Token, parse, parseAny, reworked


class Sealer(Protocol):
    """
    Makes of tokens what nobody can forge.
    """

    def seal(self, token: bytes, audience: bytes) -> bytes:
        """
        The sealed form of a token, fit for a cookie.
        """

    def open(self, sealed: bytes, audience: bytes) -> bytes | None:
        """
        The token; C{None} for what this, or who has the same keys, did not
        seal.
        """

    def isCurrent(self, sealed: bytes) -> bool:
        """
        Whether the key by which this is sealed is the one that seals now.
        """


class Tokens:
    """
    Makes tokens; and the ids that people hold, which are the tokens themselves
    or, where there are keys, their sealed form.

    @ivar isSealing: Whether what people hold is something else than the token.
    @ivar _idFactory: Makes ids of the application's own form, or C{None}.
    @ivar _sealer: Seals them, or C{None}.
    @ivar _isPlainTaken: Whether ids that were given out before there were keys
        are taken, now.
    @ivar _entropy: Gives that many random bytes.  What it raises goes to
        whoever wants a token; nothing else is tried.
    @ivar _parse: Takes a token apart.
    """

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        idFactory: Callable[[], str | bytes] | None = None,
        sealer: Sealer | None = None,
        isPlainTaken: Callable[[], bool] = lambda: False,
    ) -> None:
        self._entropy = entropy
        self._idFactory = idFactory
        self._sealer = sealer
        self.isSealing = sealer is not None
        self._isPlainTaken = isPlainTaken
        self._parse = parse if idFactory is None else parseAny

    @property
    def areOfOwnForm(self) -> bool:
        """
        Whether the application makes the ids.
        """
        return self._idFactory is not None

    def new(self) -> bytes:
        """
        A new token.

        @raise SessionError: The C{idFactory} made something else than an id.
        """
        if self._idFactory is None:
            return hexlify(self._entropy(2 * SID_BYTES))
        made = self._idFactory()
        token: Any = made.encode("utf-8") if isinstance(made, str) else made
        if not isinstance(token, bytes) or parseAny(token) is None:
            raise SessionError(
                f"idFactory made a {type(made).__name__}: an id is a str or bytes, 1 to 1024 bytes"
            )
        return token

    def reworked(self, sid: str) -> bytes:
        """
        Another token of the same session.
        """
        return reworked(sid, self._entropy)

    def seal(self, token: bytes, audience: bytes) -> bytes:
        """
        What the holder of a token gets.
        """
        return token if self._sealer is None else self._sealer.seal(token, audience)

    def open(self, value: bytes, audience: bytes) -> bytes | None:
        """
        The token in what somebody sends; C{None} if we did not give it out, as
        far as that shows without a look at the store.
        """
        token = value if self._sealer is None else self._sealer.open(value, audience)
        return value if token is None and self._isPlainTaken() else token

    def isCurrent(self, value: bytes) -> bool:
        """
        Whether what somebody sends is as we would give it out now, once it has
        been opened.
        """
        return self._sealer is None or self._sealer.isCurrent(value)

    def parse(self, value: bytes, audience: bytes) -> Token | None:
        """
        The same, taken apart; C{None} also for what is no token.
        """
        token = self.open(value, audience)
        return None if token is None else self._parse(token)
