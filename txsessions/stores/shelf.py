"""
What is in a store of three methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from ..errors import CorruptRecord, SessionError, StoreUnavailable
from ..record import Record
from .plain import plainOf, recordOf
from .sid import isSid


class Shelf:
    """
    Reads and writes records through an
    L{ISimpleSessionStore<txsessions.stores.own.ISimpleSessionStore>}.

    What it raises that has nothing to do with sessions becomes
    L{StoreUnavailable}.

    @ivar _store: The store of three methods.
    @ivar _aside: Damaged sessions.  There is nowhere to move them, so they are
        left where they are, and not looked at again.
    """

    _log = Logger()

    def __init__(self, store: Any) -> None:
        self._store = store
        self._aside: set[str] = set()

    async def read(self, sid: str) -> Record | None:
        """
        The record that is kept under this C{sid}.

        @raise CorruptRecord: Something else is; later calls give C{None}.
        """
        if sid in self._aside:
            return None
        plain = await self._ask(self._store.loadSession, sid)
        return None if plain is None else self._recordOf(sid, plain)

    async def write(self, record: Record) -> None:
        """
        Keep a record.
        """
        await self._ask(self._store.saveSession, plainOf(record))
        self._aside.discard(record.sid)

    async def remove(self, sid: str) -> None:
        """
        Keep nothing under this C{sid}.
        """
        await self._ask(self._store.deleteSession, sid)

    async def setup(self) -> None:
        """
        Let the store get ready.
        """
        await self._ask(self._store.setup)

    async def close(self) -> None:
        """
        Let the store let go of what it holds on to.
        """
        await self._ask(self._store.close)

    async def records(self) -> AsyncIterator[Record]:
        """
        All records that are kept, as far as the store tells.
        """
        for plain in await self._ask(self._all):
            sid = plain.get("sid") if isinstance(plain, dict) else None
            if isinstance(sid, str) and isSid(sid):
                try:
                    record = self._recordOf(sid, plain)
                except CorruptRecord:
                    continue
                yield record

    async def _all(self) -> list[Any]:
        """
        All that is kept.
        """
        found = await maybeDeferred(self._store.iterSessions)
        if hasattr(found, "__aiter__"):
            return [plain async for plain in found]
        return list(found)

    def _recordOf(self, sid: str, plain: Any) -> Record:
        """
        The record in a dictionary.  A damaged one is reported.
        """
        try:
            return recordOf(sid, plain)
        except CorruptRecord as e:
            self._log.error("{error}; it is left where it is", error=e, sid=sid)
            self._aside.add(sid)
            raise

    async def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """
        Call a function of the store.
        """
        try:
            return await maybeDeferred(function, *arguments)
        except SessionError:
            raise
        except Exception as e:
            name = f"{type(self._store).__name__}.{function.__name__.lstrip('_')}"
            self._log.failure("{name} failed", name=name)
            raise StoreUnavailable(f"{name} failed ({type(e).__name__}); see the log") from None
