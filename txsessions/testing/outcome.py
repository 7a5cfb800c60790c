"""
The outcome of what has happened already.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def resultOf(deferred: Deferred[T]) -> T:
    """
    The result of a Deferred, for tests that have nothing to wait for::

        response = resultOf(browser.get("/"))

    @raise AssertionError: It has not fired yet.
    @raise Exception: Whatever it has failed with.
    """
    results: list[T | Failure] = []

    def note(result: T | Failure) -> T | Failure:
        results.append(result)
        return result

    deferred.addBoth(note)
    if not results:
        raise AssertionError("the Deferred has not fired yet")
    (result,) = results
    if isinstance(result, Failure):
        deferred.addErrback(lambda _: None)
        result.raiseException()
    return result
