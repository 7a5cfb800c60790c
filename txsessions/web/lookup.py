"""
From the token of a request to its live session.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .. import lifetime
from ..errors import SessionNotFound
from ..record import Record
from ..session import Session
from ..token import Token, parse, parseAny, sidOf

MARGIN: Final = 5.0
"""
How close to its deadline, in seconds, a session is touched in the store before
its handler runs: what is touched only when the handler is done might be ended
by another process in the meantime.
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
        @return: The session, or C{None}; or a L{Deferred} that fires with
            either, and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>} or
            L{UnknownKey<txsessions.errors.UnknownKey>}.
        """
        for place, value in enumerate(values):
            found = self._findOne(value, audience)
            if isinstance(found, Deferred):
                return found.addCallback(self._orFind, values[place + 1 :], audience)
            if found is not None:
                return found
        return None

    def _orFind(self, session: Any, values: Sequence[bytes], audience: bytes) -> Any:
        """
        The session; or the one that the next tokens open.
        """
        return self.find(values, audience) if session is None else session

    def _findOne(self, value: bytes, audience: bytes) -> Any:
        """
        The live session that one token opens; as L{find}.
        """
        token = self._parse(value)
        live = self._site.sessions.bySid(sidOf(value) if token is None else token.sid)
        isOwner = self._site.sessionManager.isOwner
        if live is not None and compare_digest(live.uid, value):
            if not isinstance(live, Session):
                return live
            if live.audience is None:
                live.audience = audience
            if isOwner or not live.isStored():
                return self._ifAlive(live) if live.audience == audience else None
        elif isOwner and live is not None:
            return None
        if token is None:
            return None
        return self._load(token, value, audience)

    def _ifAlive(self, live: Session) -> Session | None:
        """
        A session of which this process knows everything, unless it has ended.
        """
        if live.endReason is None and self._hasExpired(live):
            live.due()
        return live if live.endReason is None else None

    def _load(self, token: Token, value: bytes, audience: bytes) -> Any:
        """
        The live session, as the store has it; as L{find}.
        """
        loading = self._site.sessionManager.load(token, audience)
        loading.addCallback(self._adopt, value, audience)
        if loading.called and not loading.paused and not isinstance(loading.result, Failure):
            return loading.result
        return loading

    def _adopt(self, record: Record | None, value: bytes, audience: bytes) -> Any:
        """
        Make, or bring up to date, the live session of a loaded record.
        """
        site = self._site
        if record is None:
            live = site.sessions.bySid(sidOf(value))
            if isinstance(live, Session) and live.isStored() and live.uid == value:
                site.recheck(live)
            return None
        session = site.adoptRecord(value, record)
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
        Whether the deadline is close.
        """
        left = lifetime.deadline(session) - self._site.sessionManager.clock.seconds()
        return left < min(MARGIN, lifetime.touchInterval(session.sessionTimeout))

    def _hasExpired(self, session: Session) -> bool:
        """
        Whether the deadline has passed.
        """
        now = self._site.sessionManager.clock.seconds()
        return lifetime.endReason(session, now) is not None
