"""
From the token of a request to its live session.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .. import lifetime
from ..manager import SessionManager
from ..record import Record
from ..session import Session
from ..token import Token, matches, parse, parseAny, sidOf
from ..tokens import Tokens
from .visit import Visit


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


@attrs.frozen
class Ended:
    """
    What a token opens whose session has ended.

    @ivar reason: Why, one of the constants of L{txsessions.lifetime}.
    """

    reason: str


class SessionLookup:
    """
    Finds the live session that a token opens.

    @ivar _site: The site whose sessions it finds.
    @ivar manager: The manager of the site, once that was asked for.
    @ivar _parse: Takes a token apart: only those of the stock form, unless the
        site makes its own.
    """

    def __init__(self, site: Any, acceptsAnyForm: bool) -> None:
        """
        @param acceptsAnyForm: Whether ids of any form open sessions, because
            the site makes its own.
        """
        self._site = site
        self.manager: SessionManager | None = None
        self._parse = parseAny if acceptsAnyForm else parse

    def find(self, values: Sequence[bytes], audience: bytes, visit: Visit) -> Any:
        """
        The live session that the first of some tokens opens which opens any.

        @param values: What the browser sent: tokens, sealed where that is done.
        @param audience: L{txsessions.token.SECURE} or
            L{txsessions.token.INSECURE}.
        @param visit: Is told whether the cookie is stale.
        @return: The session; or C{None}; or L{SUPERSEDED}, when the token is
            that of a session which has got another one; or L{Ended}, when its
            session has ended and that is remembered; or a L{Deferred} that
            fires with any of these, and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>} or
            L{UnknownKey<txsessions.errors.UnknownKey>}.
        """
        manager = self.manager
        if manager is None:
            manager = self.manager = self._site.sessionManager
        if manager.tokens.isSealing:
            values = self._opened(manager.tokens, values, visit, audience)
        if not values:
            return None
        live = self._site.liveSessions.byToken(values[0])
        if (
            live is not None
            and (manager.isOwner or self._isCurrent(live))
            and live.isOpenTo(values[0], audience, manager.clock.seconds())
        ):
            return live
        return self._findAny(values, audience)

    def _opened(
        self, tokens: Tokens, values: Sequence[bytes], visit: Visit, audience: bytes
    ) -> list[bytes]:
        """
        The tokens in what the browser sent, without what nobody of us has
        sealed.
        """
        opened = []
        for value in values:
            token = tokens.open(value, audience)
            if token is not None:
                opened.append(token)
                visit.isStale = not tokens.isCurrent(value)
        return opened

    def _findAny(self, values: Sequence[bytes], audience: bytes) -> Any:
        """
        The live session that the first of some tokens opens which opens any; as
        L{find}.
        """
        found, others = self._findOne(values[0], audience), values[1:]
        if not others:
            return found
        if isinstance(found, Deferred):
            return found.addCallback(self._orFind, others, audience)
        return self._orFind(found, others, audience)

    def _orFind(self, found: Any, values: Sequence[bytes], audience: bytes) -> Any:
        """
        The session; or the one that the other tokens open.
        """
        if not (found is None or _isFormer(found)):
            return found
        other = self._findAny(values, audience)
        if isinstance(other, Deferred):
            return other.addCallback(_orElse, found)
        return _orElse(other, found)

    def _findOne(self, value: bytes, audience: bytes) -> Any:
        """
        The live session that one token opens; as L{find}.
        """
        sessions, token = self._site.liveSessions, self._parse(value)
        live = sessions.bySid(sidOf(value) if token is None else token.sid)
        if live is None:
            other = sessions.get(value) if sessions.hasOthers else None
            if other is not None:
                return other if getattr(other, "audience", audience) == audience else None
        elif self._isAllKnown(live):
            return self._ifOpened(live, value, audience)
        return None if token is None else self._load(token, value, audience, live)

    def _isAllKnown(self, live: Session) -> bool:
        """
        Whether there is no need to ask the store for a session.
        """
        if not live.isStored():
            return not live.isNew
        manager = self._site.sessionManager
        # That one is over which others use as well only the store can say: a touch may be
        # on its way.
        isAsStored = manager.isOwner or (
            self._isCurrent(live) and live.isInTime(manager.clock.seconds())
        )
        return isAsStored and live.isExact()

    def _isCurrent(self, live: Session) -> bool:
        """
        Whether nobody else has changed anything in the store since a session was loaded.
        """
        epoch = live.epoch
        return epoch is not None and epoch == self._site.sessionManager.epoch()

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
            return self._ended(live, live.endReason)
        reason = self._expired(live)
        if reason is not None:
            live.due()
            return Ended(reason)
        return live

    def _load(self, token: Token, value: bytes, audience: bytes, live: Session | None) -> Any:
        """
        The live session, as the store has it; as L{find}.

        @param live: What this process has of it, if anything.
        """
        manager = self._site.sessionManager
        since = (0 if live is None else live.doubts, manager.epoch())
        loading = manager.store.loadSession(token.sid)
        loading.addCallbacks(
            self._loaded,
            self._notLoaded,
            callbackArgs=(token, value, audience, since),
            errbackArgs=(token, value, audience),
        )
        if loading.called and not loading.paused and not isinstance(loading.result, Failure):
            return loading.result
        return loading

    def _loaded(
        self,
        record: Record | None,
        token: Token,
        value: bytes,
        audience: bytes,
        since: tuple[int, Hashable | None],
    ) -> Any:
        """
        Make, or bring up to date, the live session of a loaded record.

        @param since: The doubts and the epoch when it began to be loaded.
        """
        site, (doubts, epoch) = self._site, since
        live = site.liveSessions.bySid(token.sid)
        if record is None:
            return self._none(None, live, value, audience)
        wasOpened = live is not None and live.wasOpenedBy(value, audience, record.verifier)
        if not (wasOpened or matches(token, audience, record.verifier)):
            return self._none(SUPERSEDED, live, value, audience)
        session = site.adoptRecord(value, record, doubts)
        if session is None:
            return None
        session.audience, session.epoch = audience, epoch
        if session.isInTime(site.sessionManager.clock.seconds()):
            return session
        if session.endReason is not None:
            return self._ended(session, session.endReason)
        reason = self._expired(session)
        if reason is None:
            return session
        site.sessionDue(session)
        return Ended(reason)

    def _notLoaded(self, failure: Failure, token: Token, value: bytes, audience: bytes) -> Any:
        """
        The store says that there is no session any more, or cannot answer.
        """
        found = self._site.sessionManager.noRecord(failure, Ended)
        return self._none(found, self._site.liveSessions.bySid(token.sid), value, audience)

    def _none(self, found: Any, live: Session | None, value: bytes, audience: bytes) -> Any:
        """
        The token opens no session in the store; one that is not stored yet it
        may open.
        """
        if live is not None and not live.isStored():
            return self._ifOpened(live, value, audience)
        if live is not None and live.uid == value:
            self._site.recheck(live)
        return found

    def _ended(self, session: Session, reason: str) -> Any:
        """
        That a session has ended, once the store has confirmed it: until then it may
        live on, and who was told that there is none would find it again.
        """
        ending = session.end(reason)
        return Ended(reason) if ending.called else ending.addCallback(lambda _: Ended(reason))

    def _expired(self, session: Session) -> str | None:
        """
        Why it has ended by itself, if its deadline has passed.
        """
        return lifetime.endReason(session, self._site.sessionManager.clock.seconds())


def _isFormer(found: Any) -> bool:
    """
    Whether this is no session, but says what has become of one.
    """
    return found is SUPERSEDED or type(found) is Ended


def _orElse(other: Any, found: Any) -> Any:
    """
    What another token opens, if anything; or what the first one did.
    """
    return found if other is None else other
