"""
The journal: endings that observers have still to be told of, spread over the
buckets in which they were written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...redis.interfaces import IRedis
from ..journal import JournalEntry, checkObserver
from ..servertime import ServerTime
from .fields import Damaged, fromFields
from .keys import BUCKETS, Bucket, Keys
from .scripts import Scripts
from .together import together

PORTION: Final = 100
"""
How many endings one script works on: a server does nothing else meanwhile.
"""


class Journal:
    """
    Holds on to endings.

    @ivar _groups: See L{Sweep<txsessions.stores.redisserver.sweep.Sweep>}.
    """

    _log = Logger()

    def __init__(
        self,
        client: IRedis,
        scripts: Scripts,
        keys: Keys,
        groups: Sequence[Sequence[Bucket]],
        time: ServerTime,
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._groups = groups
        self._time = time

    async def enrol(self, observer: str) -> None:
        """
        See L{ISessionJournal.enrol<txsessions.interfaces.ISessionJournal.enrol>}.
        """
        name = checkObserver(observer)
        await together(
            self._client.script(self._scripts.enrol, _observers(group), [name])
            for group in self._groups
        )

    async def dismiss(self, observer: str) -> None:
        """
        See L{ISessionJournal.dismiss<txsessions.interfaces.ISessionJournal.dismiss>}.
        """
        name = checkObserver(observer)
        await together(
            Deferred.fromCoroutine(self._dismissIn(group, name)) for group in self._groups
        )

    async def take(self, observer: str, limit: int, lease: float) -> list[JournalEntry]:
        """
        See L{ISessionJournal.takeEndings
        <txsessions.interfaces.ISessionJournal.takeEndings>}.
        """
        name = checkObserver(observer)
        while True:
            ids = await self._peek(name, limit)
            replies = await self._ask(self._scripts.take, name, ids, float(lease))
            lost = sum(count for _, count in replies)
            if lost:
                self._tellDropped(name, lost)
            taken = [pair for pairs, _ in replies for pair in pairs]
            # Whatever was lost is gone now, so this comes to an end.
            if taken or not lost:
                return self._entries(name, taken)

    async def acknowledge(self, observer: str, eventIDs: Sequence[str]) -> None:
        """
        See L{ISessionJournal.acknowledge
        <txsessions.interfaces.ISessionJournal.acknowledge>}.
        """
        await self._ask(self._scripts.acknowledge, checkObserver(observer), list(eventIDs))

    async def _dismissIn(self, group: Sequence[Bucket], observer: str) -> None:
        """
        Forget an observer in some buckets, and what is there a bit at a time.
        """
        room = 0
        while room == 0:
            room = await self._client.script(
                self._scripts.dismiss, _observers(group), [observer, PORTION]
            )

    async def _peek(self, observer: str, limit: int) -> list[str]:
        """
        What there is to take: the oldest of what is in the buckets.
        """
        count = min(limit, 8 + 2 * limit // BUCKETS)
        replies = await together(
            self._client.script(
                self._scripts.peekEndings, [each.journal(observer) for each in group], [count]
            )
            for group in self._groups
        )
        for _, dropped in replies:
            for counts in dropped:
                for name, number in zip(counts[::2], counts[1::2], strict=True):
                    self._tellDropped(name.decode(), int(number))
        ids = [each.decode() for found, _ in replies for bucket in found for each in bucket]
        return sorted(ids, key=_endedAt)[:limit]

    async def _ask(self, script: Any, observer: str, ids: Sequence[str], *more: float) -> list[Any]:
        """
        Run a script on some endings.

        @param more: Its further arguments.
        """
        asked = [
            self._client.script(
                script,
                [key for each in portion for key in self._keysOf(observer, each)],
                [observer, *more, *portion],
            )
            for portion in self._portions(ids)
        ]
        return await together(asked)

    def _keysOf(self, observer: str, eventID: str) -> tuple[bytes, bytes]:
        """
        Where an ending is.
        """
        bucket = self._keys.bucket(_sidOf(eventID))
        return bucket.journal(observer), bucket.entry(eventID)

    def _portions(self, ids: Sequence[str]) -> list[list[str]]:
        """
        Some endings in portions that one script works on.
        """
        if len(self._groups) == 1:
            return [list(ids[start : start + PORTION]) for start in range(0, len(ids), PORTION)]
        parts: dict[bytes, list[str]] = {}
        for each in ids:
            parts.setdefault(self._keys.bucket(_sidOf(each)).base, []).append(each)
        return list(parts.values())

    def _entries(self, observer: str, taken: Sequence[Any]) -> list[JournalEntry]:
        """
        What has been taken.
        """
        count = b"#" + observer.encode()
        entries = []
        for name, fields in taken:
            eventID = name.decode()
            facts = dict(zip(fields[::2], fields[1::2], strict=True))
            try:
                record = fromFields(_sidOf(eventID), fields, self._time)
            except Damaged:
                self._forgetDamaged(observer, eventID)
                continue
            endedAt = self._time.fromServer(float(facts[b"t"]))
            reason = facts[b"r"].decode("utf-8", "surrogatepass")
            entries.append(JournalEntry(eventID, record, reason, endedAt, int(facts[count])))
        return sorted(entries, key=lambda entry: entry.endedAt)

    def _forgetDamaged(self, observer: str, eventID: str) -> None:
        """
        Take out an ending whose record is none.
        """
        self._log.warn(
            "the record of the ending {eventID} is damaged: {observer} is not told of it",
            eventID=eventID,
            observer=observer,
        )
        keys = self._keysOf(observer, eventID)
        forgotten = self._client.script(self._scripts.acknowledge, keys, [observer, eventID])
        forgotten.addErrback(lambda failure: self._log.warn("{error}", error=failure.value))

    def _tellDropped(self, observer: str, dropped: int) -> None:
        """
        Log what nobody was told of.
        """
        self._log.warn(
            "{dropped} endings were dropped before the observer {observer} was told of them: "
            "it has not acknowledged any for long, or too many came",
            dropped=dropped,
            observer=observer,
        )


def _observers(group: Sequence[Bucket]) -> list[bytes]:
    """
    Where some buckets say who has to be told.
    """
    return [bucket.observers for bucket in group]


def _sidOf(eventID: str) -> str:
    """
    Whose ending it is.
    """
    return eventID.rpartition("-")[0]


def _endedAt(eventID: str) -> int:
    """
    When that was, in microseconds.
    """
    return int(eventID.rpartition("-")[2], 16)
