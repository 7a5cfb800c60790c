"""
All sessions of a store, encrypted with the newest key.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from .envelope import Envelopes, PlainValue, State, isSecret
from .errors import (
    CorruptRecord,
    SessionError,
    SessionNotFound,
    StoreUnusable,
    UnknownKey,
    VersionConflict,
)
from .interfaces import ISessionStoreAdministration
from .keys import KeyRing
from .names import oneLine
from .record import Change, Record
from .walk import Walk

REKEYED: Final = "rekeyed"
"""
It was encrypted with the newest key, or those of its values were that had not been.
"""

CURRENT: Final = "current"
"""
It was so already, or there is nothing in it to encrypt.
"""

GONE: Final = "gone"
"""
It has ended meanwhile.
"""

PLAIN: Final = "plain"
"""
It has values that are not encrypted, and nobody has said that it may.
"""

UNKNOWN: Final = "unknown"
"""
It is encrypted with a key that is not there.
"""

DAMAGED: Final = "damaged"
"""
It has a value that cannot be decrypted although the key is there.
"""

BUSY: Final = "busy"
"""
Somebody changes it all the time.
"""

FATES: Final = (REKEYED, CURRENT, GONE, PLAIN, UNKNOWN, DAMAGED, BUSY)

LEFT: Final = (PLAIN, UNKNOWN, DAMAGED, BUSY)
"""
The fates of those that are not encrypted with the newest key in the end.
"""

TRIES: Final = 10
"""
How often a session is tried again that somebody changes at the same time.
"""


class Rekey:
    """
    Encrypts all live sessions of a store with the first key of a ring, while
    others go on to use them.

    Each session is changed in one atomic step, and only as it was read.  It can be
    broken off at any time, and run again: what is done is left alone.

    @ivar counts: How many sessions had which of the L{FATES}.
    @ivar seen: How many were dealt with.
    """

    def __init__(
        self,
        store: Any,
        ring: KeyRing,
        clock: IReactorTime,
        tell: Callable[[str], object],
        *,
        takesPlain: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param store: What keeps what is encrypted: the store inside of an
            L{EncryptingStore<txsessions.stores.encrypting.EncryptingStore>}.
        @param clock: The reactor.
        @param tell: Called with a line about a session that was left as it is.
        @param takesPlain: Whether to encrypt values that are not encrypted.
        """
        self._store = store
        self._clock = clock
        self._tell = tell
        self._takesPlain = takesPlain
        self._envelopes = Envelopes(ring, entropy)
        self.counts: Counter[str] = Counter(dict.fromkeys(FATES, 0))
        self.seen = 0

    async def run(self) -> None:
        """
        Do it.

        @raise SessionError: The store cannot answer.
        """
        if not ISessionStoreAdministration.providedBy(self._store):
            raise StoreUnusable(f"{type(self._store).__name__} cannot be browsed")
        await Walk(self._clock, self._deal).run(self._store.iterSessions())

    async def _deal(self, pair: tuple[str, Record]) -> None:
        """
        Deal with one session.
        """
        sid, record = pair
        self.counts[await self._fateOf(sid, record)] += 1
        self.seen += 1

    async def _fateOf(self, sid: str, record: Record) -> str:
        """
        Encrypt one session, if that is to be done and can be.
        """
        try:
            for _ in range(TRIES):
                values = self._stale(record)
                if not values:
                    return CURRENT
                if await self._isSaved(record, values):
                    return REKEYED
                record = await self._store.loadSession(sid)
                if record is None:
                    return GONE
        except SessionNotFound:
            return GONE
        except (UnknownKey, CorruptRecord) as e:
            self._tell(oneLine(e))
            return _leftBy(e)
        self._tell(f"session {sid}: somebody changes it all the time; try again later")
        return BUSY

    async def _isSaved(self, record: Record, values: Mapping[str, bytes]) -> bool:
        """
        Save these values of a session, unless somebody has been faster.
        """
        change = Change(record.sid, set=values, expectedVersion=record.version)
        try:
            await self._store.saveSession(change)
        except VersionConflict:
            return False
        return True

    def _stale(self, record: Record) -> Mapping[str, bytes]:
        """
        The values that are not encrypted with the first key, encrypted.

        @raise UnknownKey: One of them cannot be: the key is not there, or it is
            plain and that is not wanted.
        @raise CorruptRecord: One of them is damaged.
        """
        sid = record.sid
        return {
            name: self._envelopes.close(sid, name, self._text(sid, name, value))
            for name, value in record.attributes.items()
            if isSecret(name) and self._envelopes.state(value) is not State.CURRENT
        }

    def _text(self, sid: str, name: str, value: bytes) -> bytes:
        """
        What a value is when it is not encrypted.
        """
        try:
            return self._envelopes.open(sid, name, value)
        except PlainValue:
            if not self._takesPlain:
                raise
            return value


def _leftBy(error: SessionError) -> str:
    """
    The fate of a session that cannot be encrypted.
    """
    if isinstance(error, PlainValue):
        return PLAIN
    return UNKNOWN if isinstance(error, UnknownKey) else DAMAGED
