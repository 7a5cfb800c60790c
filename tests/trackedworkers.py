"""
Live sessions without a web: what stands in front of a tracker in its tests.
"""

from __future__ import annotations

import os
from binascii import hexlify
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.data import SessionData
from txsessions.record import Record
from txsessions.size import USUAL
from txsessions.token import INSECURE, reworked, sidOf
from txsessions.tracked import Part
from txsessions.tracker import Tracker

NOW = 1_000_000.0
TIMEOUT = 900.0


def newToken() -> bytes:
    """
    A token like a site's.
    """
    return hexlify(os.urandom(32))


class Worker:
    """
    One live session in one process, and its tracker.

    @ivar ends: Why it was told that it has ended.
    """

    def __init__(self, store: Any, uid: bytes | None = None, record: Record | None = None) -> None:
        self.uid = newToken() if uid is None else uid
        self.audience: bytes | None = INSECURE
        self.sessionKey: str | None = None
        self.created = self.lastModified = NOW
        self.sessionTimeout = TIMEOUT
        self.absoluteTimeout: float | None = None
        self.limits = USUAL
        self.data = SessionData({} if record is None else record.attributes)
        self.store = store
        self.ends: list[str] = []
        self.isWorth = True
        self.tokens: list[bytes] = []
        self.tracker = Tracker(self, store)
        if record is not None:
            self.tracker.refresh(record)

    def parts(self) -> tuple[Part, ...]:
        """
        See L{Tracked}.
        """
        return (self.data,)

    def isWorthStoring(self) -> bool:
        """
        See L{Tracked}.
        """
        return self.isWorth

    def renewToken(self) -> None:
        """
        See L{Tracked}.
        """
        self.uid = self.tokens.pop(0) if self.tokens else newToken()

    def ended(self, reason: str) -> None:
        """
        See L{Tracked}.
        """
        self.ends.append(reason)

    @property
    def sid(self) -> str:
        """
        The public handle.
        """
        return sidOf(self.uid)

    def commit(self) -> list[Any]:
        """
        Commit as a request does; what came of it.
        """
        pending = self.tracker.pendingCommit()
        return [None] if pending is None else outcome(pending)

    def rework(self, *owner: str | None) -> list[Any]:
        """
        Rework, perhaps for an owner; what came of it.
        """
        return outcome(self.tracker.rework(reworked(self.sid, os.urandom), *owner))

    def another(self, store: Any = None) -> Worker:
        """
        The same session in another process, which loads it now.
        """
        record = stored(self)
        assert record is not None
        return Worker(store or self.store, self.uid, record)

    def reload(self) -> None:
        """
        Take over what is stored now.
        """
        record = stored(self)
        assert record is not None
        self.tracker.refresh(record)


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """
    A list to which the result of the Deferred, or its exception, will be added.
    """
    results: list[Any] = []
    deferred.addBoth(
        lambda result: results.append(result.value if isinstance(result, Failure) else result)
    )
    return results


def innermost(store: Any) -> Any:
    """
    The store inside of all wrappers.
    """
    while hasattr(store, "store"):
        store = store.store
    return store


def stored(worker: Worker) -> Record | None:
    """
    The record of a session as it is in the store; C{None} if there is none.
    """
    return innermost(worker.store)._records.get(worker.sid)


def content(worker: Worker) -> dict[str, bytes]:
    """
    What is stored of a session.
    """
    record = stored(worker)
    assert record is not None
    return dict(record.attributes)
