"""
The answers that a request waits for: to a load and to a save.

What the reply means is found out before the L{Deferred<twisted.internet.defer.Deferred>}
fires, since each callback of its own would cost a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ...errors import SessionEnded, SessionNotFound, StoreUnavailable, VersionConflict
from ...interruptible import Interruptible
from ...redis.connection import Answer
from ...redis.errors import ServerError
from ..servertime import ServerTime
from .fields import Damaged, fromFields
from .refusal import meaningOf


class StoreAnswer(Interruptible[Any], Answer):
    """
    What a store answers about one session.

    @ivar _setAside: Puts the damaged record aside; gives a L{Deferred} that fails
        with L{CorruptRecord<txsessions.errors.CorruptRecord>}.
    """

    def __init__(self, sid: str, setAside: Callable[[str], Deferred[Any]]) -> None:
        Deferred.__init__(self)
        self._sid = sid
        self._setAside = setAside

    def failed(self, error: Exception) -> None:
        """
        See L{Answer.failed}.
        """
        self.errback(meaningOf(error))

    def _damaged(self) -> None:
        """
        The record is damaged.
        """
        self._setAside(self._sid).addErrback(self._told)

    def _told(self, failure: Any) -> None:
        """
        The record has been put aside, or could not be.
        """
        if not self.called:
            self.errback(meaningOf(failure.value))


class Loaded(StoreAnswer):
    """
    The record of a session, or the default.
    """

    def __init__(
        self,
        sid: str,
        setAside: Callable[[str], Deferred[Any]],
        time: ServerTime,
        default: Any,
    ) -> None:
        Deferred.__init__(self)
        self._sid = sid
        self._setAside = setAside
        self._time = time
        self._default = default

    def replied(self, reply: Sequence[bytes]) -> None:
        """
        See L{Answer.replied}.
        """
        if not reply:
            self.callback(self._default)
        elif reply[0] == b"e":
            self.errback(SessionEnded(self._sid, reply[1].decode()))
        else:
            try:
                record = fromFields(self._sid, reply, self._time)
            except Damaged:
                self._damaged()
            else:
                self.callback(record)

    def failed(self, error: Exception) -> None:
        """
        See L{Answer.failed}.  What is no hash is no record.
        """
        if isinstance(error, ServerError) and error.code == "WRONGTYPE":
            self._damaged()
        else:
            super().failed(error)


class Saved(StoreAnswer):
    """
    The version of a session after a change.
    """

    def replied(self, reply: int | Sequence[Any]) -> None:
        """
        See L{Answer.replied}.
        """
        if type(reply) is int:
            self.callback(reply)
        else:
            self._refused(*reply)  # type: ignore[misc]  # it is a list then

    def _refused(self, problem: bytes, reason: bytes = b"") -> None:
        """
        The change was not made.
        """
        if problem == b"damaged":
            self._damaged()
        elif problem == b"ended":
            self.errback(SessionEnded(self._sid, reason.decode()))
        elif problem == b"conflict":
            self.errback(VersionConflict(self._sid))
        elif problem == b"absent":
            self.errback(SessionNotFound(self._sid))
        else:
            self.errback(StoreUnavailable("Redis has answered what it was not asked"))
