"""
The sessions of a manager as those know them who hold their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .data import PREFIX, SessionData
from .errors import SessionEnded, SessionError, SessionNotFound, VersionConflict
from .given import givenOwner
from .handle import SessionHandle, handleOf
from .jsonvalues import decode
from .keeper import MAXIMUM_COLLISIONS, REPEATED
from .lifetime import LOGOUT, REVOKED, deadline, endReason, touchInterval
from .record import (
    AUTHENTICATED,
    NOTHING,
    REWORKED,
    Change,
    Record,
    mergedAttributes,
    timeText,
)
from .token import INSECURE, digest, parseAny


class Registry:
    """
    What a L{SessionManager<txsessions.manager.SessionManager>} does with single
    sessions, step by step.

    @ivar _manager: The manager: its store, clock, tokens and limits.
    @ivar _sessionTimeout: How long a new session lives without a touch, in
        seconds.
    @ivar _absoluteTimeout: How long it lives at the most, or C{None}.
    @ivar _notes: Which keys of the data may be shown in a list.
    """

    def __init__(
        self,
        manager: Any,
        sessionTimeout: float,
        absoluteTimeout: float | None,
        notes: Collection[str],
    ) -> None:
        self._manager = manager
        self._sessionTimeout = sessionTimeout
        self._absoluteTimeout = absoluteTimeout
        self._notes = tuple(notes)

    async def create(self, sessionKey: str | None, data: Mapping[str, Any]) -> str:
        """
        See L{SessionManager.create<txsessions.manager.SessionManager.create>}.
        """
        if sessionKey is not None:
            givenOwner(sessionKey)
        attributes = self._changed(NOTHING, data)
        now = self._manager.clock.seconds()
        if sessionKey is not None:
            attributes[AUTHENTICATED] = timeText(now)
        for _ in range(MAXIMUM_COLLISIONS + 1):
            id = self._manager.tokens.new()
            token = parseAny(id)
            assert token is not None, "a new token can be taken apart"
            record = Record(
                token.sid,
                digest(token.verifier, INSECURE),
                created=now,
                lastModified=now,
                sessionTimeout=self._sessionTimeout,
                absoluteTimeout=self._absoluteTimeout,
                sessionKey=sessionKey,
                attributes=attributes,
            )
            if await self._manager.store.createSession(record):
                self._manager.wakeBy(deadline(record))
                return self._idOf(id)
        raise SessionError(REPEATED)

    async def get(self, id: str | bytes, touch: bool) -> dict[str, Any]:
        """
        See L{SessionManager.get<txsessions.manager.SessionManager.get>}.
        """
        record = await self._opened(id)
        now = self._manager.clock.seconds()
        if touch and now - record.lastModified >= touchInterval(record.sessionTimeout):
            await self._save(Change(record.sid, lastModified=now))
        start = len(PREFIX)
        return {
            name[start:]: decode(text)
            for name, text in record.attributes.items()
            if name.startswith(PREFIX)
        }

    async def update(self, id: str | bytes, data: Mapping[str, Any]) -> None:
        """
        See L{SessionManager.update<txsessions.manager.SessionManager.update>}.
        """
        record = await self._opened(id)
        change = Change(
            record.sid,
            set=self._changed(record.attributes, data),
            lastModified=self._manager.clock.seconds(),
            expectedVerifier=record.verifier,
        )
        self._manager.limits.check(mergedAttributes(record.attributes, change))
        await self._save(change)

    async def delete(self, id: str | bytes) -> None:
        """
        See L{SessionManager.delete<txsessions.manager.SessionManager.delete>}.
        """
        record = await self._opened(id)
        if await self._manager.store.deleteSession(record.sid, LOGOUT) is None:
            raise SessionNotFound(record.sid)

    async def clear(self, sessionKey: str, exceptFor: str | None, missingOk: bool) -> int:
        """
        See L{SessionManager.clear<txsessions.manager.SessionManager.clear>}.
        """
        givenOwner(sessionKey)
        ended = len(await self._manager.store.endSessions(sessionKey, REVOKED, exceptFor))
        if not ended and not missingOk:
            raise SessionNotFound(None)
        return ended

    async def rework(self, id: str | bytes) -> str:
        """
        See L{SessionManager.rework<txsessions.manager.SessionManager.rework>}.
        """
        record = await self._opened(id)
        now = self._manager.clock.seconds()
        new = self._manager.tokens.reworked(record.sid)
        token = parseAny(new)
        assert token is not None, "a new token can be taken apart"
        change = Change(
            record.sid,
            set={REWORKED: timeText(now)},
            verifier=digest(token.verifier, INSECURE),
            lastModified=now,
            expectedVerifier=record.verifier,
        )
        await self._save(change)
        return self._idOf(new)

    async def find(self, sessionKey: str) -> list[SessionHandle]:
        """
        See L{SessionManager.find<txsessions.manager.SessionManager.find>}.
        """
        givenOwner(sessionKey)
        records = await self._manager.store.findSessions(sessionKey)
        now = self._manager.clock.seconds()
        live = [record for record in records if endReason(record, now) is None]
        return [handleOf(record, self._notes) for record in live]

    async def _opened(self, id: str | bytes) -> Record:
        """
        The live record that an id opens.

        @raise SessionNotFound: There is none.
        """
        token = self._manager.tokens.parse(_bytesOf(id), INSECURE)
        if token is None:
            raise SessionNotFound(None)
        record = await self._manager.load(token, INSECURE, ended=lambda reason: reason)
        if isinstance(record, str):
            raise SessionEnded(token.sid, record)
        if record is None:
            raise SessionNotFound(token.sid)
        reason = endReason(record, self._manager.clock.seconds())
        if reason is not None:
            self._manager.sweep()
            raise SessionEnded(record.sid, reason)
        return record  # type: ignore[no-any-return]  # load may give more

    async def _save(self, change: Change) -> None:
        """
        Apply a change to a session whose id has been opened, and say so where it is
        alive.

        @raise SessionNotFound: It has got another id meanwhile.
        """
        try:
            await self._manager.store.saveSession(change)
        except VersionConflict:
            raise SessionNotFound(change.sid) from None
        finally:
            self._manager.changed(change.sid)

    def _changed(
        self, attributes: Mapping[str, bytes], data: Mapping[str, Any]
    ) -> dict[str, bytes]:
        """
        The attributes to set for some keys of the data.
        """
        known = SessionData(attributes, self._manager.limits)
        known.update(data)
        changed = known.changes()[0]
        self._manager.limits.check({**attributes, **changed})
        return changed

    def _idOf(self, token: bytes) -> str:
        """
        What the holder of a token gets.
        """
        return self._manager.tokens.seal(token, INSECURE).decode("utf-8", "surrogateescape")


def _bytesOf(id: str | bytes) -> bytes:
    """
    An id as L{Registry._idOf} was given it; of what was never one, anything.

    @raise TypeError: It is nothing of the kind: C{bytes} of a large number would take
        as much memory.
    """
    if isinstance(id, bytes):
        return id
    if not isinstance(id, str):
        raise TypeError(f"an id is a str or bytes, not {type(id).__name__}")
    try:
        return id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b""
