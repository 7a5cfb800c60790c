"""
What log-ins with a limit, the end of all sessions of an owner, and the journal cost::

    python benchmarks/owners.py --store memory --store redis:port=7000 --times 300

For each: how long one takes that is alone, and the processor time of this process for it.
Use stores that are empty.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.interfaces import IConnectedStore
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.opening import openStore

OBSERVER = "benchmark"
BATCH = 100
LEASE = 60.0


async def newSession(store: Any) -> str:
    """
    A session with 250 bytes of attributes; its handle.
    """
    now = time.time()
    record = Record(uuid4().hex, bytes(32), now, now, 86400.0, None, None, {"data:a": b"1" * 250})
    await store.createSession(record)
    return record.sid


async def logIn(store: Any, sessionKey: str, limit: SessionLimit | None) -> None:
    """
    A session that begins, and logs in.
    """
    facts = {AUTHENTICATED: timeText(time.time())}
    change = Change(await newSession(store), sessionKey=sessionKey, set=facts)
    await store.logInSession(change, limit)


async def logOut(store: Any) -> None:
    """
    A session that begins, and ends.
    """
    await store.deleteSession(await newSession(store))


async def told(store: Any) -> None:
    """
    Some endings, taken and acknowledged.
    """
    entries = await store.takeEndings(OBSERVER, BATCH, LEASE)
    await store.acknowledge(OBSERVER, [entry.eventID for entry in entries])


async def measure(name: str, operation: Callable[[], Awaitable[Any]], times: int) -> None:
    """
    Measure one operation.
    """
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(times):
        await operation()
    alone = (time.perf_counter() - began) / times
    processor = (time.process_time() - busy) / times
    print(f"  {name:36}{alone * 1e3:9.2f} ms {processor * 1e3:9.2f} ms")


async def measureStore(reactor: Any, text: str, times: int) -> None:
    """
    Measure one store.
    """
    store = openStore(text, reactor)
    await store.setup()
    limit = SessionLimit(3)
    print(f"{text.partition(':')[0]}\n  {'':36}{'alone':>12}{'processor':>13}")
    await measure("create", lambda: newSession(store), times)
    await measure("create, log in", lambda: logIn(store, uuid4().hex, None), times)
    await measure("create, log in, limit", lambda: logIn(store, uuid4().hex, limit), times)
    await measure("create, log in, evict", lambda: logIn(store, "anna", limit), times)
    await measure("end all of an owner who has none", lambda: store.endSessions("bert"), times)
    await measure("create, end", lambda: logOut(store), times)
    await store.enrol(OBSERVER)
    await measure("create, end, write down", lambda: logOut(store), times)
    await measure(f"take {BATCH}, acknowledge", lambda: told(store), times // BATCH)
    await measure("take, nothing there", lambda: told(store), times)
    await store.dismiss(OBSERVER)
    if IConnectedStore.providedBy(store):
        await store.close()


async def main(reactor: Any) -> None:
    """
    Measure the stores that are asked for.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--store", action="append", required=True)
    parser.add_argument("--times", type=int, default=500)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for text in options.store:
        await measureStore(reactor, text, options.times)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
