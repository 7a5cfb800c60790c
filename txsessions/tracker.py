"""
What one live session owes its store: what it knows to be stored, what has
changed since, and the steps that bring the two together.

One tracker stands behind each live session of a process.  It knows no web.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TypeVar

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
    UnknownKey,
    VersionConflict,
)
from .record import UNCHANGED, Change, Record, Unchanged, after, mergedAttributes
from .size import checkSize
from .token import INSECURE, digest, parseAny, sidOf
from .tracked import Tracked, changeOf, dueTouchOf, recordOf, takeOver
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

DEFINITE: Final = (VersionConflict, InvalidSessionData, UnknownKey)
"""
Answers of a store to a change that say for certain that it was not made.
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
    @ivar _isEnding: Whether the end still waits for its turn, or for the store.
    @ivar _sent: The change that is on its way to the store, or C{None}.
    @ivar _attempt: The record of which the store did not say whether it was
        created; C{None} if there is none.
    """

    __slots__ = (
        "_attempt",
        "_isEnding",
        "_live",
        "_sent",
        "_store",
        "_turns",
        "endReason",
        "isExact",
        "record",
    )

    def __init__(self, live: Tracked, store: Any, record: Record | None = None) -> None:
        self._live = live
        self._store = store
        self.record = record
        self.endReason: str | None = None
        self.isExact = True
        self._turns = Turns()
        self._isEnding = False
        self._sent: Change | None = None
        self._attempt: Record | None = None

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
        change = changeOf(self._live, self.record) or dueTouchOf(self._live, self.record)
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
        return self._turns.run(self._touch)

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
        if self.record is None and self._attempt is None and not self._turns.isBusy:
            self._live.ended(reason)
            return succeed(None)
        self._isEnding = True
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
        takeOver(self._live, record, before)
        self._tellNews(record if self._sent is None else after(record, self._sent, record.version))

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
            return changeOf(self._live, self.record) is None and (
                self._live.lastModified <= self.record.lastModified
            )
        except InvalidSessionData:
            return False

    def forgetChanges(self) -> None:
        """
        Go back to what is stored: the change could not be saved, and the one
        who made it was told so.
        """
        if self.record is not None:
            takeOver(self._live, self.record, None)
            for part in self._live.parts():
                part.forgetChanges()

    def _commit(self) -> Deferred[None] | None:
        """
        One commit, when its turn has come.

        @return: What to wait for; C{None} when it is done already.
        """
        if self._isOver():
            return fail(self._ended())
        if self._attempt is not None:
            return self._settle().addCallback(lambda _: self._commit())
        if self.record is None:
            return self._create(0)
        change = changeOf(self._live, self.record) or dueTouchOf(self._live, self.record)
        return None if change is None else self._save(change)

    def _touch(self) -> Deferred[None] | None:
        """
        One touch, when its turn has come.
        """
        if self.record is None or self.endReason is not None:
            return None
        return self._save(Change(self.record.sid, lastModified=self._live.lastModified))

    def _create(self, collisions: int, **facts: Any) -> Deferred[None]:
        """
        Store a session that is not stored yet.

        @param facts: Those that are to be others than those of the live session.
        """
        record = recordOf(self._live, **facts)

        def created(isNew: bool) -> Deferred[None] | None:
            if isNew:
                return self._created(record)
            if collisions == MAXIMUM_COLLISIONS:
                raise SessionError(REPEATED)
            self._live.renewToken()
            facts.pop("verifier", None)
            return self._create(collisions + 1, **facts)

        def unknown(failure: Failure) -> Failure:
            if not failure.check(*DEFINITE):
                self._attempt = record
            return failure

        return self._store.createSession(record).addErrback(unknown).addCallback(created)

    def _created(self, record: Record) -> Deferred[None] | None:
        """
        The session is stored now; unless it has ended meanwhile.
        """
        self._nowStored(record)
        if not self._isOver():
            return None
        ending: Deferred[None] = self._store.deleteSession(record.sid, self.endReason)
        return ending.addCallback(lambda _: fail(self._ended()))

    def _settle(self) -> Deferred[None]:
        """
        Find out whether the session is stored, because the store did not answer
        when it was to be created.
        """
        attempt = self._attempt
        assert attempt is not None

        def loaded(record: Record | None) -> None:
            self._attempt = None
            if record == attempt:
                self._nowStored(attempt)

        return self._store.loadSession(attempt.sid).addCallbacks(loaded, self._notSaved)

    def _save(self, change: Change) -> Deferred[None] | None:
        """
        Apply a change to the stored record, and note what is stored then.

        @return: What to wait for; C{None} when it is done already.
        """
        answer = self._store.saveSession(change)
        if answer.called and not answer.paused and not isinstance(answer.result, Failure):
            self._saved(answer.result, change)
            return None
        self._sent = change
        self._tellStored(mergedAttributes(self._stored().attributes, change))
        return answer.addCallbacks(self._saved, self._notSaved, callbackArgs=(change,))

    def _saved(self, version: int, change: Change) -> None:
        """
        A change was applied.
        """
        record, self._sent = self._stored(), None
        if change.isTouch:
            self.isExact = self.isExact and version <= record.version
            self.record = after(record, change, record.version)
        elif version <= record.version:
            # What is known was read from the store after this was applied.
            self._tellNews(record)
        else:
            self.isExact = self.isExact and version == record.version + 1
            self._nowStored(after(record, change, version))

    def _notSaved(self, failure: Failure) -> Failure:
        """
        A change was refused: it may be that the session is no more.  Or nobody
        knows what became of it.
        """
        self._sent = None
        if isinstance(failure.value, SessionNotFound):
            self.lost(failure.value)
        elif not failure.check(*DEFINITE):
            self.isExact = False
        if self.record is not None:
            self._tellStored(self.record.attributes)
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
            checkSize(mergedAttributes(record.attributes, change))
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
        if self._isOver():
            raise self._ended()
        live = self._live
        parsed = parseAny(token)
        assert parsed is not None, "a reworked token has the stock form"
        facts: dict[str, Any] = {"verifier": digest(parsed.verifier, live.audience or INSECURE)}
        if sessionKey is not UNCHANGED:
            facts["sessionKey"] = sessionKey
        if self._attempt is not None:
            yield self._settle()
        if self.record is None:
            before = live.uid
            yield self._create(0, **facts)
            isToken = live.uid == before
        else:
            isToken = yield self._saveRework(facts)
        if isToken:
            live.uid = token
        if sessionKey is not UNCHANGED:
            live.sessionKey = sessionKey
        return isToken

    @inlineCallbacks
    def _saveRework(self, facts: dict[str, Any]) -> Any:
        """
        Save a new verifier, unless another worker was faster; but not if that
        was for another owner, whose token must not open this one's session.

        @param facts: The verifier, and the owner if that is to be another one.
        @return: A L{Deferred} that fires with whether it is the verifier now.
        """
        for _ in range(MAXIMUM_TRIES):
            record = self._stored()
            change = changeOf(self._live, record)
            if change is None:
                change = Change(record.sid, lastModified=self._live.lastModified)
            try:
                yield self._save(attrs.evolve(change, expectedVerifier=record.verifier, **facts))
                return True
            except VersionConflict:
                yield self._reload()
            if facts.get("sessionKey", UNCHANGED) in (UNCHANGED, self._stored().sessionKey):
                yield self._commit()
                return False
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

    @inlineCallbacks
    def _end(self) -> Any:
        """
        End it in the store, when its turn has come.
        """
        reason = self.endReason
        assert reason is not None
        try:
            if self._attempt is not None:
                # Whatever comes of it: nobody was told that it is stored.
                yield self._settle().addErrback(lambda failure: failure.trap(SessionError))
            if self.record is not None:
                yield self._store.deleteSession(self.record.sid, reason)
        except (SessionNotFound, CorruptRecord):
            pass
        except BaseException:
            self.endReason = None
            self.isExact = False
            raise
        finally:
            self._isEnding = False
        self._live.ended(reason)

    def _isOver(self) -> bool:
        """
        Whether nothing may be saved any more.  What was to be saved before the
        end still is, because the end may fail.
        """
        return self.endReason is not None and not self._isEnding

    def _ended(self) -> SessionEnded:
        """
        The error for what comes too late.
        """
        return SessionEnded(self._sid(), self.endReason or lifetime.REVOKED)

    def _nowStored(self, record: Record) -> None:
        """
        Note that this is what is stored.
        """
        self.record = record
        self._tellStored(record.attributes)

    def _tellStored(self, attributes: Mapping[str, bytes]) -> None:
        """
        Tell the parts of the session what is stored, or on its way there.
        """
        for part in self._live.parts():
            part.stored(attributes)

    def _tellNews(self, record: Record) -> None:
        """
        Tell the parts of the session what others have stored.
        """
        for part in self._live.parts():
            part.refresh(record.attributes)

    def _stored(self) -> Record:
        """
        The record, of a session that is known to be stored.
        """
        assert self.record is not None, "the session is not stored yet"
        return self.record

    def _sid(self) -> str:
        """
        The public handle of the session.
        """
        return sidOf(self._live.uid) if self.record is None else self.record.sid
