"""
What each operation on one session asks, and what the answers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...errors import CorruptRecord, SessionEnded, SessionNotFound, VersionConflict
from ...record import Change, Record
from ...redis.errors import ServerError
from ...redis.interfaces import IRedis
from ..servertime import ServerTime
from .answers import Loaded, Saved
from .fields import Damaged, fromFields, number, toCreate, toSave, toUpdate
from .keys import Bucket, Keys, ownerOf
from .ownerscripts import PROBE
from .refusal import refused
from .scripts import Scripts


class Operations:
    """
    The operations on one session, each one command or one script.
    """

    _log = Logger()

    def __init__(
        self,
        keys: Keys,
        scripts: Scripts,
        time: ServerTime,
        fenceOf: Callable[[Bucket], Bucket],
    ) -> None:
        """
        @param fenceOf: Gives the bucket where the fences are for those in this
            one.
        """
        self._keys = keys
        self._scripts = scripts
        self._time = time
        self._fenceOf = fenceOf

    def load(self, client: IRedis, sid: str, default: Any) -> Deferred[Any]:
        """
        See L{ISessionStore.loadSession}.
        """
        key = self._keys.record(sid)
        answer = Loaded(sid, partial(self._setAside, client), self._time, default)
        return client.execute(key, b"HGETALL", key, answer=answer)

    def create(self, client: IRedis, record: Record) -> Deferred[bool]:
        """
        See L{ISessionStore.createSession}.
        """
        keys = self._keys.bucket(record.sid).keys(record.sid)[:3]
        created = client.script(self._scripts.create, keys, toCreate(record, self._time))
        return created.addCallback(bool)

    def save(self, client: IRedis, change: Change) -> Deferred[int]:
        """
        See L{ISessionStore.saveSession}.
        """
        sid = change.sid
        arguments = toUpdate(change, self._time)
        if arguments is not None:
            answer = Saved(sid, partial(self._setAside, client))
            return client.script(
                self._scripts.update, (self._keys.record(sid),), arguments, answer=answer
            )
        keys = self._keys.bucket(sid).keys(sid)
        saved = client.script(self._scripts.save, keys, toSave(change, self._time))
        return saved.addCallback(self._saved, sid).addErrback(refused)

    def logIn(self, client: IRedis, change: Change, till: bytes = b"") -> Deferred[int | None]:
        """
        Save a change that gives an owner, unless that is older than the end of
        all his sessions.

        @param till: Until when that may be done, on the server's clock; empty:
            at any time; C{PROBE}: do nothing but to look whether it could be.
        @return: A L{Deferred} that fires with the version after that, or with
            C{None} if nothing was done; and fails as C{saveSession} does.
        """
        assert isinstance(change.sessionKey, str)
        bucket, moment = self._keys.bucket(change.sid), change.authenticatedAt
        keys = (*bucket.keys(change.sid), self._fenceOf(bucket).fence(ownerOf(change.sessionKey)))
        isProbe = till == PROBE
        arguments = toSave(
            replace(change, set={}, unset=frozenset()) if isProbe else change, self._time
        )
        arguments += (b"" if moment is None else number(self._time.toServer(moment)), till)
        made = client.script(self._scripts.logIn, keys, arguments)
        return made.addCallback(self._loggedIn, change.sid)

    def delete(
        self, client: IRedis, sid: str, reason: str, *owner: bytes
    ) -> Deferred[Record | None]:
        """
        See L{ISessionStore.deleteSession}.

        @param owner: End it only if this is its owner.
        """
        keys = self._keys.bucket(sid).keys(sid)
        deleted = client.script(self._scripts.delete, keys, [sid, reason, *owner])
        return deleted.addCallback(self._deleted, client, sid)

    def has(self, client: IRedis, sid: str) -> Deferred[bool]:
        """
        See L{ISessionStore.hasSession}.
        """
        key = self._keys.bucket(sid).record(sid)
        return client.execute(key, b"HEXISTS", key, b"v").addCallbacks(
            bool, self._unreadable, errbackArgs=(client, sid)
        )

    def foundDamaged(self, client: IRedis, sid: str, fields: Sequence[bytes] | None = None) -> None:
        """
        Put a damaged record aside that nobody has asked for, and tell of it.

        @param fields: What was in it, if it has been taken out already: none
            if it has been put aside.
        """
        if fields is None:
            put = self._setAside(client, sid)
        elif fields:
            put = self._keep(client, sid, fields)
        else:
            put = fail(self._corrupt(sid))
        put.addErrback(lambda failure: self._log.warn("{error}", error=failure.value))

    def _unreadable(self, failure: Failure, client: IRedis, sid: str) -> Any:
        """
        What is no hash is no record.
        """
        error = failure.value
        if isinstance(error, ServerError) and error.code == "WRONGTYPE":
            return self._setAside(client, sid)
        return failure

    def _saved(self, reply: Sequence[Any], sid: str) -> int:
        """
        What came of a change.
        """
        if reply[0] == b"saved":
            return int(reply[1])
        if reply[0] == b"ended":
            raise SessionEnded(sid, reply[1].decode())
        if reply[0] == b"conflict":
            raise VersionConflict(sid)
        if reply[0] == b"damaged":
            raise self._corrupt(sid)
        raise SessionNotFound(sid)

    def _loggedIn(self, reply: Sequence[Any], sid: str) -> int | None:
        """
        What came of a log-in.
        """
        return None if reply[0] in (b"ready", b"late") else self._saved(reply, sid)

    def _deleted(self, reply: Sequence[Any], client: IRedis, sid: str) -> Any:
        """
        The last record of a session that has been ended.
        """
        if reply[0] == b"damaged":
            raise self._corrupt(sid)
        if reply[0] != b"deleted":
            return None
        try:
            return fromFields(sid, reply[1], self._time)
        except Damaged:
            return self._keep(client, sid, reply[1])

    def _corrupt(self, sid: str) -> CorruptRecord:
        """
        The error for a damaged record.
        """
        name = self._keys.bucket(sid).damaged(sid).decode()
        return CorruptRecord(sid, f"it has been put aside as {name}")

    def _setAside(self, client: IRedis, sid: str) -> Deferred[Any]:
        """
        Put a damaged record aside.

        @return: A L{Deferred} that fails with
            L{CorruptRecord<txsessions.errors.CorruptRecord>}.
        """
        keys = self._keys.bucket(sid).keys(sid)
        put = client.script(self._scripts.setAside, keys, [sid])
        return put.addCallback(self._isAside, sid)

    def _keep(self, client: IRedis, sid: str, fields: Sequence[bytes]) -> Deferred[Any]:
        """
        Put aside what was taken out before it turned out to be damaged.

        @return: As L{_setAside}.
        """
        key = self._keys.bucket(sid).damaged(sid)
        return client.execute(key, "HSET", key, *fields).addCallback(self._isAside, sid)

    def _isAside(self, result: object, sid: str) -> None:
        """
        A damaged record has been put aside.
        """
        raise self._corrupt(sid)
