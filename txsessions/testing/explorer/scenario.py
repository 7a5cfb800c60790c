"""
A scenario: some actors in some processes, and what has to be true of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import attrs
from twisted.internet.task import Clock

from ...jsonvalues import encode
from ...record import Record

if TYPE_CHECKING:
    from ..shared.data import SharedData
    from .gates import Gates

F = TypeVar("F", bound=Callable[..., Any])

_splitWords = re.compile("(?<=[a-z0-9])(?=[A-Z])").split

TIMEOUT: Final = 1800.0
"""
The idle time-out of the sessions that L{Scenario.newSession} makes, in seconds.
"""


@attrs.frozen
class Actor:
    """
    Somebody who does something.

    @ivar name: Who, as the story calls him.
    @ivar process: In which process; actors with the same one share what is in it.
    @ivar act: Called with the store of the process; returns a coroutine, a
        L{Deferred<twisted.internet.defer.Deferred>} or a result.
    @ivar mayFail: What may come of it besides a result: exceptions that are
        answers like others.
    """

    name: str
    process: str
    act: Callable[[Any], Any]
    mayFail: tuple[type[Exception], ...] = ()


def actor(
    name: str | None = None,
    process: str | None = None,
    mayFail: type[Exception] | tuple[type[Exception], ...] = (),
) -> Callable[[F], F]:
    """
    Make an actor of a method of a L{Scenario}, which is called with the store of
    its process.

    @param name: Who, as the story calls him; C{None}: like the method.
    @param process: In which process; C{None}: in one of his own.
    @param mayFail: Exceptions that may come of it.
    """
    failures = mayFail if isinstance(mayFail, tuple) else (mayFail,)

    def mark(method: F) -> F:
        shown = name or spoken(method.__name__)
        method.__dict__["actor"] = (shown, process or shown, failures)
        return method

    return mark


def always(method: F) -> F:
    """
    Have a method of a L{Scenario} called after every step, and at the end.  It
    asks C{truth} and no other store, and raises L{AssertionError} when something
    is not as it has to be.
    """
    method.__dict__["isAlways"] = True
    return method


def atTheEnd(method: F) -> F:
    """
    Have a method of a L{Scenario} called when all actors are done, and no step
    waits any more.  It raises L{AssertionError} when something is not as it has
    to be.
    """
    method.__dict__["isAtTheEnd"] = True
    return method


class Scenario:
    """
    A scenario.  Each run has an instance of its own.

    @ivar clock: The time, which stands still unless an actor advances it.
    @ivar outcomes: What has come of each actor who is done, by name: a result or
        an exception.
    @ivar data: What the processes share.
    @cvar title: What the story calls the scenario; the name of the class unless
        overridden.
    """

    title: ClassVar[str] = ""
    clock: Clock
    data: SharedData
    outcomes: dict[str, Any]
    _gates: Gates

    def prepare(self, data: SharedData, gates: Gates, clock: Clock) -> None:
        """
        Called before anything else.
        """
        self.data = data
        self.clock = clock
        self.outcomes = {}
        self._gates = gates
        self._stores: dict[str, Any] = {}
        self._randoms: dict[str, Random] = {}
        self._made = 0

    async def begin(self) -> None:
        """
        Make ready what the actors find.  No step waits yet.
        """

    def ready(self, process: str) -> None:
        """
        Have a process ready, in which there are actors.  No step waits yet.
        """
        self.store(process)

    async def close(self) -> None:
        """
        Leave nothing behind.
        """

    def actors(self) -> list[Actor]:
        """
        Who takes part: the methods that are marked with L{actor}, unless
        overridden.
        """
        return [
            Actor(name, process, method, mayFail)
            for method in self._marked("actor")
            for name, process, mayFail in [method.actor]
        ]

    def checks(self, isAtTheEnd: bool) -> list[Callable[[], Any]]:
        """
        What to look at after a step, or at the end.
        """
        checks = list(self._marked("isAlways"))
        return checks + list(self._marked("isAtTheEnd")) if isAtTheEnd else checks

    def store(self, process: str) -> Any:
        """
        The store of a process: a handle of its own on what all share, whose steps
        wait.
        """
        if process not in self._stores:
            self._stores[process] = self.data.store(process, self._gates)
        return self._stores[process]

    @property
    def stores(self) -> list[Any]:
        """
        The stores of all processes so far.
        """
        return list(self._stores.values())

    @property
    def truth(self) -> Any:
        """
        A store on the same data that is in no process: what it is asked is done
        at once.  For L{begin} and for what looks at the outcome.
        """
        return self.data.truth

    def random(self, process: str) -> Random:
        """
        The chance of a process: what it draws is the same in each run.
        """
        return self._randoms.setdefault(process, Random(process))

    async def newSession(self, data: dict[str, Any] | None = None, **facts: Any) -> Record:
        """
        Store a session that begins now.

        @param data: Its data.
        @param facts: Other facts of its record.
        @return: Its record.
        """
        self._made += 1
        now = self.clock.seconds()
        usual = {
            "sid": sha256(b"%d" % self._made).hexdigest()[:32],
            "verifier": bytes(range(32)),
            "created": now,
            "lastModified": now,
            "sessionTimeout": TIMEOUT,
            "attributes": {
                f"data:{key}": encode(key, value) for key, value in (data or {}).items()
            },
        }
        record = Record(**{**usual, **facts})
        isNew = await self.truth.createSession(record)
        assert isNew, "the data of the last run are still there"
        return record

    def _marked(self, mark: str) -> Iterator[Any]:
        """
        The methods that have a mark, in the order in which they are written.
        """
        names: dict[str, None] = {}
        for kind in reversed(type(self).__mro__):
            names.update(dict.fromkeys(vars(kind)))
        for name in names:
            if hasattr(getattr(type(self), name), mark):
                yield getattr(self, name)


def spoken(name: str) -> str:
    """
    The name of a method as people write it: C{"requestA"} is "request A".
    """
    words = _splitWords(name)
    return " ".join(word if word.isupper() else word.lower() for word in words)
