"""
What other processes do with an SQLite file, for the tests: a program that
prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from txsessions.errors import SessionError, VersionConflict
from txsessions.lifetime import EVICTED
from txsessions.limit import SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.sqlite import SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, Request
from txsessions.stores.sqlitefile.file import SQLiteFile
from txsessions.stores.sqlitefile.rows import Rows

SID = "0123456789abcdef" * 2
NOBODY = 65534
PROCESSES = 10


def record(sid: str = SID, **facts: Any) -> Record:
    """
    A record that lives for long.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 1e12}
    return Record(**{"sid": sid, "verifier": bytes(32), **usual, **facts})


async def outcome(answer: Awaitable[Any]) -> Any:
    """
    What an operation gives, or the kind of error it fails with and the text.
    """
    try:
        return await answer
    except SessionError as e:
        return f"{type(e).__name__}: {e}"


async def meet(path: str, name: str, number: str) -> None:
    """
    Wait until so many processes are there.
    """
    there = Path(f"{path}-met")
    there.mkdir(exist_ok=True)
    (there / name).touch()
    while len(list(there.iterdir())) < int(number):
        await deferLater(reactor, 0.005)


async def increment(path: str, name: str, others: str, count: str, variant: str) -> int:
    """
    Increment one attribute together with other processes, with or without looking
    whether somebody else was faster, and set another one each time.

    @return: How often somebody else was.
    """
    store = SQLiteStore(path)
    await meet(path, name, others)
    conflicts = done = 0
    while done < int(count):
        found = await store.loadSession(SID)
        number = b"%d" % (int(found.attributes["data:n"]) + 1)
        expected = found.version if variant == "careful" else None
        try:
            await store.saveSession(Change(SID, set={"data:n": number}, expectedVersion=expected))
        except VersionConflict:
            conflicts += 1
            continue
        await store.saveSession(Change(SID, set={f"data:{name}-{done}": b"1"}))
        done += 1
    await store.close()
    return conflicts


async def openTogether(path: str) -> list[Any]:
    """
    Open a file that is not there yet, in many processes at the same time.
    """
    start, started = os.pipe()
    reading, writing = os.pipe()
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            os.close(started)
            os.read(start, 1)
            created = Request(Rows.create, (record(f"{number:032x}"),), True)
            (found,) = Batches(SQLiteFile(path), print).perform([created])
            text = str(found.value) if isinstance(found, Failure) else str(found)
            os.write(writing, text.encode() + b"\n")
            os._exit(0)
        children.append(child)
    for descriptor in (start, started, writing):
        os.close(descriptor)
    with open(reading) as pipe:
        outcomes = pipe.read().split("\n")[:-1]
    for child in children:
        os.waitpid(child, 0)
    return outcomes


async def limited(path: str) -> dict[str, Any]:
    """
    Save until no file may grow any more, and again when files may.
    """
    store = SQLiteStore(path)
    await store.createSession(record())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    values: list[Any] = []
    while not values or isinstance(values[-1], int):
        big = b'"' + b"x" * 50_000 + b'"'
        values.append(
            await outcome(store.saveSession(Change(SID, set={f"data:{len(values)}": big})))
        )
    full = await store.loadSession(SID)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    again = await outcome(store.saveSession(Change(SID, set={"data:x": b"1"})))
    kept = await store.loadSession(SID)
    await store.close()
    return {
        "saved": len(values) - 1,
        "error": values[-1],
        "whileFull": len(full.attributes),
        "again": again,
        "kept": len(kept.attributes),
    }


async def unprivileged(place: str) -> dict[str, str]:
    """
    As a user who is not root, use files of several kinds.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    outcomes = {}
    for name in ("directory/new.db", "directory/old.db", "unwritable.db", "unreadable.db"):
        store = SQLiteStore(os.path.join(place, name))
        outcomes[name] = await outcome(store.loadSession(SID, "nothing"))
        await store.close()
    return outcomes


async def load(path: str) -> int:
    """
    The version of a session.
    """
    store = SQLiteStore(path)
    found = await store.loadSession(SID)
    await store.close()
    return int(found.version)


async def sweep(path: str) -> int:
    """
    End what has expired.

    @return: How much that was.
    """
    store = SQLiteStore(path)
    claim = await store.claimExpired(1000)
    await store.close()
    return len(claim.endings)


async def takeAndDie(path: str, lease: str) -> None:
    """
    Take the endings of an observer, say which, and die before acknowledging
    them.
    """
    store = SQLiteStore(path)
    entries = await store.takeEndings("mail", 3, float(lease))
    print(json.dumps([entry.eventID for entry in entries]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


class TornStore(SQLiteStore):
    """
    Broken on purpose: looks for room in one transaction and logs in in another
    one.
    """

    def logInSession(self, change: Change, limit: Any = None) -> Deferred[Any]:
        """
        Make room, then save.
        """
        return Deferred.fromCoroutine(self._logIn(change, limit))

    async def _logIn(self, change: Change, limit: Any) -> int:
        """
        Make room, then save.
        """
        others = await self.findSessions(str(change.sessionKey))
        for record in limit.evicted(others, change.sid):
            await self.deleteSession(record.sid, EVICTED)
        return await self.saveSession(change)


STORES = {"whole": SQLiteStore, "torn": TornStore}


async def logIn(path: str, name: str, count: str, variant: str) -> int:
    """
    Log an owner in who may have three sessions, two at a time, and look how
    many he has.

    @return: How many he had at the most.
    """
    store = STORES[variant](path)
    limit = SessionLimit(3)
    most = 0
    for number in range(int(count)):
        sids = [f"{ord(name):08x}{number:016x}{pair:08x}" for pair in range(2)]
        for sid in sids:
            await store.createSession(record(sid))
        changes = [Change(sid, sessionKey="anna") for sid in sids]
        await gatherResults([store.logInSession(change, limit) for change in changes])
        most = max(most, len(await store.findSessions("anna")))
    await store.close()
    return most


COMMANDS: dict[str, Callable[..., Any]] = {
    "increment": increment,
    "openTogether": openTogether,
    "limited": limited,
    "unprivileged": unprivileged,
    "load": load,
    "logIn": logIn,
    "sweep": sweep,
    "takeAndDie": takeAndDie,
}


async def main(command: str, *arguments: str) -> None:
    """
    Do one of them.
    """
    print(json.dumps(await COMMANDS[command](*arguments)))


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
