"""
What one live session owes its store: what it knows to be stored, what has
changed since, and the steps that bring the two together.

One tracker stands behind each live session of a process.  It knows no web.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.python.failure import Failure

from . import lifetime
from .data import SessionData
from .errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    StoreUnavailable,
    VersionConflict,
)
from .record import UNCHANGED, Change, Record, Unchanged, after
from .size import checkSize
from .token import INSECURE, digest, parseAny
from .turns import Turns

T = TypeVar("T")

MAXIMUM_TRIES: Final = 100
"""
How often C{modify} reads anew when others are faster.  Between two processes
that do nothing but change one key it takes two or three.
"""

MAXIMUM_COLLISIONS: Final = 5
"""
How often a new session gets another token because the one it has is taken.
With 128 random bits the first collision is a broken source already.
"""

REPEATED: Final = (
    "every new token is that of another session: the source of randomness (site._entropy, or "
    "the idFactory) repeats itself"
)

FACTS: Final = ("created", "sessionTimeout", "absoluteTimeout", "sessionKey")
"""
What a live session and its record have in common, besides the content.
"""


class Part(Protocol):
    """
    A part of a session's content that knows what has changed in it.
    """

    def changes(self) -> tuple[dict[str, bytes], set[str]]: ...

    def stored(self, attributes: Mapping[str, bytes]) -> None: ...

    def refresh(self, attributes: Mapping[str, bytes]) -> None: ...

    def forgetChanges(self) -> None: ...


class Tracked(Protocol):
    """
    What a tracker reads and writes of its live session.
    """

    uid: bytes
    audience: bytes | None
    sessionKey: str | None
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None

    def parts(self) -> tuple[Part, ...]:
        """
        The parts of its content.
        """

    def isWorthStoring(self) -> bool:
        """
        Whether a session that is not stored yet has to be.
        """

    def renewToken(self) -> None:
        """
        Get another C{uid}, because this one is taken.
        """

    def ended(self, reason: str) -> None:
        """
        Be told that the session has ended.
        """


class Tracker:
    """
    Keeps one live session and its record together.

    @ivar _live: The live session.
    @ivar _store: The L{ISessionStore} where its record is; C{None} for a session
        that lives in memory only.
    @ivar record: What is known to be stored; C{None} before the first commit.
    @ivar endReason: Why it has ended; C{None} while it lives.
    @ivar isExact: Whether C{record} is all that is stored, as far as this
        process can know; not so when a save went on top of somebody else's, or
        when the store did not say what became of it.
    @ivar _turns: The steps, one after the other.
    """

    __slots__ = ("_live", "_store", "_turns", "endReason", "isExact", "record")

    def __init__(self, live: Tracked, store: Any, record: Record | None = None) -> None:
        self._live = live
        self._store = store
        self.record = record
        self.endReason: str | None = None
        self.isExact = True
        self._turns = Turns()

    def pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed.

        @return: As L{commit}; or C{None} when there is nothing to do, or when
            the session has ended and nothing can be done.
        @raise InvalidSessionData: Something in it cannot be kept.
        """
        if self.endReason is not None:
            return None
        if self._turns.isBusy:
            return self._turns.run(self._commit)
        if self.record is None:
            return self._turns.run(self._commit) if self._live.isWorthStoring() else None
        change = self._change() or self._dueTouch()
        return None if change is None else self._turns.now(lambda: self._save(change))

    def commit(self) -> Deferred[None]:
        """
        Save what has changed.  See L{txsessions.interfaces.ISession.commit}.
        """
        return self._turns.run(self._commit)

    def touch(self) -> Deferred[None]:
        """
        Save the touch alone.

        @return: As L{commit}.
        """
        if self.record is None or self.endReason is not None:
            return succeed(None)
        change = Change(self.record.sid, lastModified=self._live.lastModified)
        return self._turns.run(lambda: self._save(change))

    def modify(self, function: Callable[[MutableMapping[str, Any]], T]) -> Deferred[T]:
        """
        See L{txsessions.interfaces.ISession.modify}.
        """
        return self._turns.run(lambda: self._modify(function))

    def rework(
        self,
        token: bytes,
        sessionKey: str | Unchanged | None = UNCHANGED,
        done: Callable[[bool], Any] = bool,
    ) -> Deferred[Any]:
        """
        Make C{token} the token, and the owner C{sessionKey}, in one step with
        whatever else has changed.

        @param done: Called before any other step with L{True} when it is the
            token now, with L{False} when another worker reworked the session in
            the meantime for the same owner: then its token counts, and all but
            the token is saved.
        @return: A L{Deferred} that fires with the result of C{done}.
        """
        return self._turns.run(lambda: self._rework(token, sessionKey).addCallback(done))

    def end(self, reason: str) -> Deferred[None]:
        """
        End the session, here at once and then in the store.

        @return: A L{Deferred} that fires with L{None} when it has ended in the
            store; and fails with L{StoreUnavailable}: it lives on then.
        """
        if self.endReason is not None:
            return succeed(None)
        self.endReason = reason
        if self.record is None and not self._turns.isBusy:
            self._live.ended(reason)
            return succeed(None)
        return self._turns.run(self._end)

    def refresh(self, record: Record) -> None:
        """
        Take over what was loaded from the store, unless more is known already.
        """
        before = self.record
        if before is not None and record.version < before.version:
            return
        self.record = record
        self.isExact = True
        self._takeOver(record, before)
        for part in self._live.parts():
            part.refresh(record.attributes)

    def lost(self, error: SessionNotFound) -> None:
        """
        The store says that the session is no more.
        """
        self.finish(error.reason if isinstance(error, SessionEnded) else lifetime.REVOKED)

    def finish(self, reason: str) -> None:
        """
        It has ended somewhere else: it is dead here too.
        """
        if self.endReason is None:
            self.endReason = reason
            self._live.ended(reason)

    def isSaved(self) -> bool:
        """
        Whether the store knows everything, as far as that can be told.
        """
        if self.record is None or self._turns.isBusy:
            return False
        try:
            return self._change() is None and self._live.lastModified <= self.record.lastModified
        except InvalidSessionData:
            return False

    def forgetChanges(self) -> None:
        """
        Go back to what is stored: the change could not be saved, and the one
        who made it was told so.
        """
        if self.record is not None:
            self._takeOver(self.record, None)
            for part in self._live.parts():
                part.forgetChanges()

    def _commit(self) -> Deferred[None] | None:
        """
        One commit, when its turn has come.

        @return: What to wait for; C{None} when it is done already.
        """
        if self.endReason is not None:
            return fail(SessionEnded(self._sid(), self.endReason))
        if self.record is None:
            return self._create(0)
        change = self._change() or self._dueTouch()
        return None if change is None else self._save(change)

    def _create(self, collisions: int) -> Deferred[None]:
        """
        Store a session that is not stored yet.
        """
        record = self._newRecord()

        def created(isNew: bool) -> Deferred[None] | None:
            if isNew:
                self._nowStored(record)
                return None
            if collisions == MAXIMUM_COLLISIONS:
                raise SessionError(REPEATED)
            self._live.renewToken()
            return self._create(collisions + 1)

        return self._store.createSession(record).addCallback(created)

    def _newRecord(self) -> Record:
        """
        The record of a session that is not stored yet.
        """
        live = self._live
        token = parseAny(live.uid)
        if token is None:
            raise SessionError("a session's uid must be bytes, 1 to 1024 of them, to be stored")
        attributes: dict[str, bytes] = {}
        for part in live.parts():
            attributes.update(part.changes()[0])
        checkSize(attributes)
        return Record(
            sid=token.sid,
            verifier=digest(token.verifier, live.audience or INSECURE),
            created=live.created,
            lastModified=live.lastModified,
            sessionTimeout=live.sessionTimeout,
            absoluteTimeout=live.absoluteTimeout,
            sessionKey=live.sessionKey,
            attributes=attributes,
        )

    def _change(self) -> Change | None:
        """
        What has changed in content since it was stored; C{None} for nothing.
        """
        live, record = self._live, self._stored()
        changed: dict[str, bytes] = {}
        removed: set[str] = set()
        for part in live.parts():
            some, others = part.changes()
            if some:
                changed.update(some)
            if others:
                removed.update(others)
        isAsBefore = (
            live.sessionKey == record.sessionKey
            and live.sessionTimeout == record.sessionTimeout
            and live.absoluteTimeout == record.absoluteTimeout
        )
        if isAsBefore and not changed and not removed:
            return None
        if changed:
            checkSize({**record.attributes, **changed})
        return Change(
            record.sid,
            set=changed,
            unset=frozenset(removed),
            lastModified=max(live.lastModified, record.lastModified),
            **({} if isAsBefore else self._changedFacts(record)),
        )

    def _changedFacts(self, record: Record) -> dict[str, Any]:
        """
        The facts that were changed since they were stored.
        """
        live = self._live
        return {
            name: getattr(live, name)
            for name in ("sessionKey", "sessionTimeout", "absoluteTimeout")
            if getattr(live, name) != getattr(record, name)
        }

    def _dueTouch(self) -> Change | None:
        """
        The touch alone, if the stored C{lastModified} has grown so old that it
        has to be written.
        """
        record, touched = self._stored(), self._live.lastModified
        if touched - record.lastModified < lifetime.touchInterval(record.sessionTimeout):
            return None
        return Change(record.sid, lastModified=touched)

    def _save(self, change: Change) -> Deferred[None] | None:
        """
        Apply a change to the stored record, and note what is stored then.

        @return: What to wait for; C{None} when it is done already.
        """
        answer = self._store.saveSession(change)
        if answer.called and not answer.paused and not isinstance(answer.result, Failure):
            self._saved(answer.result, change)
            return None
        return answer.addCallbacks(self._saved, self._notSaved, callbackArgs=(change,))

    def _saved(self, version: int, change: Change) -> None:
        """
        A change was applied.
        """
        record = self._stored()
        if version > record.version + 1:
            self.isExact = False
        self._nowStored(after(record, change, version))

    def _notSaved(self, failure: Any) -> Any:
        """
        A change was refused: it may be that the session is no more.  Or nobody
        knows what became of it.
        """
        if isinstance(failure.value, SessionNotFound):
            self.lost(failure.value)
        elif isinstance(failure.value, StoreUnavailable):
            self.isExact = False
        return failure

    @inlineCallbacks
    def _modify(self, function: Callable[[MutableMapping[str, Any]], T]) -> Any:
        """
        One C{modify}, when its turn has come.
        """
        yield self._commit()
        for attempt in range(MAXIMUM_TRIES):
            if attempt or not self.isExact:
                yield self._reload()
            record = self._stored()
            data = SessionData(record.attributes)
            result = function(data)
            changed, removed = data.changes()
            if not changed and not removed:
                return result
            change = Change(
                record.sid,
                set=changed,
                unset=frozenset(removed),
                lastModified=max(self._live.lastModified, record.lastModified),
                expectedVersion=record.version,
            )
            try:
                version = yield self._store.saveSession(change).addErrback(self._notSaved)
            except VersionConflict:
                continue
            self.refresh(after(record, change, version))
            return result
        raise VersionConflict(self._sid())

    @inlineCallbacks
    def _rework(self, token: bytes, sessionKey: Any) -> Any:
        """
        One rework, when its turn has come.
        """
        if self.endReason is not None:
            raise SessionEnded(self._sid(), self.endReason)
        live = self._live
        if self.record is None:
            live.uid = token
            if sessionKey is not UNCHANGED:
                live.sessionKey = sessionKey
            yield self._create(0)
            return True
        parsed = parseAny(token)
        assert parsed is not None, "a reworked token has the stock form"
        owner = {} if sessionKey is UNCHANGED else {"sessionKey": sessionKey}
        change = attrs.evolve(
            self._change() or Change(self._sid(), lastModified=live.lastModified),
            verifier=digest(parsed.verifier, live.audience or INSECURE),
            expectedVerifier=self._stored().verifier,
            **owner,
        )
        isToken = yield self._saveRework(change)
        if isToken:
            live.uid = token
        if owner:
            live.sessionKey = sessionKey
        return isToken

    @inlineCallbacks
    def _saveRework(self, change: Change) -> Any:
        """
        Save a new verifier, unless another worker was faster; but not if that
        was for another owner, whose token must not open this one's session.

        @return: A L{Deferred} that fires with whether it is the verifier now.
        """
        for _ in range(MAXIMUM_TRIES):
            try:
                yield self._save(change)
                return True
            except VersionConflict:
                yield self._reload()
            record = self._stored()
            if change.sessionKey in (UNCHANGED, record.sessionKey):
                yield self._save(attrs.evolve(change, verifier=UNCHANGED, expectedVerifier=None))
                return False
            change = attrs.evolve(change, expectedVerifier=record.verifier)
        raise VersionConflict(self._sid())

    def _reload(self) -> Deferred[None]:
        """
        Read the record anew.
        """

        def loaded(record: Record | None) -> None:
            if record is None:
                raise SessionNotFound(self._sid())
            self.refresh(record)

        return self._store.loadSession(self._sid()).addCallback(loaded).addErrback(self._notSaved)

    def _end(self) -> Deferred[None]:
        """
        End it in the store, when its turn has come.
        """
        reason = self.endReason
        assert reason is not None
        if self.record is None:
            self._live.ended(reason)
            return succeed(None)

        def ended(record: Record | None) -> None:
            self._live.ended(reason)

        def notEnded(failure: Any) -> Any:
            if isinstance(failure.value, CorruptRecord):
                self._live.ended(reason)
                return None
            self.endReason = None
            self.isExact = False
            return failure

        return self._store.deleteSession(self.record.sid, reason).addCallbacks(ended, notEnded)

    def _takeOver(self, record: Record, before: Record | None) -> None:
        """
        Give the live session the record's facts, but for those that were
        changed here since they were as in C{before}.
        """
        live = self._live
        for name in FACTS:
            fact = getattr(record, name)
            mine = getattr(live, name)
            if mine != fact and (before is None or mine == getattr(before, name)):
                setattr(live, name, fact)
        live.lastModified = max(live.lastModified, record.lastModified)

    def _nowStored(self, record: Record) -> None:
        """
        Note that this is what is stored.
        """
        self.record = record
        for part in self._live.parts():
            part.stored(record.attributes)

    def _stored(self) -> Record:
        """
        The record, of a session that is known to be stored.
        """
        assert self.record is not None, "the session is not stored yet"
        return self.record

    def _sid(self) -> str:
        """
        The public handle of a session that is known to be stored.
        """
        return self._stored().sid
