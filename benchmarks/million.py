"""
What a million records cost: to make them, to go through them, to copy them, to find
those of an owner, and to end those that are old::

    python benchmarks/million.py --store sqlite:/tmp/million.db --to sqlite:/tmp/copy.db
    python benchmarks/million.py --store memory --to memory --records 100000

It prints, for each of these, how long it took, how many a second that is, how much
memory the process had at the most, and how long the reactor was held at the most, by
a heartbeat of 5 milliseconds: by the clock, and of that the time that the reactor's
thread was computing, and the time that it waited for a processor (the rest it waited
for another thread).  The last words say what Python's collector of garbage took at the
most.

Use a store that is empty: half of its sessions are ended.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from txsessions.copying import Copy
from txsessions.interfaces import IConnectedStore
from txsessions.record import Record
from txsessions.stores.opening import openStore
from txsessions.walk import Walk

BEAT = 0.005

ATTRIBUTES = {
    "data:cart": b"[0,1,2,3,4,5,6,7,8,9]",
    "data:counter": b"5",
    "component:address": b'{"street":"' + b"x" * 150 + b'"}',
}


def newRecord(number: int, now: float) -> Record:
    """
    A session of one of many owners, with 250 bytes of attributes; each second one was
    not used for two hours.
    """
    digest = sha256(b"%d" % number)
    age = 7200.0 if number % 2 else 0.0
    return Record(
        sid=digest.hexdigest()[:32],
        verifier=digest.digest(),
        created=now - 7300,
        lastModified=now - age,
        sessionTimeout=86400.0,
        sessionKey=f"user{number % 50_000}",
        attributes=dict(ATTRIBUTES),
    )


@attrs.define
class Heartbeat:
    """
    Beats, and notes how late it was at the most.

    @ivar gap: The longest time between two beats, in seconds.
    @ivar busy: How much of that the thread was computing.
    @ivar queued: How much of that it waited for a processor.
    @ivar memory: The most memory that the process had, in bytes.
    @ivar collecting: The longest collection of garbage.
    """

    gap: float = 0.0
    busy: float = 0.0
    queued: float = 0.0
    memory: int = 0
    collecting: float = 0.0
    _last: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _count: int = 0
    _began: float = 0.0

    def clear(self) -> None:
        """
        Begin anew.
        """
        self.gap = self.busy = self.queued = self.collecting = 0.0
        self.memory = residentBytes()
        self._last = threadTimes()

    def beat(self) -> None:
        """
        Note how late it is.
        """
        now = threadTimes()
        gap, busy, queued = (new - old for new, old in zip(now, self._last, strict=True))
        if gap > self.gap:
            self.gap, self.busy, self.queued = gap, busy, queued
        self._last = now
        self._count += 1
        if self._count % 20 == 0:
            self.memory = max(self.memory, residentBytes())

    def collected(self, phase: str, _: object) -> None:
        """
        For the collector of garbage.
        """
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collecting = max(self.collecting, time.perf_counter() - self._began)


def threadTimes() -> tuple[float, float, float]:
    """
    The time, how long this thread has computed, and how long it has waited for a
    processor, in seconds.
    """
    with open("/proc/thread-self/schedstat", encoding="ascii") as file:
        computed, queued, _ = file.read().split()
    return time.perf_counter(), int(computed) / 1e9, int(queued) / 1e9


def residentBytes() -> int:
    """
    How much memory this process has now.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def make(reactor: Any, store: Any, count: int) -> None:
    """
    Make records, some at a time.
    """
    now = time.time()

    async def numbers() -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def create(number: int) -> None:
        await store.createSession(newRecord(number, now))

    await Walk(reactor, create).run(numbers())


async def rest() -> None:
    """
    Let the reactor have its turn.
    """
    from twisted.internet import reactor

    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]  # the reactor
    await turn


async def browse(reactor: Any, store: Any, count: int) -> None:
    """
    Go through all records, as a command line does.
    """
    found = 0

    async def see(pair: tuple[str, Record]) -> None:
        nonlocal found
        found += 1

    await Walk(reactor, see).run(store.iterSessions())
    assert found == count, f"{found} records of {count}"


async def find(store: Any, owners: int) -> None:
    """
    Find the sessions of some owners.
    """
    for owner in range(owners):
        found = await store.findSessions(f"user{owner}")
        assert all(record.sessionKey == f"user{owner}" for record in found)
        await rest()


async def copy(reactor: Any, store: Any, target: Any) -> None:
    """
    Copy all records, and verify that.
    """
    work = Copy(store, target, reactor, print)
    await work.run()
    print(f"{'':8} {dict(+work.counts)}")


async def endOld(store: Any, count: int) -> None:
    """
    End each second record.
    """
    ended = await store.deleteOldSessions(60)
    assert ended == count // 2, f"{ended} records of {count // 2}"


async def measured(
    heart: Heartbeat, name: str, count: int, work: Callable[[], Awaitable[None]]
) -> None:
    """
    Do something, and print what it cost.
    """
    await rest()
    heart.clear()
    began = time.perf_counter()
    await work()
    took = time.perf_counter() - began
    await rest()
    heart.beat()
    print(
        f"{name:8} {took:7.1f} s {count / took:8.0f}/s {heart.memory / 2**20:6.0f} MiB  "
        f"longest gap {heart.gap * 1000:5.0f} ms ({heart.busy * 1000:.0f} computing, "
        f"{heart.queued * 1000:.0f} queued), "
        f"collecting {heart.collecting * 1000:.0f} ms",
        flush=True,
    )


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """
    Measure everything.
    """
    stores = [openStore(text, reactor) for text in (options.store, options.to) if text]
    heart = Heartbeat()
    beating = LoopingCall(heart.beat)
    beating.start(BEAT)
    gc.freeze()  # As the command line does.
    gc.callbacks.append(heart.collected)
    store, count = stores[0], options.records
    await store.setup()
    await measured(heart, "make", count, partial(make, reactor, store, count))
    await measured(heart, "browse", count, partial(browse, reactor, store, count))
    await measured(heart, "find", 100, partial(find, store, 100))
    if len(stores) == 2:
        await measured(heart, "copy", count, partial(copy, reactor, *stores))
    await measured(heart, "end", count // 2, partial(endOld, store, count))
    beating.stop()
    for each in stores:
        if IConnectedStore.providedBy(each):
            await each.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure many records.")
    parser.add_argument("--store", default="memory", help="an empty store")
    parser.add_argument("--to", help="another empty store, for a copy")
    parser.add_argument("--records", type=int, default=1_000_000)
    parsed = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parsed)))
