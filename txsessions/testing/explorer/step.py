"""
A primitive step of a store: what happens as one, and waits for its turn before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import attrs
from twisted.internet.defer import Deferred

from ...stores.wrapping import Call

Name: TypeAlias = tuple[str, int]

BEGINNING: Final = Call("begins")
"""
What the first step of an actor is about that shares its process with others: it
touches nothing but what is in the process.
"""

READING: Final = frozenset({"loadSession", "hasSession", "findSessions"})
"""
The operations that change nothing.
"""

LOCAL: Final = frozenset({"loadSession", "hasSession", "saveSession", "createSession"})
"""
The operations that concern one session and nothing else that anybody can see.
An end is none of them: endings have an order of their own.
"""


@attrs.define(eq=False)
class Step:
    """
    A step that waits, or that has happened.

    @ivar process: The process that does it.
    @ivar number: How manieth step of that process it is, from 0.
    @ivar actor: Who wants it.
    @ivar call: The operation of the store that it is a part of.
    @ivar what: Which part; C{""} if it is all of it.
    @ivar place: What it is confined to: the C{sid} of a session, say; C{None}:
        nobody knows.
    @ivar isRead: Whether it changes nothing.
    @ivar isTime: Whether time has passed when it happened.
    @ivar proceed: Does it.
    @ivar isPossible: Whether it can happen now; one that waits for a lock cannot
        while somebody else has that.
    @ivar done: Fires with what has come of it.
    @ivar answer: What has come of it, as the story tells it.
    """

    process: str
    number: int
    actor: str
    call: Call
    what: str
    place: str | None
    isRead: bool
    proceed: Callable[[], Any] = attrs.field(repr=False)
    isPossible: Callable[[], bool] = attrs.field(repr=False)
    isTime: bool = False
    done: Deferred[Any] = attrs.field(repr=False, factory=Deferred)
    answer: Any = attrs.field(repr=False, default=None)

    @property
    def name(self) -> Name:
        """
        What tells it from all others of a run; the same in all runs in which its
        process has seen the same up to here.
        """
        return self.process, self.number


def commute(one: Step, other: Step) -> bool:
    """
    Whether it makes no difference to anybody which of two steps comes first.
    """
    if one.process == other.process or one.isTime or other.isTime:
        return False
    if BEGINNING in (one.call, other.call) or (one.isRead and other.isRead):
        return True
    return one.place is not None and other.place is not None and one.place != other.place
