"""
The manager: sessions over a store, without the web.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .clock import steady
from .custody import Custody
from .errors import CorruptRecord, SessionEnded, SessionNotFound
from .feed import SessionFeed
from .given import given, positive
from .handle import SessionHandle
from .interfaces import ISessionStore
from .lifetime import REVOKED
from .limit import EVICT_OLDEST, SessionLimit
from .record import Record
from .registry import Registry
from .size import USUAL, SizeLimits
from .token import Token, matches
from .tokens import Tokens

TIMEOUT: Final = 900.0
"""
How long a session lives without a touch, in seconds, where nobody says: as in
stock Twisted.
"""

RAISE: Final = object()
"""
Stands for no default.
"""


class SessionManager(Custody):
    """
    Sessions over a store, by their ids and by their owners.

    An id is what opens a session: whoever is to have it gets it from L{create}
    or L{rework}, and it is stored nowhere.  L{find} gives handles, which open
    nothing.

    All operations return L{Deferred}s, which may be awaited.  Each fails with
    L{SessionNotFound<txsessions.errors.SessionNotFound>} (or
    L{SessionEnded<txsessions.errors.SessionEnded>}, which is one and says why)
    where there is no such session, and with
    L{StoreUnavailable<txsessions.errors.StoreUnavailable>} where the store
    cannot answer: then nobody knows whether a change was made.

    C{start} has it end what has expired, at its time; C{stop} finishes what is
    under way.  A L{Site<txsessions.Site>} does both for its own.

    @ivar clock: The time by which sessions live: an L{IReactorTime} that does
        not jump.
    @ivar sessionTimeout: See L{__init__}; C{None}: what the class of the
        sessions says.
    @ivar absoluteTimeout: As C{sessionTimeout}.
    @ivar reworkInterval: See L{__init__}.
    @ivar limits: See L{__init__}.
    @ivar tokens: Makes and opens ids.
    """

    def __init__(
        self,
        store: ISessionStore,
        clock: IReactorTime | None = None,
        *,
        sessionTimeout: float | None = None,
        absoluteTimeout: float | None = None,
        reworkInterval: float | None = None,
        idFactory: Callable[[], str | bytes] | None = None,
        keys: Any = None,
        encryptData: bool = False,
        plainUntil: float | None = None,
        maxSessionsPerKey: int | None = None,
        onExceed: str = EVICT_OLDEST,
        notes: Collection[str] = (),
        limits: SizeLimits = USUAL,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param store: Anything that adapts to L{ISessionStore}.
        @param clock: A reactor, or any other L{IReactorTime}; C{None}: the
            global reactor.
        @param sessionTimeout: How long a session lives without a touch, in
            seconds.
        @param absoluteTimeout: How long it lives at the most, in seconds.
        @param reworkInterval: How old a token may grow, in seconds, before a
            browser that loads a page gets another one; C{None}: any age.
        @param idFactory: Makes ids of your own form, each a L{str} or L{bytes};
            one that is taken is not used.  They must be hard to guess.
        @param keys: A L{KeyRing<txsessions.keys.KeyRing>}, or what makes one: a
            key, L{bytes} of 32 or more, or several.  Then ids are sealed, so
            that a forged one is found out without a look at the store.  The
            first key seals, all of them open.
        @param encryptData: Whether to encrypt the data in the store, by the
            same keys.
        @param plainUntil: Until when ids are accepted that are not sealed, and
            data that are not encrypted, in seconds since the epoch: for a store
            that was used without keys so far.
        @param maxSessionsPerKey: How many live sessions one owner may have.
        @param onExceed: What one more log-in does: C{"evict-oldest"} ends the
            session that logged in longest ago, C{"refuse"} fails with
            L{TooManySessions<txsessions.errors.TooManySessions>}.
        @param notes: Which keys of the data L{find} shows.
        @param limits: How large a session may grow.
        @param entropy: Gives that many random bytes.
        @raise TypeError: The store is none, or cannot do what is asked for.
        @raise ValueError: An option has no sense; the text says which.
        """
        if clock is None:
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self.clock = steady(clock)
        self.sessionTimeout = _positive("sessionTimeout", sessionTimeout)
        self.absoluteTimeout = _positive("absoluteTimeout", absoluteTimeout)
        self.reworkInterval = _positive("reworkInterval", reworkInterval)
        _checkOptions(limits, notes, idFactory, entropy)
        self.limits = limits
        if keys is None and (encryptData or plainUntil is not None):
            raise ValueError("encryptData needs keys, and plainUntil is for nothing else")
        _positive("plainUntil", plainUntil)
        inner = given(ISessionStore, store)
        if inner.clock is None:
            inner.clock = self.clock
        sealer = None
        if keys is not None:
            # What they need is an extra that not everybody has.
            from .keys import ringOf
            from .seal import TokenSealer

            ring = ringOf(keys)
            sealer = TokenSealer(ring, entropy)
            if encryptData:
                from .stores.encrypting import EncryptingStore

                inner = EncryptingStore(inner, ring, plainUntil, entropy)
        until = plainUntil or 0
        self.tokens = Tokens(entropy, idFactory, sealer, lambda: self.clock.seconds() < until)
        limit = SessionLimit(1 if maxSessionsPerKey is None else maxSessionsPerKey, onExceed)
        super().__init__(inner, self.clock, None if maxSessionsPerKey is None else limit)
        self._registry = Registry(self, sessionTimeout or TIMEOUT, absoluteTimeout, notes)

    def create(
        self, sessionKey: str | None, data: Mapping[str, Any] | None = None
    ) -> Deferred[str]:
        """
        Begin a session.

        @param sessionKey: The owner, usually a user name: any L{str}, or
            C{None} for nobody.
        @param data: What to keep in it: a mapping of L{str} to JSON values.
        @return: A L{Deferred} that fires with its id, a L{str}; and fails with
            L{InvalidSessionData<txsessions.errors.InvalidSessionData>} or
            L{TooManySessions<txsessions.errors.TooManySessions>}.
        """
        return Deferred.fromCoroutine(
            self._registry.create(sessionKey, {} if data is None else data)
        )

    def get(self, id: str | bytes, default: Any = RAISE, touch: bool = True) -> Deferred[Any]:
        """
        The data of a session.  An empty C{dict} is data.

        @param default: What to give where there is no such session, instead of
            failing.
        @param touch: Whether this uses the session, which begins its idle
            time-out anew; not so for what polls by itself.
        @return: A L{Deferred} that fires with a L{dict} of the caller's own.
        """
        getting: Deferred[Any] = Deferred.fromCoroutine(self._registry.get(id, touch))
        return getting if default is RAISE else getting.addErrback(_orElse, default)

    def update(self, id: str | bytes, data: Mapping[str, Any]) -> Deferred[None]:
        """
        Set some keys of the data of a session, as C{dict.update} does; the other
        keys stay as they are, also where somebody else changes them at the same
        time.  A session that has ended stays so.

        @return: A L{Deferred} that fires with L{None} when it is stored; and
            fails with
            L{InvalidSessionData<txsessions.errors.InvalidSessionData>}.
        """
        return Deferred.fromCoroutine(self._registry.update(id, data))

    def delete(self, id: str | bytes, missingOk: bool = False) -> Deferred[None]:
        """
        End a session: log it out.

        @param missingOk: Whether it is no error that there is none.
        @return: A L{Deferred} that fires with L{None} when it has ended.
        """
        deleting = Deferred.fromCoroutine(self._registry.delete(id))
        return deleting.addErrback(_orElse, None) if missingOk else deleting

    def clear(
        self, sessionKey: str, exceptFor: str | None = None, missingOk: bool = False
    ) -> Deferred[int]:
        """
        End all sessions of an owner, on all workers, also those that a request
        is using; and those log-ins that are on their way and older than this.

        @param exceptFor: The C{sid} of one that lives on.
        @param missingOk: Whether it is no error that there is none to end.
        @return: A L{Deferred} that fires with how many this has ended.
        """
        return Deferred.fromCoroutine(self._registry.clear(sessionKey, exceptFor, missingOk))

    def revoke(self, sid: str) -> Deferred[bool]:
        """
        End one session that L{find} has shown.

        @return: A L{Deferred} that fires with whether this has ended it.
        """
        return self.store.deleteSession(sid, REVOKED).addCallback(lambda last: last is not None)

    def rework(self, id: str | bytes) -> Deferred[str]:
        """
        Give a session another id.  The old one is dead at once.

        @return: A L{Deferred} that fires with the new id, a L{str}.
        """
        return Deferred.fromCoroutine(self._registry.rework(id))

    def find(self, sessionKey: str) -> Deferred[list[SessionHandle]]:
        """
        The live sessions of an owner.

        @return: A L{Deferred} that fires with a L{list} of
            L{SessionHandle<txsessions.handle.SessionHandle>}, those that began
            first before others; empty where there is none.
        """
        return Deferred.fromCoroutine(self._registry.find(sessionKey))

    def subscribe(self, observer: Any, *kinds: Any, name: str | None = None) -> None:
        """
        Tell an observer of what this process does to sessions from now on.

        @param observer: Anything that adapts to
            L{ISessionObserver<txsessions.interfaces.ISessionObserver>}.
        @param kinds: L{ISessionEvent<txsessions.interfaces.ISessionEvent>}, or
            interfaces that extend it: which events it is told of; none: of all.
        @param name: Makes it a durable observer: it is told of endings only, but
            of each, whichever process made it, once in all processes that know
            the name; and once more only where one of them is killed.
        @raise TypeError: It is no observer, or no kind; or it has a name, and the
            store keeps no journal.
        """
        if name is None:
            self.publisher.subscribe(observer, *kinds)
        else:
            self.couriers.subscribe(observer, name, *kinds)

    def unsubscribe(self, observer: Any) -> None:
        """
        Tell an observer of nothing more.
        """
        self.publisher.unsubscribe(observer)
        self.couriers.unsubscribe(observer)

    def feed(self, *kinds: Any) -> SessionFeed:
        """
        The events from now on, for C{async for}.

        @param kinds: As for L{subscribe}.
        """
        return self.publisher.feed(*kinds)

    def load(
        self,
        token: Token,
        audience: bytes,
        superseded: Any = None,
        ended: Callable[[str], Any] = lambda reason: None,
    ) -> Deferred[Any]:
        """
        The record that this token opens; it may be past its deadline.

        @param audience: L{txsessions.token.SECURE} or
            L{txsessions.token.INSECURE}.
        @param superseded: What to give when the verifier is wrong.
        @param ended: Gives what to give for a session that has ended, called
            with the reason.
        @return: A L{Deferred} that fires with the record, or with L{None} when
            the token opens none: there is no such session, its record is
            damaged (which is reported); or with C{superseded}, or what C{ended}
            gave; and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>} or
            L{UnknownKey<txsessions.errors.UnknownKey>}.
        """

        def check(record: Record | None) -> Any:
            if record is None or matches(token, audience, record.verifier):
                return record
            return superseded

        loading = self.store.loadSession(token.sid)
        return loading.addCallbacks(check, self.noRecord, errbackArgs=(ended,))

    def noRecord(self, failure: Failure, ended: Callable[[str], Any]) -> Any:
        """
        What is found where a store gives no record.

        @param ended: As L{load} takes it.
        @return: What C{ended} gives; C{None} for a damaged record, which is
            reported; any other failure goes on.
        """
        failure.trap(SessionEnded, CorruptRecord)
        if isinstance(failure.value, SessionEnded):
            return ended(failure.value.reason)
        self._log.error("{error}", error=failure.value)
        return None


def _positive(name: str, seconds: float | None) -> float | None:
    """
    Refuse an interval that would end everything at once.
    """
    return None if seconds is None else positive(name, seconds)


def _checkOptions(limits: object, notes: object, idFactory: object, entropy: object) -> None:
    """
    Refuse what would go wrong only when somebody has a session.
    """
    if not isinstance(limits, SizeLimits):
        raise TypeError(f"limits is a SizeLimits, not {type(limits).__name__}")
    isList = isinstance(notes, Collection) and not isinstance(notes, (str, bytes))
    if not (isList and all(isinstance(key, str) for key in notes)):  # type: ignore[attr-defined]
        raise TypeError('notes is a list of keys of the data, such as ["device"]')
    if not (idFactory is None or callable(idFactory)):
        raise TypeError(f"idFactory is called for each id: it is no {type(idFactory).__name__}")
    if not callable(entropy):
        raise TypeError(f"entropy is called for random bytes: it is no {type(entropy).__name__}")


def _orElse(failure: Failure, default: Any) -> Any:
    """
    What is given where there is no such session.
    """
    failure.trap(SessionNotFound)
    return default
