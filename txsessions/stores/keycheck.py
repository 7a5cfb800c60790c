"""
A check that a process has the keys of its store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ..errors import CorruptRecord, SessionNotFound, UnknownKey
from ..interfaces import ISessionStoreAdministration
from ..walk import close
from .recordcipher import RecordCipher

LOOKED: Final = 500
"""
How many records are looked at before the first operation: a page, which no store
takes long for.
"""

PAUSE: Final = 10.0
"""
After how long a process that has not the keys looks again, in seconds: somebody
may have encrypted what was plain.
"""

MAXIMUM_STRANGE: Final = 1000
"""
How many sessions are remembered that could not be decrypted.
"""

ENDS: Final = ("claimExpired", "deleteOldSessions", "endSessions")
"""
The operations that end sessions which nobody has looked at before.
"""


class KeyCheck:
    """
    Keeps a process with the wrong keys from changing anything.

    Before its first operation it looks at some records of the store.  If none of
    them can be decrypted, though there are some, no operation is admitted: not
    the creation of a session either, which nobody else could read.

    Later, as long as there is a live session that this process has met and
    cannot decrypt, nothing is ended that nobody has looked at before, and
    nothing is changed in that session.

    @ivar _store: The store inside, which does not decrypt.
    @ivar _cipher: Knows for which records there are keys.
    @ivar _now: Gives the present, in seconds.
    @ivar _strange: The sessions that cannot be decrypted, as far as this process
        knows.
    @ivar _isSettled: Whether the first look has shown nothing wrong.
    @ivar _waiting: The operations that wait for the look under way, in their
        order; C{None} when none is.
    @ivar _reason: Why the last look was not enough, if it is the keys.
    @ivar _lookedAt: When that was.
    """

    def __init__(self, store: Any, cipher: RecordCipher, now: Callable[[], float]) -> None:
        self._store = store
        self._cipher = cipher
        self._now = now
        self._strange: dict[str, None] = {}
        self._isSettled = False
        self._waiting: list[Deferred[None]] | None = None
        self._reason: str | None = None
        self._lookedAt = 0.0

    def isOpen(self) -> bool:
        """
        Whether every operation is admitted at once.
        """
        return self._isSettled and not self._strange

    def met(self, sid: str) -> None:
        """
        A live session cannot be decrypted.
        """
        self._strange[sid] = None
        if len(self._strange) > MAXIMUM_STRANGE:
            del self._strange[next(iter(self._strange))]

    def admit(self, operation: str, sid: str | None) -> Deferred[None]:
        """
        Wait until it is known whether this may be done.

        @param sid: The session that it is about, if it is about a certain one.
        @return: A L{Deferred} that fires with L{None}; and fails with
            L{UnknownKey<txsessions.errors.UnknownKey>}, or as the store does.
        """
        if self._isSettled:
            return self._admitted(operation, sid)
        return self._settled().addCallback(lambda _: self._admitted(operation, sid))

    def _admitted(self, operation: str, sid: str | None) -> Deferred[None]:
        """
        As L{admit}, after the first look.
        """
        if operation in ENDS:
            return Deferred.fromCoroutine(self._checkAgain(list(self._strange)))
        if sid in self._strange:
            return Deferred.fromCoroutine(self._checkAgain([sid]))
        return succeed(None)

    def _settled(self) -> Deferred[None]:
        """
        Wait for the first look.
        """
        done: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
        elif self._reason is not None and 0 <= self._now() - self._lookedAt < PAUSE:
            done.errback(UnknownKey(self._reason))
        else:
            self._waiting = [done]
            Deferred.fromCoroutine(self._look()).addCallbacks(self._pass, self._refuse)
        return done

    async def _look(self) -> None:
        """
        Look at some records.

        @raise UnknownKey: None of them can be decrypted.
        """
        if not ISessionStoreAdministration.providedBy(self._store):
            return
        isKnown, strange, count = False, [], 0
        sessions = self._store.iterSessions()
        try:
            async for sid, record in sessions:
                try:
                    isKnown = self._cipher.check(record) or isKnown
                except UnknownKey as e:
                    strange.append((sid, e))
                count += 1
                if count == LOOKED:
                    break
        finally:
            await close(sessions)
        if strange and not isKnown:
            raise strange[0][1]
        for sid, _ in strange:
            self.met(sid)

    def _pass(self, _: None) -> None:
        """
        Let those through that wait, in their order; what they lead to comes
        after them.
        """
        waiting = self._waiting or []
        while waiting:
            waiting.pop(0).callback(None)
        self._waiting, self._isSettled = None, True

    def _refuse(self, failure: Failure) -> None:
        """
        Let nobody through.  If it is the keys, look again after a while only.
        """
        waiting, self._waiting = self._waiting or [], None
        self._reason = str(failure.value) if failure.check(UnknownKey) else None
        self._lookedAt = self._now()
        for done in waiting:
            done.errback(failure.value)

    async def _checkAgain(self, sids: list[str]) -> None:
        """
        Look at sessions that could not be decrypted before.

        @raise UnknownKey: One of them still cannot.
        """
        for sid in sids:
            try:
                record = await self._store.loadSession(sid)
            except (SessionNotFound, CorruptRecord):
                record = None
            if record is not None:
                self._cipher.check(record)
            self._strange.pop(sid, None)
