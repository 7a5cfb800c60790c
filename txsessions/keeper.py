"""
What is known of the record of one live session, and the single steps that
change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .errors import (
    InvalidSessionData,
    SessionError,
    SessionNotFound,
    TooManySessions,
    UnknownKey,
    VersionConflict,
)
from .record import NOTHING, Change, Record, after
from .tracked import Tracked, recordOf, takeOver
from .turns import Turns

MAXIMUM_COLLISIONS: Final = 5
"""
How often a new session gets another token because the one it has is taken.
With 128 random bits the first collision is a broken source already.
"""

REPEATED: Final = (
    "every new token is that of another session: the source of randomness (site._entropy, or "
    "the idFactory) repeats itself"
)

DEFINITE: Final = (VersionConflict, InvalidSessionData, TooManySessions, UnknownKey)
"""
Answers of a store to a change that say for certain that it was not made.
"""


class Keeper(Turns):
    """
    Keeps the books of one session.  One step at a time: whoever takes them sees to
    their L{Turns}, which it inherits, since there is one object less for each live
    session that Python's collector of garbage looks at.

    @ivar record: What is known to be stored; C{None} before it is created.
    @ivar isExact: Whether C{record} is all that is stored, as far as this
        process can know; not so when a save went on top of somebody else's, or
        when the store did not say what became of it.
    @ivar doubts: How often C{isExact} was put in doubt.
    @ivar isUnsure: Whether the store did not say whether the session was
        created.
    @ivar _live: The live session.
    @ivar _store: The L{ISessionStore<txsessions.interfaces.ISessionStore>}
        where its record is; C{None} for a session that lives in memory only.
    @ivar _attempt: The record that was to be created when C{isUnsure}.
    @ivar _sent: The change that is on its way to the store, or C{None}.
    """

    __slots__ = ("_attempt", "_live", "_sent", "_store", "doubts", "isExact", "record")

    def __init__(self, live: Tracked, store: Any) -> None:
        super().__init__()
        self._live = live
        self._store = store
        self.record: Record | None = None
        self.isExact = True
        self.doubts = 0
        self._attempt: Record | None = None
        self._sent: Change | None = None

    @property
    def isUnsure(self) -> bool:
        """
        See the class.
        """
        return self._attempt is not None

    def lost(self, error: SessionNotFound) -> None:
        """
        The store says that the session is no more.
        """
        raise NotImplementedError

    def refresh(self, record: Record, doubts: int | None = None) -> None:
        """
        Take over what was loaded from the store, unless more is known already.

        @param doubts: How many there were when it began to be loaded, so that
            it settles no later ones; C{None}: as many as there are.
        """
        before = self.record
        if before == record:
            # As it usually is where no other process has the session.
            self.isExact = doubts in (None, self.doubts)
        elif before is None or record.version >= before.version:
            self._accept(record)
            self.isExact = doubts in (None, self.doubts)

    def doubt(self) -> None:
        """
        What is known of the record may not be all that is stored: the store did
        not say what became of a step, or somebody else has changed it.
        """
        self.isExact = False
        self.doubts += 1

    def _accept(self, record: Record) -> None:
        """
        Take over what was loaded from the store.
        """
        before, self.record = self.record, record
        self.isExact = True
        takeOver(self._live, record, before)
        self._tellNews(record if self._sent is None else after(record, self._sent, record.version))

    def forgetChanges(self) -> None:
        """
        Give the live session what is stored.
        """
        if self.record is not None:
            takeOver(self._live, self.record, None)
            for part in self._live.parts():
                part.forgetChanges()

    def create(
        self, attributes: Mapping[str, bytes] = NOTHING, collisions: int = 0, **facts: Any
    ) -> Deferred[None]:
        """
        Store a session that is not stored yet; under another token if the one
        it has is taken.

        @param attributes: What is set in it besides its content.
        @param facts: Those that are to be others than those of the live session.
        @return: A L{Deferred} that fires with L{None} when it is stored.
        """
        record = recordOf(self._live, attributes, **facts)

        def created(isNew: bool) -> Deferred[None] | None:
            if isNew:
                self._nowStored(record)
                return None
            if collisions == MAXIMUM_COLLISIONS:
                raise SessionError(REPEATED)
            self._live.renewToken()
            facts.pop("verifier", None)
            return self.create(attributes, collisions + 1, **facts)

        def unknown(failure: Failure) -> Failure:
            if not failure.check(*DEFINITE):
                self._attempt = record
            return failure

        answer: Deferred[bool] = self._store.createSession(record)
        return answer.addErrback(unknown).addCallback(created)

    def settle(self) -> Deferred[None]:
        """
        Find out whether the session is stored, when that is not known.

        @return: A L{Deferred} that fires with L{None} when it is.
        """
        attempt = self._attempt
        assert attempt is not None, "it is known whether the session is stored"

        def loaded(record: Record | None) -> None:
            self._attempt = None
            if record == attempt:
                self._nowStored(attempt)

        answer: Deferred[Record | None] = self._store.loadSession(attempt.sid)
        return answer.addCallbacks(loaded, self.refused)

    def save(self, change: Change) -> Deferred[None] | None:
        """
        Apply a change to the stored record, and note what is stored then.

        @return: What to wait for; C{None} when it is done already.
        """
        before = self.record
        assert before is not None, "the session is not stored yet"
        answer = self._store.saveSession(change)
        sent = after(before, change)
        if sent.attributes is not before.attributes:
            self._tellStored(sent.attributes, change)
        if answer.called and not answer.paused and not isinstance(answer.result, Failure):
            self._saved(answer.result, change, before, sent)
            return None
        self._sent = change
        done: Deferred[None] = answer.addCallbacks(
            self._saved, self.refused, callbackArgs=(change, before, sent)
        )
        return done

    def reload(self) -> Deferred[None]:
        """
        Read the record anew.

        @return: A L{Deferred} that fires with L{None} when that is done.
        """
        sid = self.stored().sid

        def loaded(record: Record | None) -> None:
            if record is None:
                raise SessionNotFound(sid)
            # No change is under way, so this is what counts, also if it is older
            # than what is known: a store may be set back, by a fail-over to a
            # replica that lagged behind.
            self._accept(record)

        answer: Deferred[Record | None] = self._store.loadSession(sid)
        return answer.addCallback(loaded).addErrback(self.refused)

    def refused(self, failure: Failure) -> Failure:
        """
        A step was refused: it may be that the session is no more.  Or nobody
        knows what became of it.
        """
        self._sent = None
        if isinstance(failure.value, SessionNotFound):
            self.lost(failure.value)
        elif not failure.check(*DEFINITE):
            self.doubt()
        if self.record is not None:
            self._tellStored(self.record.attributes)
        return failure

    def stored(self) -> Record:
        """
        The record, of a session that is known to be stored.
        """
        assert self.record is not None, "the session is not stored yet"
        return self.record

    def _saved(self, version: int, change: Change, before: Record, sent: Record) -> None:
        """
        A change was applied.

        @param before: What was known to be stored when it was sent.
        @param sent: What was to be stored then.
        """
        record, self._sent = self.record, None
        assert record is not None, "the session is not stored yet"
        if record is before and version == sent.version:
            self.record = sent
        elif change.isTouch:
            self.isExact = self.isExact and version <= record.version
            self.record = after(record, change, record.version)
        elif version <= record.version:
            # What is known was read from the store after this was applied.
            self._tellNews(record)
        else:
            self.isExact = self.isExact and version == record.version + 1
            self.record = after(record, change, version)
            self._tellStored(self.record.attributes, change)

    def _nowStored(self, record: Record) -> None:
        """
        Note that this is what is stored.
        """
        self.record = record
        self._tellStored(record.attributes)

    def _tellStored(self, attributes: Mapping[str, bytes], change: Change | None = None) -> None:
        """
        Tell the parts of the session what is stored, or on its way there.

        @param change: What makes it differ from what was told before; C{None}:
            anything may.
        """
        names: Iterable[str] | None = None
        if change is not None:
            names = [*change.set, *change.unset] if change.unset else change.set
        for part in self._live.parts():
            part.stored(attributes, names)

    def _tellNews(self, record: Record) -> None:
        """
        Tell the parts of the session what others have stored.
        """
        for part in self._live.parts():
            part.refresh(record.attributes)
