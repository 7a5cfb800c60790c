"""
All sessions of one store, copied to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from .comparison import Verdict, compare, update
from .errors import (
    CorruptRecord,
    SessionEnded,
    SessionNotFound,
    StoreUnusable,
    VersionConflict,
)
from .interfaces import ISessionStoreAdministration
from .lifetime import ABSOLUTE, IDLE, REVOKED
from .names import oneLine
from .record import Record
from .stores.migrating import MOVED
from .walk import Walk

COPIED: Final = "copied"
"""
The target did not know the session, and has it now.
"""

UPDATED: Final = "updated"
"""
The target had an older copy, which was brought up to date.
"""

PRESENT: Final = "present"
"""
The target had it as it is.
"""

NEWER: Final = "newer"
"""
What the target has is newer, and was left alone.
"""

ENDED: Final = "ended"
"""
It has ended in the target, and was not revived.
"""

REMOVED: Final = "removed"
"""
It has ended in the source, and now its copy has.
"""

EXTRA: Final = "extra"
"""
The target has it, and the source knows nothing of it.
"""

DELETED: Final = "deleted"
"""
It was such an extra one, and was ended because that was asked for.
"""

FAILED: Final = "failed"
"""
It is not in the target as it is in the source.
"""

FATES: Final = (COPIED, UPDATED, PRESENT, NEWER, ENDED, REMOVED, EXTRA, DELETED, FAILED)

MAXIMUM_FAILED: Final = 1000
"""
How many sessions may fail before it gives up: then it is not the sessions.
"""

TRIES: Final = 5
"""
How often a session is looked at again that somebody changes in the target at the
same time.
"""

EXPIRED: Final = frozenset({IDLE, ABSOLUTE, MOVED})
"""
Reasons of ends in the source that say nothing of the copy: it has the same
deadline, and where it has a later one it was touched in the target; or it is
where the session lives on.
"""


class Copy:
    """
    Copies all sessions of one store to another, and compares the two.

    It can be broken off at any time, and run again: each session is copied in
    one atomic step, and none that is there already is copied again.  None that
    has ended in the target is revived, as long as the target remembers its end.

    Then it goes through the target: what has ended in the source meanwhile is
    ended there too, and what has changed is brought up to date.

    @ivar counts: How many sessions had which of the L{FATES}.
    @ivar seen: How many sessions of the source were dealt with.
    @ivar compared: How many of the target.
    @ivar isComparing: Whether it goes through the target by now.
    @ivar _failed: Those that could not be copied.
    @ivar _tell: Called with a line about a session that could not be copied.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        clock: IReactorTime,
        tell: Callable[[str], object],
        *,
        verifies: bool = True,
        deletes: bool = False,
    ) -> None:
        """
        @param source: An L{ISessionStore<txsessions.interfaces.ISessionStore>}
            that provides L{ISessionStoreAdministration} too.
        @param target: Another one.
        @param clock: The reactor.
        @param verifies: Whether to read back what was copied, and to go
            through the target.
        @param deletes: Whether to end what only the target has.
        """
        self._source = source
        self._target = target
        self._clock = clock
        self._tell = tell
        self._verifies = verifies
        self._deletes = deletes
        self._failed: set[str] = set()
        self.counts: Counter[str] = Counter(dict.fromkeys(FATES, 0))
        self.seen = 0
        self.compared = 0
        self.isComparing = False

    async def run(self) -> None:
        """
        Do it.

        @raise SessionError: A store cannot answer.
        """
        for store in (self._source, self._target):
            if not ISessionStoreAdministration.providedBy(store):
                raise StoreUnusable(f"{type(store).__name__} cannot be browsed")
        await self._target.setup()
        await Walk(self._clock, self._copy).run(self._source.iterSessions())
        if self._verifies:
            self.isComparing = True
            await Walk(self._clock, self._compare).run(self._target.iterSessions())

    async def _copy(self, pair: tuple[str, Record]) -> None:
        """
        Copy one session of the source.
        """
        sid, record = pair
        try:
            self.counts[await self._put(record)] += 1
        except (CorruptRecord, ValueError) as e:
            self._fail(sid, e)
        self.seen += 1

    async def _put(self, record: Record) -> str:
        """
        See that the target has the session, and has it as it is.

        @return: Its fate.
        @raise CorruptRecord: The target's is damaged.
        @raise ValueError: The target cannot keep it, or says that it has it and
            has it not.
        """
        for _ in range(TRIES):
            if await self._target.createSession(record):
                await self._verify(record)
                return COPIED
            try:
                copy = await self._target.loadSession(record.sid)
                if copy is None:
                    continue
                verdict = compare(record, copy)
                if verdict is Verdict.OTHER:
                    raise ValueError("the target has something else under its handle")
                if verdict is not Verdict.OLDER:
                    return PRESENT if verdict is Verdict.SAME else NEWER
                for change in update(record, copy):
                    await self._target.saveSession(change)
            except SessionNotFound:
                return ENDED
            except VersionConflict:
                continue
            await self._verify(record)
            return UPDATED
        raise ValueError("somebody changes it in the target all the time")

    async def _verify(self, record: Record) -> None:
        """
        Read back what the target has taken.

        @raise ValueError: It does not have it.
        """
        if not self._verifies:
            return
        try:
            copy = await self._target.loadSession(record.sid)
        except SessionEnded:
            # It was there, and somebody who uses the target has ended it.
            return
        if copy is None or compare(record, copy) not in (Verdict.SAME, Verdict.NEWER):
            raise ValueError("the target has taken it, and does not have it")

    async def _compare(self, pair: tuple[str, Record]) -> None:
        """
        Compare one session of the target with what the source says now.
        """
        sid, copy = pair
        try:
            record = await self._source.loadSession(sid)
            if record is None:
                await self._deal(sid)
            elif compare(record, copy) is Verdict.OLDER:
                fate = await self._put(record)
                self.counts[UPDATED] += fate == UPDATED
        except SessionEnded as e:
            if e.reason not in EXPIRED and await self._target.deleteSession(sid, e.reason):
                self.counts[REMOVED] += 1
        except (CorruptRecord, ValueError) as e:
            self._fail(sid, e)
        self.compared += 1

    async def _deal(self, sid: str) -> None:
        """
        Deal with a session of which the source knows nothing.
        """
        if not self._deletes or not self.seen:
            self.counts[EXTRA] += 1
        elif await self._target.deleteSession(sid, REVOKED):
            self.counts[DELETED] += 1

    def _fail(self, sid: str, error: Exception) -> None:
        """
        Note that a session could not be copied.
        """
        if sid in self._failed:
            return
        if len(self._failed) == MAXIMUM_FAILED:
            raise StoreUnusable(f"more than {MAXIMUM_FAILED} sessions could not be copied")
        self._failed.add(sid)
        self.counts[FAILED] += 1
        text = oneLine(error)
        self._tell(text if sid in text else f"session {sid}: {text}")
