"""
The answers that a request waits for: to a load and to a save.

What the reply means is found out before the L{Deferred<twisted.internet.defer.Deferred>}
fires, since each callback of its own would cost a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ...errors import SessionEnded, VersionConflict
from ...interruptible import Interruptible
from ...record import Change
from ...redis.connection import Answer
from ...redis.errors import ServerError
from ...redis.interfaces import IRedis
from ..servertime import ServerTime
from .fields import Damaged, fromFields
from .refusal import meaningOf


class StoreAnswer(Interruptible[Any], Answer):
    """
    What a store answers about one session.
    """

    def failed(self, error: Exception) -> None:
        """
        See L{Answer.failed}.
        """
        self.errback(meaningOf(error))

    def _follow(self, outcome: Deferred[Any]) -> None:
        """
        Fire with the outcome of something that has to be done first.
        """
        outcome.addCallbacks(self._done, self._notDone)

    def _done(self, result: Any) -> None:
        """
        It has come.
        """
        if not self.called:
            self.callback(result)

    def _notDone(self, failure: Any) -> None:
        """
        It has failed.
        """
        if not self.called:
            self.errback(meaningOf(failure.value))


class Loaded(StoreAnswer):
    """
    The record of a session, or the default.

    @ivar _setAside: Puts the damaged record aside; gives a L{Deferred} that fails
        with L{CorruptRecord<txsessions.errors.CorruptRecord>}.
    """

    def __init__(
        self,
        client: IRedis,
        sid: str,
        default: Any,
        time: ServerTime,
        setAside: Callable[[IRedis, str], Deferred[Any]],
    ) -> None:
        Deferred.__init__(self)
        self._client = client
        self._sid = sid
        self._default = default
        self._time = time
        self._setAside = setAside

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
                self._follow(self._setAside(self._client, self._sid))
            else:
                self.callback(record)

    def failed(self, error: Exception) -> None:
        """
        See L{Answer.failed}.  What is no hash is no record.
        """
        if isinstance(error, ServerError) and error.code == "WRONGTYPE":
            self._follow(self._setAside(self._client, self._sid))
        else:
            super().failed(error)


class Saved(StoreAnswer):
    """
    The version of a session after a change.

    @ivar _saveAny: Saves any change, and knows why one cannot be made.
    """

    def __init__(
        self,
        client: IRedis,
        change: Change,
        saveAny: Callable[[IRedis, Change], Deferred[int]],
    ) -> None:
        Deferred.__init__(self)
        self._client = client
        self._change = change
        self._saveAny = saveAny

    def replied(self, reply: int | bytes | None) -> None:
        """
        See L{Answer.replied}.
        """
        if type(reply) is int:
            self.callback(reply)
        elif reply is None:
            self._follow(self._saveAny(self._client, self._change))
        else:
            self.errback(VersionConflict(self._change.sid))
