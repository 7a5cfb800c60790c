"""
Scripts that a server carries out in one atomic step.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

import attrs

from .wire import pack


@attrs.frozen
class Script:
    """
    A script in Lua.

    @ivar name: What it does, for the text of an error.
    @ivar source: Its text.
    @ivar digest: By which a server that has it knows it.
    """

    name: str
    source: str = attrs.field(repr=False)
    digest: str = attrs.field(init=False, repr=False)

    @digest.default
    def _digest(self) -> str:
        """
        The name that Redis gives it.
        """
        return sha1(self.source.encode("utf-8"), usedforsecurity=False).hexdigest()

    def pack(self, keys: Sequence[str | bytes], args: Sequence[str | bytes | int | float]) -> bytes:
        """
        The command that runs it, in its wire form.
        """
        return pack(("EVALSHA", self.digest, len(keys), *keys, *args))
