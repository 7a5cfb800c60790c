"""
From the token of a request to its live session.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .. import lifetime
from ..errors import SessionNotFound
from ..session import Session
from ..token import Token, parse, parseAny, sidOf


class Superseded(Enum):
    """
    The type of L{SUPERSEDED}.
    """

    SUPERSEDED = "superseded"


SUPERSEDED: Final = Superseded.SUPERSEDED
"""
What a token opens whose session has got another one since: nothing, and whoever
sent it will know the new one soon.
"""


class SessionLookup:
    """
    Finds the live session that a token opens.

    @ivar _site: The site whose sessions it finds.
    @ivar _parse: Takes a token apart: only those of the stock form, unless the
        site makes its own.
    """

    def __init__(self, site: Any, acceptsAnyForm: bool) -> None:
        """
        @param acceptsAnyForm: Whether ids of any form open sessions, because
            the site makes its own.
        """
        self._site = site
        self._parse = parseAny if acceptsAnyForm else parse

    def find(self, values: Sequence[bytes], audience: bytes) -> Any:
        """
        The live session that the first of some tokens opens which opens any.

        @param values: The tokens that the browser sent.
        @param audience: L{txsessions.token.SECURE} or
            L{txsessions.token.INSECURE}.
        @return: The session; or C{None}; or L{SUPERSEDED}, when the token is
            that of a session which has got another one; or a L{Deferred} that
            fires with any of these, and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>} or
            L{UnknownKey<txsessions.errors.UnknownKey>}.
        """
        for place, value in enumerate(values):
            found = self._findOne(value, audience)
            if isinstance(found, Deferred):
                return found.addCallback(self._orFind, values[place + 1 :], audience)
            if found is not None:
                return self._orFind(found, values[place + 1 :], audience)
        return None

    def _orFind(self, found: Any, values: Sequence[bytes], audience: bytes) -> Any:
        """
        The session; or the one that the next tokens open.
        """
        if found is None:
            return self.find(values, audience)
        if found is not SUPERSEDED or not values:
            return found
        found = self.find(values, audience)
        if isinstance(found, Deferred):
            return found.addCallback(_orSuperseded)
        return _orSuperseded(found)

    def _findOne(self, value: bytes, audience: bytes) -> Any:
        """
        The live session that one token opens; as L{find}.
        """
        token = self._parse(value)
        sessions = self._site.sessions
        live = sessions.bySid(sidOf(value) if token is None else token.sid)
        if live is None:
            other = sessions.get(value)
            if other is not None:
                return other if getattr(other, "audience", audience) == audience else None
        elif self._isAllKnown(live):
            return self._ifOpened(live, value, audience)
        return None if token is None else self._load(token, value, audience)

    def _isAllKnown(self, live: Session) -> bool:
        """
        Whether there is no need to ask the store for a session.
        """
        if not live.isStored():
            return not live.isNew
        return self._site.sessionManager.isOwner and live.isExact()

    def _ifOpened(self, live: Session, value: bytes, audience: bytes) -> Any:
        """
        A session of which this process knows everything, if the token opens it.
        """
        if live.audience is None:
            live.audience = audience
        if live.audience != audience:
            return None
        if not live.isOpenedBy(value, audience):
            return SUPERSEDED
        if live.endReason is not None:
            return None
        if self._hasExpired(live):
            live.due()
            return None
        return live

    def _load(self, token: Token, value: bytes, audience: bytes) -> Any:
        """
        The live session, as the store has it; as L{find}.
        """
        live = self._site.sessions.bySid(token.sid)
        doubts = 0 if live is None else live.doubts
        loading = self._site.sessionManager.load(token, audience, SUPERSEDED)
        loading.addCallback(self._adopt, value, audience, doubts)
        if loading.called and not loading.paused and not isinstance(loading.result, Failure):
            return loading.result
        return loading

    def _adopt(self, record: Any, value: bytes, audience: bytes, doubts: int) -> Any:
        """
        Make, or bring up to date, the live session of a loaded record.
        """
        site = self._site
        if record is None or record is SUPERSEDED:
            live = site.sessions.bySid(sidOf(value))
            if live is not None and not live.isStored():
                return self._ifOpened(live, value, audience)
            if live is not None and live.uid == value:
                site.recheck(live)
            return record
        session = site.adoptRecord(value, record, doubts)
        if session is None:
            return None
        session.audience = audience
        if session.endReason is not None:
            return None
        if self._hasExpired(session):
            site.sessionDue(session)
            return None
        if not site.sessionManager.isOwner and self._isClose(session):
            return session.saveTouch().addCallbacks(lambda _: session, self._notTouched)
        return session

    def _notTouched(self, failure: Failure) -> None:
        """
        It has been ended a moment ago.
        """
        failure.trap(SessionNotFound)

    def _isClose(self, session: Session) -> bool:
        """
        Whether the deadline is close: what is touched in the store only when
        the handler is done might be ended by another process in the meantime.
        """
        return self._site.sessionManager.clock.seconds() > lifetime.lastCall(session)

    def _hasExpired(self, session: Session) -> bool:
        """
        Whether the deadline has passed.
        """
        now = self._site.sessionManager.clock.seconds()
        return lifetime.endReason(session, now) is not None


def _orSuperseded(found: Any) -> Any:
    """
    What else was found, if anything.
    """
    return SUPERSEDED if found is None else found
