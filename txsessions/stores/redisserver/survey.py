"""
What looks at many sessions: a search for an owner, and browsing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.python.failure import Failure

from ...record import Record
from ...redis.errors import RedisError, ServerError
from ...redis.interfaces import IRedis
from ..servertime import ServerTime
from .fields import Damaged, fromFields, number
from .keys import Bucket, Keys, ownerOf
from .scripts import Scripts
from .together import together

PAGE: Final = 100
"""
How many sessions are looked at in one step, about.
"""


class Survey:
    """
    Looks at many sessions.

    @ivar _groups: See L{Sweep<txsessions.stores.redisserver.sweep.Sweep>}.
    @ivar _damaged: Called with the handle of a record that is damaged; puts it
        aside.
    """

    def __init__(
        self,
        client: IRedis,
        scripts: Scripts,
        keys: Keys,
        *,
        groups: Sequence[Sequence[Bucket]],
        time: ServerTime,
        damaged: Callable[[str], object],
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._groups = groups
        self._time = time
        self._damaged = damaged

    async def find(self, sessionKey: str) -> list[Record]:
        """
        The records of an owner, oldest first.
        """
        owner = ownerOf(sessionKey)
        bounds = [b"[" + owner, b"(" + owner[:-1] + b";"]
        found = await together(
            self._client.script(self._scripts.owned, [bucket.owners for bucket in group], bounds)
            for group in self._groups
        )
        members = [member for buckets in found for bucket in buckets for member in bucket]
        records: list[Record] = []
        for start in range(0, len(members), PAGE):
            page = members[start : start + PAGE]
            loaded = await self._load([member[len(owner) :].decode() for member in page])
            for member, (sid, record) in zip(page, loaded, strict=True):
                if record is not None and record.sessionKey == sessionKey:
                    records.append(record)
                else:
                    self._disown(sid, member)
        return sorted(records, key=lambda record: record.created)

    async def page(self, bucket: Bucket, cursor: bytes) -> tuple[bytes, list[Record]]:
        """
        Some records of a bucket, and from where to go on; C{b"0"} at its
        end.  One may come twice.
        """
        cursor, sids = await self._scan(bucket, cursor)
        loaded = await self._load(sids)
        return cursor, [record for _, record in loaded if record is not None]

    async def deleteOld(self, bucket: Bucket, cursor: bytes, moment: float) -> tuple[bytes, int]:
        """
        End some sessions of a bucket, if they were last touched at that moment
        of the server or before.

        @return: From where to go on, and how many it ended.
        """
        cursor, sids = await self._scan(bucket, cursor)
        keys = bucket.sets
        count = 0
        for start in range(0, len(sids), PAGE):
            arguments: list[str | bytes] = [bucket.base, number(moment)]
            arguments += sids[start : start + PAGE]
            count += await self._client.script(self._scripts.deleteOld, keys, arguments)
        return cursor, count

    async def _scan(self, bucket: Bucket, cursor: bytes) -> tuple[bytes, list[str]]:
        """
        Some handles of a bucket, and from where to go on.
        """
        key = bucket.deadlines
        cursor, members = await self._client.execute(key, "ZSCAN", key, cursor, "COUNT", PAGE)
        return cursor, [member.decode() for member in members[::2]]

    async def _load(self, sids: Sequence[str]) -> list[tuple[str, Record | None]]:
        """
        The records of these sessions; C{None} for those that are gone, or are
        none.
        """
        keys = [self._keys.bucket(sid).record(sid) for sid in sids]
        found = await together(
            self._client.execute(key, "HGETALL", key).addErrback(_wrongType) for key in keys
        )
        return [(sid, self._record(sid, fields)) for sid, fields in zip(sids, found, strict=True)]

    def _record(self, sid: str, fields: Sequence[bytes]) -> Record | None:
        """
        One record.
        """
        if not fields or fields[0] == b"e":
            return None
        try:
            return fromFields(sid, fields, self._time)
        except Damaged:
            self._damaged(sid)
            return None

    def _disown(self, sid: str, member: bytes) -> None:
        """
        Take an entry out of the index, unless it has become right by now.
        """
        bucket = self._keys.bucket(sid)
        keys = [bucket.record(sid), bucket.owners]
        disowned = self._client.script(self._scripts.disown, keys, [sid, member])
        disowned.addErrback(lambda failure: failure.trap(RedisError))


def _wrongType(failure: Failure) -> Any:
    """
    Something that has no fields has the one that no record has.
    """
    error = failure.value
    if isinstance(error, ServerError) and error.code == "WRONGTYPE":
        return [b"", b""]
    return failure
