"""
What the operations of stores cost, one at a time and many at a time::

    python benchmarks/stores.py
    python benchmarks/stores.py --store redis:port=7000 --sessions 5000

For each: how long one takes that is alone, how many a second there are with 64 under
way, and the processor time of this process for each.  Without C{--store} all of them are
measured, on private servers and temporary files; what is not installed is left out.  Of your
own, use stores that are empty.  With C{--out} a report and the raw figures are written, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from backing import SERVERS, started
from machine import described, others
from results import keep
from stepspage import writeSteps
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.interfaces import IConnectedStore
from txsessions.record import Change, Record
from txsessions.stores.opening import openStore
from txsessions.walk import Walk

TOGETHER = 64

SLOW = 10
"""
Of one that waits for the disk for each operation, one of so many is done.
"""

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


async def measure(reactor: Any, text: str, count: int) -> dict[str, dict[str, float]]:
    """
    Measure one store.

    @return: The seconds that each operation takes alone and among many, and those of the
        processor.
    """
    store = openStore(text, reactor)
    await store.setup()
    operations: dict[str, Callable[[str], Deferred[Any]]] = {
        "create": lambda sid: store.createSession(newRecord(sid)),
        "load": store.loadSession,
        "save": lambda sid: store.saveSession(newChange(sid)),
        "delete": store.deleteSession,
    }
    name = text.partition(":")[0]
    print(name)
    count = max(TOGETHER, count // SLOW if name == "json" else count)
    sids = {together: [os.urandom(16).hex() for _ in range(count)] for together in (1, TOGETHER)}
    found = {}
    for operation, function in operations.items():
        alone, _ = await timed(reactor, function, sids[1][: count // 5], 1)
        many, busy = await timed(reactor, function, sids[TOGETHER], TOGETHER)
        found[operation] = {"alone": alone, "together": many, "cpu": busy}
        print(
            f"  {operation:8} {alone * 1e6:7.0f} us alone  {1 / many:8.0f}/s together "
            f"{busy * 1e6:6.0f} us CPU each",
            flush=True,
        )
    if IConnectedStore.providedBy(store):
        await store.close()
    return found


def all(stack: ExitStack) -> tuple[list[str], dict[str, str]]:
    """
    Each store that there can be here.

    @param stack: Removes them.
    @return: What opens them, and why the others are not there.
    """
    place = stack.enter_context(tempfile.TemporaryDirectory())
    servers, missing = started(stack, set(SERVERS), 1)
    own = ["memory", f"sqlite:{place}/sessions.db", f"json:{place}/sessions"]
    return [*own, *(server.store for server in servers.values())], missing


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """
    Measure all stores.
    """
    busy = others()
    with ExitStack() as stack:
        texts, missing = (options.store, {}) if options.store else all(stack)
        stores = {}
        for text in texts:
            stores[text.partition(":")[0]] = await measure(reactor, text, options.sessions)
    for name, reason in missing.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if options.out is not None:
        raw = {
            "machine": described(),
            "others": busy,
            "together": TOGETHER,
            "stores": stores,
            "missing": missing,
        }
        keep(raw, options.out / "stores.json")
        writeSteps(options.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure stores.")
    parser.add_argument("--store", action="append", help="an empty store; may be repeated")
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="where a report is written")
    parsed = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parsed)))
