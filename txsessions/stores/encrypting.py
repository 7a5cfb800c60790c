"""
A store that encrypts what an application keeps.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.runtime import seconds

from ..envelope import Envelopes
from ..errors import CorruptRecord, SessionError, UnknownKey
from ..keys import KeyRing, ringOf
from ..record import Change, Record
from .claim import Claim, Ending, LogIn
from .journal import JournalEntry
from .keycheck import KeyCheck
from .recordcipher import RecordCipher
from .wrapping import Call, WrappingStore

MAXIMUM_DAMAGED: Final = 1000
"""
For how many damaged records it is remembered that they have been reported.
"""

FREE: Final = frozenset({"setup", "enrol", "dismiss", "acknowledge"})
"""
The operations that have nothing to do with what is encrypted.
"""


class EncryptingStore(WrappingStore):
    """
    A store that encrypts values, around a store of any kind.  It provides what
    the store inside provides.

    The values of C{data} and of components are encrypted.  The names of them are
    not, nor the owner, the times and the facts about a session: by these the
    store inside finds and ends sessions.  Sizes can be seen too.

    What cannot be decrypted:

      - Where B{the key is not there}, or a value is not encrypted, an operation
        fails with L{UnknownKey<txsessions.errors.UnknownKey>} and changes
        nothing; see L{KeyCheck<txsessions.stores.keycheck.KeyCheck>}.  If a
        session ends nevertheless of which a part cannot be decrypted, because
        another process has just written that part, its ending is told without
        it.  An entry of a journal is given only to who can decrypt it.
      - What B{was changed} by somebody, or was put in another place, is damaged:
        L{loadSession} fails with
        L{CorruptRecord<txsessions.errors.CorruptRecord>} once in each process,
        and then there is no such session.  It stays in the store inside, for
        whoever wants to look at it, until it expires; then its ending is told
        without the value.

    @ivar _check: Whether this process has the keys.
    @ivar _damaged: The sessions whose record is known to be damaged.
    """

    _log = Logger()

    def __init__(
        self,
        store: Any,
        ring: KeyRing | bytes | Iterable[bytes],
        plainUntil: float | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param store: The store inside.
        @param ring: The keys, the newest first: the first one encrypts, all of
            them decrypt.
        @param plainUntil: Until when values may be there that are not encrypted,
            in seconds since the epoch; C{None}: they may not.  They are
            encrypted when they are saved the next time.
        @param entropy: Gives that many random bytes.  What it raises an
            operation fails with.
        """
        super().__init__(store)
        self._plainUntil = plainUntil
        envelopes = Envelopes(ringOf(ring), entropy)
        self._cipher = RecordCipher(envelopes, self._takesPlain)
        self._check = KeyCheck(store, self._cipher, self._now)
        self._damaged: dict[str, None] = {}

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession
        <txsessions.interfaces.ISessionStore.loadSession>}.
        """
        if self._check.isOpen():
            answer: Deferred[Any] = self.store.loadSession(sid)
        else:
            answer = self._operate("loadSession", sid)
        return answer.addCallback(self._opened, default)

    async def iterSessions(self) -> AsyncIterator[tuple[str, Record]]:
        """
        See L{ISessionStoreAdministration.iterSessions
        <txsessions.interfaces.ISessionStoreAdministration.iterSessions>}.
        """
        await self._check.admit("iterSessions", None)
        async for sid, record in self.store.iterSessions():
            opened = self._found(record)
            if opened is not None:
                yield sid, opened

    def _operate(self, name: str, *arguments: Any, **options: Any) -> Deferred[Any]:
        """
        See L{WrappingStore._operate}.
        """
        if name in FREE:
            return super()._operate(name, *arguments, **options)
        if self._check.isOpen():
            return maybeDeferred(self._ask, name, arguments, options)
        sid = Call(name, arguments or tuple(options.values())).sid
        return self._check.admit(name, sid).addCallback(
            lambda _: self._ask(name, arguments, options)
        )

    def _ask(self, name: str, arguments: Sequence[Any], options: Any) -> Deferred[Any]:
        """
        Have the store inside do an operation.
        """
        closed = [self._closed(each) for each in arguments]
        named = {key: self._closed(each) for key, each in options.items()}
        answer: Deferred[Any] = getattr(self.store, name)(*closed, **named)
        read = self._readers.get(name)
        return answer if read is None else answer.addCallback(partial(read, self))

    def _closed(self, argument: Any) -> Any:
        """
        An argument as the store inside is to have it.
        """
        if isinstance(argument, Change):
            return self._cipher.closeChange(argument)
        return self._cipher.close(argument) if isinstance(argument, Record) else argument

    def _opened(self, record: Record | None, default: Any) -> Any:
        """
        A live record that was asked for; C{default} if there is none, or if it
        is damaged and that has been told.
        """
        if record is None:
            return default
        try:
            opened = self._cipher.open(record)
        except UnknownKey:
            self._check.met(record.sid)
            raise
        except CorruptRecord:
            if self._isNews(record.sid):
                raise
            return default
        if self._damaged:
            self._damaged.pop(record.sid, None)
        return opened

    def _found(self, record: Record) -> Record | None:
        """
        A live record among others; C{None} if it is damaged.
        """
        try:
            opened: Record | None = self._opened(record, None)
        except CorruptRecord as e:
            self._log.error("{error}", error=e)
            return None
        return opened

    def _foundAll(self, records: Sequence[Record]) -> list[Record]:
        """
        What C{findSessions} gives.
        """
        found = [self._found(record) for record in records]
        return [record for record in found if record is not None]

    def _ended(self, record: Record | None) -> Record | None:
        """
        What C{deleteSession} gives.
        """
        if record is None:
            return None
        opened, error = self._cipher.openPart(record)
        self._reportParts([] if error is None else [error])
        return opened

    def _claimed(self, claim: Claim) -> Claim:
        """
        What C{claimExpired} gives.
        """
        return attrs.evolve(claim, endings=self._endings(claim.endings))

    def _loggedIn(self, logIn: LogIn) -> LogIn:
        """
        What C{logInSession} gives.
        """
        return attrs.evolve(logIn, evicted=self._endings(logIn.evicted))

    def _endings(self, endings: Sequence[Ending]) -> list[Ending]:
        """
        Endings as far as they can be decrypted: what has ended is told.
        """
        told, errors = [], []
        for ending in endings:
            record, error = self._cipher.openPart(ending.record)
            told.append(attrs.evolve(ending, record=record))
            if error is not None:
                errors.append(error)
        self._reportParts(errors)
        return told

    def _taken(self, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
        """
        What C{takeEndings} gives: entries for which there are the keys.  The
        others stay where they are until they are taken again, by who has them.

        @raise UnknownKey: There are the keys for none of them.
        """
        told, errors, missing = [], [], None
        for entry in entries:
            try:
                record, error = self._cipher.openWhole(entry.record)
            except UnknownKey as e:
                missing = missing or e
                continue
            told.append(attrs.evolve(entry, record=record))
            if error is not None:
                errors.append(error)
        self._reportParts(errors)
        if missing is not None and not told:
            raise missing
        return told

    def _reportParts(self, errors: Sequence[SessionError]) -> None:
        """
        Log in one line of what was left out.
        """
        if errors:
            self._log.error(
                "{count} sessions that have ended are told of without what cannot be decrypted; "
                "the first: {error}",
                count=len(errors),
                error=errors[0],
            )

    def _isNews(self, sid: str) -> bool:
        """
        Whether nobody has been told yet that this record is damaged.
        """
        if sid in self._damaged:
            return False
        self._damaged[sid] = None
        if len(self._damaged) > MAXIMUM_DAMAGED:
            del self._damaged[next(iter(self._damaged))]
        return True

    def _takesPlain(self) -> bool:
        """
        Whether values may be there that are not encrypted.
        """
        return self._plainUntil is not None and self._now() < self._plainUntil

    def _now(self) -> float:
        """
        The present, on the clock of the store inside.
        """
        clock = self.clock
        return seconds() if clock is None else clock.seconds()

    _readers: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
        "findSessions": _foundAll,
        "deleteSession": _ended,
        "claimExpired": _claimed,
        "logInSession": _loggedIn,
        "endSessions": _endings,
        "takeEndings": _taken,
    }
