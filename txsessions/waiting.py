"""
What somebody waits for, and may stop to wait for.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiting(Deferred[T]):
    """
    A Deferred that may fail before its result is there: whoever has the result
    looks first whether C{called} is still false.

    So it takes no second Deferred to wait for it no longer than a certain time.
    It is for what nobody needs who has stopped waiting: what is done when the
    result comes, however late, is done with a Deferred of its own.
    """
