"""
Many calls of operations at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList

from ..errors import CorruptRecord

PAGE: Final = 100
"""
How many sessions are dealt with at the same time where all are.
"""


async def outcomesOf(calls: list[Deferred[Any]]) -> list[Any]:
    """
    The results and the exceptions of all calls.
    """
    ended = await DeferredList(calls, consumeErrors=True)
    return [result if isDone else result.value for isDone, result in ended]


def raiseFailure(outcomes: list[Any]) -> None:
    """
    Raise the first exception, if it is none that concerns one session alone.
    """
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, CorruptRecord):
            raise outcome


def pagesOf(sids: list[str]) -> Iterable[list[str]]:
    """
    The sessions in lists that are not too long.
    """
    return (sids[start : start + PAGE] for start in range(0, len(sids), PAGE))
