"""
A storage that an application has written.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred


class OwnStorage:
    """
    Asks a storage that need not say whether a change was one: so it is asked
    before.  There has to be one call at a time for each id.

    @ivar _storage: The L{ISessionStorage}.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    async def hasSession(self, sessionID: int | bytes) -> bool:
        """
        See L{ISessionStorage.hasSession}.
        """
        return bool(await maybeDeferred(self._storage.hasSession, sessionID))

    async def beginSession(self, sessionID: int | bytes) -> bool:
        """
        See L{ISessionStorage.createSession}.
        """
        if await self.hasSession(sessionID):
            return False
        answer = await maybeDeferred(self._storage.createSession, sessionID)
        return answer is None or bool(answer)

    async def endSession(self, sessionID: int | bytes) -> bool:
        """
        See L{ISessionStorage.destroySession}.
        """
        if not await self.hasSession(sessionID):
            return False
        answer = await maybeDeferred(self._storage.destroySession, sessionID)
        return answer is None or bool(answer)
