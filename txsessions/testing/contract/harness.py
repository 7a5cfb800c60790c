"""
What the suites share: a clock, a store for each test, and the hooks that an
author may override.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeAlias, cast
from uuid import uuid4

import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from zope.interface import Interface
from zope.interface.verify import verifyObject

from ...errors import SessionEnded, SessionNotFound
from ...interfaces import IConnectedStore, ISessionSweep
from ...record import Change, Record
from ...stores.remembrance import RETENTION

Store: TypeAlias = Any
"""
An L{ISessionStore<txsessions.interfaces.ISessionStore>} that also provides
what the suite is about.
"""

START = 1_000_000_000.0
"""
Where the clock of a test begins, in seconds since the epoch: a time like any
other, so that a store which counts from zero is found out.
"""

TIMEOUT = 1800.0
"""
The idle time-out of the sessions in the tests, in seconds.
"""


class Contract:
    """
    The base of all suites.

    An author overrides L{makeStore}, and of the other hooks those which the
    store needs.

    @cvar timeLimit: How long one test may take, in seconds of real time.  A
        store that never answers fails then.
    @cvar tolerance: How far the store's time and that of L{now} may be apart,
        in seconds.  Nearer to a deadline than that nothing is asked.
    @ivar clock: The clock of the running test, for stores that take one.
    """

    timeLimit: float = 30.0
    tolerance: float = 0.0
    clock: IReactorTime
    _handles: list[Store]

    def makeClock(self) -> IReactorTime:
        """
        The clock for one test; a L{Clock} unless overridden.
        """
        clock = Clock()
        clock.advance(START)
        return clock

    def makeStore(self) -> Store:
        """
        An empty store for one test, or a L{Deferred} that fires with it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define makeStore()")

    async def now(self) -> float:
        """
        The present on the store's clock, in seconds since the epoch.
        """
        return self.clock.seconds()

    async def advance(self, seconds: float) -> None:
        """
        Let time pass for the store.  Override it where the store has a time of
        its own.
        """
        cast("Clock", self.clock).advance(seconds)

    async def concurrentStore(self, store: Store) -> Store:
        """
        A second handle on the same data, as another process would have it.
        The store itself, where one process is all there is.
        """
        return store

    async def reopen(self, store: Store) -> Store:
        """
        Let go of the store, or kill it, and open what it has kept.
        """
        raise NotImplementedError(f"{type(self).__name__} must define reopen(store)")

    async def breakStore(self, store: Store) -> None:
        """
        Make the store unable to answer: stop its server, say.
        """
        raise NotImplementedError(f"{type(self).__name__} must define breakStore(store)")

    async def mendStore(self, store: Store) -> None:
        """
        Undo L{breakStore}.
        """
        raise NotImplementedError(f"{type(self).__name__} must define mendStore(store)")

    async def damageSession(self, store: Store, sid: str) -> None:
        """
        Spoil the record of that session where the store keeps it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define damageSession(store, sid)")

    async def withAnotherKey(self, store: Store) -> Store:
        """
        A handle on the same data that does not know the key by which they are
        encrypted.
        """
        raise NotImplementedError(f"{type(self).__name__} must define withAnotherKey(store)")

    async def forgetEnds(self, store: Store) -> None:
        """
        Let so much time pass that the store may forget the ends so far.
        """
        await self.advance(RETENTION + 1)
        if ISessionSweep.providedBy(store):
            await store.claimExpired(1)

    async def another(self, store: Store) -> Store:
        """
        L{concurrentStore}, closed after the test.
        """
        other = await self.concurrentStore(store)
        self._handles.append(other)
        return other

    async def reopened(self, store: Store) -> Store:
        """
        L{reopen}, closed after the test.
        """
        self._handles.remove(store)
        store = await self.reopen(store)
        self._handles.append(store)
        return store

    async def newRecord(self, **facts: Any) -> Record:
        """
        A record of a session that begins now, or with other facts.
        """
        now = await self.now()
        usual = {
            "sid": newSid(),
            "verifier": bytes(range(32)),
            "created": now,
            "lastModified": now,
            "sessionTimeout": TIMEOUT,
        }
        return Record(**{**usual, **facts})

    async def newSession(self, store: Store, **facts: Any) -> Record:
        """
        Create a session; its record.
        """
        record = await self.newRecord(**facts)
        assert await store.createSession(record) is True
        return record

    async def run(self, function: Callable[[Any, Store], Awaitable[None]]) -> None:
        """
        Run one test on a store of its own, which is closed afterwards.
        """
        self.clock = self.makeClock()
        store = await maybeDeferred(self.makeStore)
        self._handles = [store]
        try:
            await function(self, store)
        finally:
            for handle in self._handles:
                if IConnectedStore.providedBy(handle):
                    await handle.close()


def promise(
    function: Callable[[Any, Store], Awaitable[None]],
) -> Callable[[Any], Awaitable[None]]:
    """
    Make a test for pytest out of an async method that takes a store.
    """

    @wraps(function)
    async def test(self: Contract) -> None:
        from twisted.internet import reactor

        running = Deferred.fromCoroutine(self.run(function))
        await running.addTimeout(self.timeLimit, cast("IReactorTime", reactor))

    # pytest looks for a fixture for every parameter it sees.
    test.__signature__ = Signature(  # type: ignore[attr-defined]  # as inspect has it
        [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    )
    return cast("Callable[[Any], Awaitable[None]]", pytest_twisted.ensureDeferred(test))


def provides(store: Store, *interfaces: type[Interface]) -> None:
    """
    Check that the store provides the interfaces as they are described.
    """
    for interface in interfaces:
        assert verifyObject(interface, store)


def isProvided(interface: Any, store: Store) -> bool:
    """
    Whether the store has that ability as well, for what two suites have in
    common.
    """
    return bool(interface.providedBy(store))


def newSid() -> str:
    """
    A handle that no other test has, since some stores outlive a test.
    """
    return uuid4().hex


def touch(record: Record, moment: float) -> Change:
    """
    A touch of the session at that moment.
    """
    return Change(record.sid, lastModified=moment)


async def outcomes(*deferreds: Deferred[Any]) -> list[Any]:
    """
    What came of operations that run at the same time: results and exceptions,
    in the order of the calls.
    """
    ended = await DeferredList(deferreds, consumeErrors=True)
    return [result if success else result.value for success, result in ended]


async def aMoment() -> None:
    """
    Some turns of the reactor, for what a store may still have under way.
    """
    from twisted.internet import reactor

    await deferLater(cast("IReactorTime", reactor), 0.01)


async def staysDead(store: Store, record: Record, now: float) -> None:
    """
    Check that nothing which can still come makes the session live.
    """
    for change in (
        Change(record.sid, set={"data:a": b"1"}),
        Change(record.sid, set={"data:a": b"1"}, lastModified=now, sessionTimeout=10.0**6),
        Change(record.sid, sessionKey="anna", expectedVersion=record.version),
        Change(record.sid, verifier=b"n" * 32, expectedVerifier=record.verifier),
        touch(record, now),
    ):
        (answer,) = await outcomes(store.saveSession(change))
        assert isinstance(answer, SessionNotFound), change
        assert await store.hasSession(record.sid) is False
        (loaded,) = await outcomes(store.loadSession(record.sid))
        assert loaded is None or isinstance(loaded, SessionEnded)
    assert await store.deleteSession(record.sid) is None
