"""
How long the reactor is held when very many sessions expire at once.

C{python benchmarks/stall.py [--sessions N] [--rounds N] [--beside] [VARIANT...]}

Makes so many sessions that all expire at the same moment, each variant in a process
of its own, and measures by a heartbeat of 5 milliseconds how late the reactor was at
the most, and how long it took until all were told of it.  With C{--beside} another
process asks for pages meanwhile, a hundred in a second, each with a session; it measures
how long after its time each was answered (so that a reactor that is held makes all of
them late that were to come then).  The variants:

  - C{stock}: C{twisted.web.server.Session}, each with a C{notifyOnExpire} callback;
  - C{live}: ours, the same way, and nothing stored;
  - C{both}: ours, the same way, each stored in a L{MemoryStore};
  - C{stored}: records in a L{MemoryStore}, which no request has asked for.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from stallvisitor import QUIET, Visitor
from twisted.internet import reactor
from twisted.web import resource, server

import txsessions
from txsessions.record import Record
from txsessions.stores.memory import MemoryStore
from txsessions.tap import YOUNG

IDLE = 4.0
"""
For how long they are asked for while nothing else is done, in seconds.
"""

BEAT = 0.005
"""
How often the heart beats, in seconds.
"""

CALM = 1.0
"""
How long nothing is to do before the sessions expire, in seconds.
"""

TOO_LONG = "it took too long to make all sessions"

SAMPLE = 10
"""
One of so many sessions is made beforehand, to find out how long that takes.
"""


class Heart:
    """
    Beats, and notes when it was late.

    @ivar longest: By how much at the most, in seconds.
    @ivar busiest: How long this process worked between two beats at the most, in
        seconds: what is left of that on a machine where nobody else is at work.
    """

    def __init__(self) -> None:
        self.longest = self.busiest = 0.0
        self._last = self._worked = 0.0

    def start(self) -> None:
        """
        Begin to beat.
        """
        self._last, self._worked = time.perf_counter() - BEAT, time.process_time()
        self.beat()

    def beat(self) -> None:
        """
        One beat, and all that follow.
        """
        now, worked = time.perf_counter(), time.process_time()
        self.longest = max(self.longest, now - self._last - BEAT)
        self.busiest = max(self.busiest, worked - self._worked)
        self._last, self._worked = now, worked
        reactor.callLater(BEAT, self.beat)


class Visit(resource.Resource):
    """
    A page that uses a session.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Use it.
        """
        request.getSession()
        return b"ok"


class Endings:
    """
    Counts the sessions that are told of their end.
    """

    def __init__(self, count: int, done: Callable[[], object]) -> None:
        self._left = count
        self._done = done

    def tell(self) -> None:
        """
        One more.
        """
        self._left -= 1
        if not self._left:
            self._done()


def timeUntil(end: float) -> float:
    """
    How long a session that begins now has to live.
    """
    left = end - reactor.seconds()
    if left <= 0:
        raise SystemExit(TOO_LONG)
    return left


def live(site: Any, count: int, end: float, tell: Callable[[], object]) -> list[Any]:
    """
    Make live sessions with a callback each.
    """
    sessions = []
    for _ in range(count):
        uid = site._mkuid()
        session = site.sessions[uid] = site.sessionFactory(site, uid)
        session.sessionTimeout = timeUntil(end)
        session.notifyOnExpire(tell)
        session.startCheckingExpiration()
        sessions.append(session)
    return sessions


def stock(count: int, end: float, tell: Callable[[], object]) -> Any:
    """
    Stock Twisted.
    """
    site = server.Site(Visit())
    live(site, count, end, tell)
    return site


def ourSite(tell: Callable[[], object] = lambda: None) -> txsessions.Site:
    """
    A site of ours.
    """

    class Site(txsessions.Site):
        """
        Counts what a sweep brings in.
        """

        def sessionEnded(self, sid: str, reason: str) -> None:
            tell()
            super().sessionEnded(sid, reason)

    site = Site(Visit(), sessionStore=MemoryStore())
    site.startFactory()
    return site


def ourLive(count: int, end: float, tell: Callable[[], object]) -> Any:
    """
    See the documentation of the module.
    """
    site = ourSite()
    live(site, count, end, tell)
    return site


def both(count: int, end: float, tell: Callable[[], object]) -> Any:
    """
    See the documentation of the module.
    """
    site = ourSite()
    for session in live(site, count, end, tell):
        session.data["n"] = 1
        session.commit()
    return site


def stored(count: int, end: float, tell: Callable[[], object]) -> Any:
    """
    See the documentation of the module.
    """
    site = ourSite(tell)
    for number in range(count):
        now = reactor.seconds()
        record = Record(f"{number:032x}", bytes(32), now, now, timeUntil(end))
        site.sessionManager.store.createSession(record)
    site.sessionManager.wakeBy(end)
    return site


VARIANTS = {"stock": stock, "live": ourLive, "both": both, "stored": stored}


def measure(variant: str, count: int, isBeside: bool, slack: float) -> None:
    """
    Measure one variant in this process, and print what came of it.

    @param slack: How many times as long it may take to make them as a sample says.
    """
    calm = CALM + (IDLE + QUIET) * isBeside
    # While they are made, which is not measured, nobody looks for garbage.
    gc.disable()
    begun = time.perf_counter()
    VARIANTS[variant](count // SAMPLE, reactor.seconds() + 3600, lambda: None)
    # With more sessions each takes longer.
    warm = slack * SAMPLE * (time.perf_counter() - begun)
    end = reactor.seconds() + calm + warm
    heart = Heart()

    def done() -> None:
        total = reactor.seconds() - end
        # The last turn has not ended yet.
        reactor.callLater(0.1, stop, total)

    def stop(total: float) -> None:
        if isBeside:
            visitor.stop()
        reactor.callLater(0.5 * isBeside, tell, total)

    def tell(total: float) -> None:
        figures = {"stall": heart.longest, "busy": heart.busiest, "total": total}
        if isBeside:
            figures.update(visitor.latencies(end, total))
        print(json.dumps(figures))
        reactor.stop()

    site = VARIANTS[variant](count, end, Endings(count, done).tell)
    gc.collect()
    # As docs/deployment.rst advises.
    gc.set_threshold(*YOUNG)
    gc.enable()
    left = end - reactor.seconds()
    if left < calm - CALM / 2:
        raise SystemExit(TOO_LONG)
    if isBeside:
        visitor = Visitor(site)
        reactor.callLater(left - calm + CALM / 2, visitor.start)
    reactor.callLater(left - CALM / 2, heart.start)
    reactor.run()


def main() -> None:
    """
    Measure each variant in turn, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", action="store_true", help="measure requests, too")
    parser.add_argument("--slack", type=float, default=3.0, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    options = parser.parse_args()
    if options.one:
        measure(options.variants[0], options.sessions, options.beside, options.slack)
        return
    variants = list(dict.fromkeys(["stock", *options.variants]))
    figures: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for number in range(options.rounds):
        for variant in variants:
            print(f"round {number + 1} of {options.rounds}: {variant}", file=sys.stderr)
            figures[variant].append(measured(variant, options))
    report(figures, options.sessions)


def measured(variant: str, options: argparse.Namespace) -> Any:
    """
    Measure one variant in a process of its own; again with more time, if that was not
    enough to make all sessions.
    """
    for more in (1, 2, 4):
        given = [f"--sessions={options.sessions}", f"--slack={more * options.slack}", variant]
        given += ["--beside"] if options.beside else []
        command = [sys.executable, __file__, "--one", *given]
        process = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if process.returncode == 0:
            return json.loads(process.stdout)
    raise SystemExit(f"{variant}: it could not be measured here")


def report(figures: dict[str, list[dict[str, float]]], sessions: int) -> None:
    """
    Print the table: medians of the rounds, and by which factor less than stock.
    """
    print(f"{sessions} sessions expire at once, Python {sys.version.split()[0]}")
    titles = ("variant", "stall ms", "worst ms", "CPU ms", "total s", "stall /", "total /")
    print("".join(f"{title:>10}" for title in titles))
    stockStall, stockTotal = (median(figures["stock"], name) for name in ("stall", "total"))
    for variant, rows in figures.items():
        stall, busy, total = (median(rows, name) for name in ("stall", "busy", "total"))
        worst = max(row["stall"] for row in rows)
        print(
            f"{variant:>10}{1000 * stall:>10.1f}{1000 * worst:>10.1f}{1000 * busy:>10.1f}"
            f"{total:>10.2f}{stockStall / stall:>10.1f}{stockTotal / total:>10.2f}"
        )
    if "idle" in next(iter(figures.values()))[0]:
        reportLatencies(figures)


def reportLatencies(figures: dict[str, list[dict[str, float]]]) -> None:
    """
    Print how long requests took, before and meanwhile.
    """
    titles = ("variant", "idle p99", "p99 ms", "ratio", "requests")
    print("".join(f"{title:>10}" for title in titles))
    for variant, rows in figures.items():
        idle, busy, asked = (median(rows, name) for name in ("idle", "p99", "asked"))
        print(
            f"{variant:>10}{1000 * idle:>10.1f}{1000 * busy:>10.1f}{busy / idle:>10.1f}{asked:>10}"
        )


def median(rows: list[dict[str, float]], name: str) -> float:
    """
    The median of one figure.
    """
    return statistics.median(row[name] for row in rows)


if __name__ == "__main__":
    main()
