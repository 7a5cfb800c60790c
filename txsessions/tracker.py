"""
What one live session owes its store: what has changed since it was stored, and
the steps that bring the two together, one after the other.

One tracker stands behind each live session of a process.  It knows no web.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed

from . import lifetime
from .data import SessionData
from .errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    VersionConflict,
)
from .keeper import Keeper
from .record import NOTHING, UNCHANGED, Change, Unchanged, after, mergedAttributes
from .token import INSECURE, digest, parseAny, sidOf
from .tracked import Departed, Tracked, changeOf, dueTouchOf

T = TypeVar("T")

MAXIMUM_TRIES: Final = 100
"""
How often C{modify} reads anew when others are faster.  Between two processes
that do nothing but change one key it takes two or three.
"""


class Tracker(Keeper):
    """
    Keeps one live session and its record together.

    @ivar endReason: Why it has ended; C{None} while it lives.
    @ivar _isEnding: Whether the end still waits for its turn, or for the store.
    """

    __slots__ = ("_isEnding", "endReason")

    def __init__(self, live: Tracked, store: Any, endReason: str | None = None) -> None:
        super().__init__(live, store)
        self.endReason = endReason
        self._isEnding = False

    def isAtRest(self) -> bool:
        """
        Whether nothing is under way, and C{record} is all there is to know, and always
        was: then another tracker with the same record knows as much.
        """
        isSure = self.isExact and not self.isUnsure and not self.doubts
        return isSure and self.endReason is None and not self.isBusy

    def pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to save what has changed.

        @return: As L{commit}; or C{None} when there is nothing to do, or when
            the session has ended and nothing can be done.
        @raise InvalidSessionData: Something in it cannot be kept.
        """
        if self.endReason is not None:
            # Until the store has ended it, it may yet live on.
            return self.run(self._commitUnlessOver) if self._isEnding else None
        live, record = self._live, self.record
        if self.isBusy or (record is None and live.isWorthStoring()):
            return self.run(self._commit)
        if record is None:
            return None
        change = changeOf(live, record) or dueTouchOf(live, record)
        return None if change is None else self.now(self.save, change)

    def commit(self) -> Deferred[None]:
        """
        Save what has changed.  See L{txsessions.interfaces.ISession.commit}.
        """
        return self.run(self._commit)

    def touch(self) -> Deferred[None]:
        """
        Save the touch alone; as L{commit}.
        """
        return self.run(self._touch)

    def modify(self, function: Callable[[MutableMapping[str, Any]], T]) -> Deferred[T]:
        """
        See L{txsessions.interfaces.ISession.modify}.
        """
        return self.run(lambda: self._modify(function))

    def rework(
        self,
        token: bytes,
        sessionKey: str | Unchanged | None = UNCHANGED,
        done: Callable[[bool], Any] = bool,
        attributes: Mapping[str, bytes] = NOTHING,
    ) -> Deferred[Any]:
        """
        Make C{token} the token, and the owner C{sessionKey}, in one step with
        whatever else has changed.

        @param done: Called before any other step with L{True} when it is the
            token now, with L{False} when another worker reworked the session in
            the meantime for the same owner: then its token counts, and all but
            the token is saved.
        @param attributes: What else is set in the same step.
        @return: A L{Deferred} that fires with the result of C{done}.
        """
        return self.run(lambda: self._rework(token, sessionKey, attributes).addCallback(done))

    def end(self, reason: str) -> Deferred[None]:
        """
        End the session, here at once and then in the store.

        @return: A L{Deferred} that fires with L{None} when it has ended in the
            store; and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>}: it lives on
            then.
        """
        if self._isOver():
            return succeed(None)
        self.endReason = self.endReason or reason
        if self.record is None and not self.isUnsure and not self.isBusy:
            self._live.ended(reason)
            self.release()
            return succeed(None)
        self._isEnding = True
        return self.run(lambda: self._endStored(reason)).addCallback(lambda _: self.release())

    def lost(self, error: SessionNotFound) -> None:
        """
        See L{Keeper.lost}.
        """
        self.finish(error.reason if isinstance(error, SessionEnded) else lifetime.REVOKED)

    def finish(self, reason: str) -> None:
        """
        It has ended somewhere else: it is dead here too.
        """
        if self.endReason is None:
            self.endReason = reason
            self._live.ended(reason)
            self.release()

    def isSaved(self) -> bool:
        """
        Whether the store knows everything, as far as that can be told.
        """
        record = self.record
        if record is None or self.isBusy:
            return False
        try:
            return (
                changeOf(self._live, record) is None
                and self._live.lastModified <= record.lastModified
            )
        except InvalidSessionData:
            return False

    def _commit(self) -> Deferred[None] | None:
        """
        One commit, when its turn has come; C{None} when it is done already.
        """
        if self._isOver():
            return fail(self._ended())
        if self.isUnsure:
            return self.settle().addCallback(lambda _: self._commit())
        if self.record is None:
            return self._create()
        change = changeOf(self._live, self.record) or dueTouchOf(self._live, self.record)
        return None if change is None else self.save(change)

    def _commitUnlessOver(self) -> Deferred[None] | None:
        """
        One commit, after an end that has failed; nothing after one that has not.
        """
        return None if self._isOver() else self._commit()

    def _create(self, attributes: Mapping[str, bytes] = NOTHING, **facts: Any) -> Deferred[None]:
        """
        Store a session that is not stored yet; and end it there, if it has
        ended meanwhile.

        @param attributes: What else is set.
        @param facts: Those that are to be others than those of the live session.
        """

        def created(_: None) -> Deferred[None] | None:
            if not self._isOver():
                return None
            ending: Deferred[None] = self._store.deleteSession(self._sid(), self.endReason)
            return ending.addCallback(lambda _: fail(self._ended()))

        return self.create(attributes, **facts).addCallback(created)

    def _touch(self) -> Deferred[None] | None:
        """
        One touch, when its turn has come.
        """
        if self.record is None or self.endReason is not None:
            return None
        return self.save(Change(self._sid(), lastModified=self._live.lastModified))

    @inlineCallbacks
    def _modify(self, function: Callable[[MutableMapping[str, Any]], T]) -> Any:
        """
        One C{modify}, when its turn has come.
        """
        yield self._commit()
        for attempt in range(MAXIMUM_TRIES):
            if attempt or not self.isExact:
                yield self.reload()
            record = self.stored()
            data = SessionData(record.attributes, self._live.limits)
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
            self._live.limits.check(mergedAttributes(record.attributes, change))
            try:
                version = yield self._store.saveSession(change).addErrback(self.refused)
            except VersionConflict:
                continue
            self.refresh(after(record, change, version))
            return result
        raise VersionConflict(self._sid())

    @inlineCallbacks
    def _rework(self, token: bytes, sessionKey: Any, attributes: Mapping[str, bytes]) -> Any:
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
        if self.isUnsure:
            yield self.settle()
        if self.record is None:
            before = live.uid
            yield self._create(attributes, **facts)
            isToken = live.uid == before
        else:
            isToken = yield self._saveRework(facts, attributes)
        if isToken:
            live.uid = token
        if sessionKey is not UNCHANGED:
            live.sessionKey = sessionKey
        return isToken

    @inlineCallbacks
    def _saveRework(self, facts: dict[str, Any], attributes: Mapping[str, bytes]) -> Any:
        """
        Save a new verifier, unless another worker was faster; but not if that
        was for another owner, whose token must not open this one's session.

        @param facts: The verifier, and the owner if that is to be another one.
        @param attributes: What else is set.
        @return: A L{Deferred} that fires with whether it is the verifier now.
        """
        live = self._live
        for _ in range(MAXIMUM_TRIES):
            record = self.stored()
            change = changeOf(live, record) or Change(record.sid, lastModified=live.lastModified)
            change = replace(
                change,
                set={**change.set, **attributes},
                expectedVerifier=record.verifier,
                **facts,
            )
            try:
                yield self.save(change)
                return True
            except VersionConflict:
                yield self.reload()
            if facts.get("sessionKey", UNCHANGED) in (UNCHANGED, self.stored().sessionKey):
                yield self._commit()
                return False
        raise VersionConflict(self._sid())

    @inlineCallbacks
    def _endStored(self, reason: str) -> Any:
        """
        End it in the store, when its turn has come; unless it has been.
        """
        if self._isOver():
            return
        self.endReason, self._isEnding = reason, True
        try:
            if self.isUnsure:
                # Whatever comes of it: nobody was told that it is stored.
                yield self.settle().addErrback(lambda failure: failure.trap(SessionError))
            if self.record is not None:
                yield self._store.deleteSession(self._sid(), reason)
        except (SessionNotFound, CorruptRecord):
            pass
        except BaseException:
            self.endReason = None
            self.doubt()
            raise
        finally:
            self._isEnding = False
        self._live.ended(reason)

    def release(self) -> None:
        """
        Let go of the live session, which has ended, unless a step needs it.
        Otherwise it would stay until the garbage collector comes; and where a
        hundred thousand have ended, that holds the reactor for a second.
        """
        if not self.isBusy:
            self._live = Departed(self._live.uid)

    def _isOver(self) -> bool:
        """
        Whether nothing may be saved any more; until the end is known to the
        store something may.
        """
        return self.endReason is not None and not self._isEnding

    def _ended(self) -> SessionEnded:
        """
        The error for what comes too late.
        """
        return SessionEnded(self._sid(), self.endReason or lifetime.REVOKED)

    def _sid(self) -> str:
        """
        The public handle of the session.
        """
        return sidOf(self._live.uid) if self.record is None else self.record.sid
