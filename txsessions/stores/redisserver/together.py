"""
Several answers at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList


async def together(answers: Iterable[Deferred[Any]]) -> list[Any]:
    """
    Wait for all of them.

    @raise Exception: What the first one that failed failed with.
    """
    results = await DeferredList(list(answers), consumeErrors=True)
    for succeeded, result in results:
        if not succeeded:
            raise result.value
    return [result for _, result in results]
