"""
Log-ins, as the suites of owners make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...record import AUTHENTICATED, Change, Record, timeText
from ...stores.claim import Ending
from .harness import Contract, Store


def logIn(
    record: Record, sessionKey: str = "anna", at: float | None = None, **facts: Any
) -> Change:
    """
    The change that a log-in makes: the owner, a new verifier, and the moment
    of the log-in, unless that is C{None}.
    """
    moment = {} if at is None else {AUTHENTICATED: timeText(at)}
    usual = {"verifier": b"l" * 32, "set": {**moment, **facts.pop("set", {})}}
    return Change(record.sid, sessionKey=sessionKey, **{**usual, **facts})


def sidsOf(records: Sequence[Record | Ending]) -> list[str]:
    """
    The handles of some records or endings, in their order.
    """
    return [each.record.sid if isinstance(each, Ending) else each.sid for each in records]


class LogInContract(Contract):
    """
    The base of the suites of owners.
    """

    async def sessionsOf(self, store: Store, sessionKey: str = "anna") -> list[str]:
        """
        The handles of the sessions of that owner.
        """
        return [record.sid for record in await store.findSessions(sessionKey)]

    async def loggedIn(
        self, store: Store, sessionKey: str = "anna", at: float | None = None, **facts: Any
    ) -> Record:
        """
        Create a session that has that owner; its record.
        """
        attributes = {} if at is None else {AUTHENTICATED: timeText(at)}
        return await self.newSession(store, sessionKey=sessionKey, attributes=attributes, **facts)
