"""
What the operations of stores cost, one at a time and many at a time::

    python benchmarks/stores.py --store memory --store sqlite:/tmp/a.db --sessions 5000

For each: how long one takes that is alone, how many a second there are with 64 under
way, and the processor time of this process for each.  Use stores that are empty.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.interfaces import IConnectedStore
from txsessions.record import Change, Record
from txsessions.stores.opening import openStore
from txsessions.walk import Walk

TOGETHER = 64

ATTRIBUTES = {
    "data:cart": b"[0,1,2,3,4,5,6,7,8,9]",
    "data:counter": b"5",
    "component:address": b'{"street":"' + b"x" * 150 + b'"}',
}


def newRecord(sid: str) -> Record:
    """
    A session of an owner, with 250 bytes of attributes.
    """
    now = time.time()
    return Record(sid, bytes(32), now, now, 86400.0, None, sid[:8], dict(ATTRIBUTES))


def newChange(sid: str) -> Change:
    """
    A change of one attribute, and a touch.
    """
    return Change(sid, set={"data:counter": b"6"}, lastModified=time.time())


async def timed(
    reactor: Any, operation: Callable[[str], Deferred[Any]], sids: list[str], together: int
) -> tuple[float, float]:
    """
    Do an operation on each of these sessions.

    @return: How long it took, and how much of the processor, in seconds for each.
    """

    async def each() -> AsyncIterator[str]:
        for sid in sids:
            yield sid

    async def work(sid: str) -> None:
        await operation(sid)

    began, busy = time.perf_counter(), time.process_time()
    await Walk(reactor, work, together).run(each())
    count = len(sids)
    return (time.perf_counter() - began) / count, (time.process_time() - busy) / count


async def measure(reactor: Any, text: str, count: int) -> None:
    """
    Measure one store.
    """
    store = openStore(text, reactor)
    await store.setup()
    operations: dict[str, Callable[[str], Deferred[Any]]] = {
        "create": lambda sid: store.createSession(newRecord(sid)),
        "load": store.loadSession,
        "save": lambda sid: store.saveSession(newChange(sid)),
        "delete": store.deleteSession,
    }
    print(text.partition(":")[0])
    sids = {together: [os.urandom(16).hex() for _ in range(count)] for together in (1, TOGETHER)}
    for name, operation in operations.items():
        alone, _ = await timed(reactor, operation, sids[1][: count // 5], 1)
        many, busy = await timed(reactor, operation, sids[TOGETHER], TOGETHER)
        print(
            f"  {name:8} {alone * 1e6:7.0f} us alone  {1 / many:8.0f}/s together "
            f"{busy * 1e6:6.0f} us CPU each",
            flush=True,
        )
    if IConnectedStore.providedBy(store):
        await store.close()


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """
    Measure all stores.
    """
    for text in options.store or ["memory"]:
        await measure(reactor, text, options.sessions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure stores.")
    parser.add_argument("--store", action="append", help="an empty store; may be repeated")
    parser.add_argument("--sessions", type=int, default=20_000)
    parsed = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parsed)))
