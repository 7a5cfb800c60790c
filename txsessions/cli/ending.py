"""
The command that ends sessions: C{end}.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.usage import UsageError

from ..errors import CorruptRecord, SessionError
from ..interfaces import ISessionIndex, ISessionOwners
from ..lifetime import REVOKED
from ..names import oneLine
from ..record import Record
from ..walk import Walk
from .failed import CommandFailed, Troubles
from .opened import administered, opened


async def end(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{end}: end sessions.
    """
    if not options["yes"]:
        raise UsageError("this ends sessions for good: say --yes as well if you mean it")
    async with opened(reactor, "store", options, isThere=True) as store:
        work = Ending(store, reactor)
        try:
            await work.run(options)
        except CancelledError:
            raise CommandFailed(f"interrupted; {work.count:,} sessions had been ended") from None
        except SessionError as e:
            raise CommandFailed(f"{oneLine(e)}; {work.count:,} sessions had been ended") from e
    print(
        json.dumps({"ended": work.count}) if options["json"] else f"{work.count:,} sessions ended"
    )


class Ending:
    """
    Ends some sessions of a store.

    @ivar count: How many so far.
    """

    def __init__(self, store: Any, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor
        self._tell = Troubles()
        self.count = 0

    async def run(self, options: Mapping[str, Any]) -> None:
        """
        End those that the options say.
        """
        if options["all"]:
            await self._endAll(administered(self._store).iterSessions())
        elif options["key"] is not None:
            await self._endOwned(options["key"])
        else:
            await self._endAll(_each(options["sids"]))

    async def _endOwned(self, sessionKey: str) -> None:
        """
        End those of an owner.
        """
        if ISessionOwners.providedBy(self._store):
            ended = await self._store.endSessions(sessionKey, REVOKED)
            self.count += len(ended)
            return
        if not ISessionIndex.providedBy(self._store):
            raise CommandFailed(
                f"{type(self._store).__name__} cannot find the sessions of an owner"
            )
        records = await self._store.findSessions(sessionKey)
        await self._endAll(_each(record.sid for record in records))

    async def _endAll(self, pairs: AsyncIterator[tuple[str, Record | None]]) -> None:
        """
        End these, some at a time.
        """
        await Walk(self._reactor, self._endOne).run(pairs)

    async def _endOne(self, pair: tuple[str, Record | None]) -> None:
        """
        End one.
        """
        try:
            record = await self._store.deleteSession(pair[0], REVOKED)
        except CorruptRecord as e:
            self._tell(oneLine(e))
        else:
            self.count += record is not None


async def _each(sids: Iterable[str]) -> AsyncIterator[tuple[str, Record | None]]:
    """
    Sessions as browsing gives them.
    """
    for sid in sids:
        yield sid, None
