"""
Who has the places that an owner has: the sessions that were seen to be his,
those that are about to be, and not those that have to leave.
"""

from __future__ import annotations

from msgspec.structs import replace

from ..record import AUTHENTICATED, Record


class Occupancy:
    """
    The sessions of owners as one process knows them, so that whoever logs in
    takes a place at the moment at which it is counted.

    @ivar _seen: The sessions that have an owner, by C{sid}: as little of their
        records as is needed to know which logged in first.
    @ivar _entering: Those that are about to log in, in the same way.
    @ivar _owned: All of these, by owner.
    @ivar leaving: Those that are about to end, and why.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Record] = {}
        self._entering: dict[str, Record] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self.leaving: dict[str, str] = {}

    def see(self, record: Record) -> None:
        """
        Note the record of a live session.
        """
        known, owner = self._seen.get(record.sid), record.sessionKey
        if (
            known is not None
            and known.sessionKey == owner
            and known.authenticatedAt == record.authenticatedAt
        ):
            return
        self.forget(record.sid)
        if owner is not None:
            self._seen[record.sid] = self._add(record, owner)

    def forget(self, sid: str) -> None:
        """
        Note that a session is nobody's, or is no more.
        """
        known = self._seen.pop(sid, None)
        if known is not None:
            self._remove(known)

    def enter(self, record: Record, sessionKey: str) -> None:
        """
        Note that a session is about to have that owner.

        @param record: As it will be.
        """
        self._entering[record.sid] = self._add(record, sessionKey)

    def entered(self, sid: str) -> None:
        """
        Note that the session has him now, or that nothing came of it.
        """
        self._remove(self._entering.pop(sid))

    def all(self, sessionKey: str) -> list[str]:
        """
        The sessions of this owner, the leaving ones as well.
        """
        return list(self._owned.get(sessionKey, ()))

    def of(self, sessionKey: str) -> list[Record]:
        """
        The sessions that have a place of this owner.
        """
        return [
            self._entering[sid] if self._isEntering(sid, sessionKey) else self._seen[sid]
            for sid in self._owned.get(sessionKey, ())
            if sid not in self.leaving
        ]

    def _isEntering(self, sid: str, sessionKey: str | None) -> bool:
        """
        Whether that session is about to have that owner.
        """
        return sid in self._entering and self._entering[sid].sessionKey == sessionKey

    def _isSeen(self, sid: str, sessionKey: str | None) -> bool:
        """
        Whether that session was seen with that owner.
        """
        return sid in self._seen and self._seen[sid].sessionKey == sessionKey

    def _add(self, record: Record, sessionKey: str) -> Record:
        """
        Index a session.

        @return: What there is to know of it.
        """
        self._owned.setdefault(sessionKey, {})[record.sid] = None
        attributes = record.attributes
        moment = {AUTHENTICATED: attributes[AUTHENTICATED]} if AUTHENTICATED in attributes else {}
        return replace(record, verifier=b"", attributes=moment)

    def _remove(self, known: Record) -> None:
        """
        Take a session out of the index, unless it is in there for another
        reason as well.
        """
        sid, owner = known.sid, known.sessionKey
        if owner is None or self._isEntering(sid, owner) or self._isSeen(sid, owner):
            return
        owned = self._owned[owner]
        owned.pop(sid, None)
        if not owned:
            del self._owned[owner]
