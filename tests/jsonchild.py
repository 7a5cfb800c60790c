"""
Another process on the files of a store, for the tests of L{JSONStore}::

    python tests/jsonchild.py DIRECTORY COMMAND ARGUMENT …

It prints what came of it as one JSON document.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, react

from txsessions.errors import SessionEnded, StoreUnavailable, VersionConflict
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.files import directory as directoryModule
from txsessions.stores.files.folder import Folder
from txsessions.stores.files.shard import Shard
from txsessions.stores.json import JSONStore


class UnlockedFolder(Folder):
    """
    Broken on purpose: it locks nobody out.
    """

    def lock(self) -> None:
        """
        Pretend.
        """
        self.isLocked = True


class UnlockedShard(Shard):
    """
    Broken on purpose: it locks nobody out.
    """

    def lock(self) -> None:
        """
        Pretend.
        """
        self.isLocked = True


async def increment(store: JSONStore, sid: str, count: str) -> Any:
    """
    Increase a number so many times, each time on fresh data.
    """
    for _ in range(int(count)):
        isDone = False
        while not isDone:
            record: Any = await store.loadSession(sid)
            number = int(record.attributes["data:n"]) + 1
            change = Change(sid, set={"data:n": b"%d" % number}, expectedVersion=record.version)
            try:
                await store.saveSession(change)
                isDone = True
            except VersionConflict:
                pass


async def keys(store: JSONStore, sid: str, name: str, count: str) -> Any:
    """
    Set so many attributes.
    """
    for number in range(int(count)):
        await store.saveSession(Change(sid, set={f"data:{name}{number}": b"1"}))


async def claim(store: JSONStore, now: str) -> Any:
    """
    Claim at that time what there is to claim.
    """
    clock = Clock()
    clock.advance(float(now))
    store.clock = clock
    claimed = []
    while True:
        found = await store.claimExpired(10)
        claimed += [ending.record.sid for ending in found.endings]
        if found.nextDeadline is None or found.nextDeadline > float(now):
            return claimed


async def logIns(store: JSONStore, count: str, maximum: str) -> Any:
    """
    Create sessions and log them in as one owner with a limit, and look each
    time; what was evicted, and how many sessions there were at the most.
    """
    evicted, most = [], 0
    for _ in range(int(count)):
        sid = os.urandom(16).hex()
        await store.createSession(Record(sid, bytes(32), 0, 0, 1e12))
        change = Change(sid, sessionKey="anna", set={AUTHENTICATED: timeText(time.time())})
        try:
            done = await store.logInSession(change, SessionLimit(int(maximum)))
        except SessionEnded:
            continue
        evicted += [ending.record.sid for ending in done.evicted]
        most = max(most, len(await store.findSessions("anna")))
    return evicted, most


async def clear(store: JSONStore) -> Any:
    """
    End all sessions of an owner; which those were.
    """
    return [ending.record.sid for ending in await store.endSessions("anna")]


async def endAll(store: JSONStore, *sids: str) -> Any:
    """
    End sessions.
    """
    for sid in sids:
        await store.deleteSession(sid)


async def tell(store: JSONStore, count: str) -> Any:
    """
    Be told of endings until there have been so many, or none for a while.
    """
    told: list[str] = []
    for _ in range(200):
        entries = await store.takeEndings("mail", 3, 60.0)
        told += [entry.eventID for entry in entries]
        await store.acknowledge("mail", [entry.eventID for entry in entries])
        if len(told) >= int(count):
            break
    return told


async def full(store: JSONStore, sid: str) -> Any:
    """
    Save what is larger than a file may be, then what is not.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    found = []
    for size in (4000, 3, 3000):
        change = Change(sid, set={"data:x": b'"%s"' % (b"x" * size)})
        found.append(await outcome(store.saveSession(change)))
    return found


async def strange(store: JSONStore, sid: str) -> Any:
    """
    Do everything as a user who has no right to.
    """
    if os.geteuid() == 0:
        os.setuid(int(os.environ["STRANGER"]))
    record = Record("ab" * 16, bytes(32), 0, 0, 1)
    return [
        await outcome(store.loadSession(sid)),
        await outcome(store.saveSession(Change(sid, set={"data:x": b"1"}))),
        await outcome(store.createSession(record)),
        await outcome(store.setup()),
    ]


async def outcome(deferred: Deferred[Any]) -> Any:
    """
    What a call gives, or the class and the text of the error.
    """
    try:
        return await deferred
    except StoreUnavailable as e:
        return [type(e).__name__, str(e)]


COMMANDS: dict[str, Callable[..., Awaitable[Any]]] = {
    "increment": increment,
    "keys": keys,
    "claim": claim,
    "logIns": logIns,
    "clear": clear,
    "endAll": endAll,
    "tell": tell,
    "full": full,
    "strange": strange,
}


async def main(reactor: Any, directory: str, variant: str, command: str, *arguments: str) -> None:
    """
    Run one command.
    """
    store = JSONStore(directory, reactor)
    if variant == "unlocked":
        store._directory._openShard = UnlockedShard
        directoryModule.Folder = UnlockedFolder  # type: ignore[misc]  # of owners
    print(json.dumps(await COMMANDS[command](store, *arguments)))
    await store.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
