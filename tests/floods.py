"""
Floods: visitors who bring no session, and visitors whose cookie opens none, a great
many of them, at sites in memory::

    python tests/floods.py --requests 1000000

sends so many of each, shared among sites with and without keys, which store empty
sessions or not, and whose pages only look.  None may leave anything behind.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from random import Random
from typing import Any, Final

import attrs
from pages import Page
from scenes import COOKIE
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions import SessionManager, Site
from txsessions.stores.memory import MemoryStore
from txsessions.stores.wrapping import Call, Operation, WrappingStore
from txsessions.testing.wire import CLIENT, Wire

REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n"

WARMING: Final = 500
"""
After so many requests everything is there that is made once.
"""

GROWTH: Final = 4 << 20
"""
So many bytes the process may grow during a flood, however long.
"""

UNTOLD: Final = 100
"""
So many sessions may have gone a moment ago, and nobody was told yet.
"""


class CountingStore(WrappingStore):
    """
    A store that counts its calls, by name, and keeps none of them.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.counts: Counter[str] = Counter()

    def around(self, call: Call, proceed: Operation) -> Deferred[Any]:
        """
        See L{WrappingStore.around}.
        """
        self.counts[call.name] += 1
        return proceed()


class Drain(Wire):
    """
    A wire that hands on what the server writes and keeps nothing of it.
    """

    def write(self, data: bytes) -> None:
        """
        See L{Wire.write}.
        """
        if self.lost is None:
            self._dataReceived(data)


class QuietSite(Site):
    """
    A site without a log of its requests.
    """

    def log(self, request: Any) -> None:
        """
        Millions of lines are of no use.
        """


class Flooded:
    """
    A site, what it has answered, and the store behind it.

    @ivar codes: How often it has answered with which status.
    @ivar cookies: How many responses have set a cookie.
    """

    def __init__(
        self, answer: Callable[[Any], bytes], hasKeys: bool = False, storesEmpty: bool = True
    ) -> None:
        clock = Clock()
        clock.advance(1_000_000)
        self.memory = MemoryStore()
        self.store = CountingStore(self.memory)
        self.site = QuietSite(Page(answer), reactor=clock)
        keys = b"k" * 32 if hasKeys else None
        self.site.sessionManager = SessionManager(self.store, clock, keys=keys)
        self.site.storeEmptySessions = storesEmpty
        self.site.doStart()
        self.codes: Counter[bytes] = Counter()
        self.cookies = 0
        self.wire = self._connect()
        self.request()
        self._timers = self.timers()

    def timers(self) -> int:
        """
        How many calls are to be made later.
        """
        reactor: Any = self.site.reactor
        return len(reactor.getDelayedCalls())

    def request(self, *headers: bytes) -> None:
        """
        Send one request and take the response, all at once.
        """
        if self.wire.lost is not None:
            self.wire = self._connect()
        self.wire.send(REQUEST % b"".join(header + b"\r\n" for header in headers))

    def close(self) -> None:
        """
        Stop the site.
        """
        self.wire.disconnect(Failure(ConnectionDone()))
        self.site.doStop()

    def trouble(self) -> dict[str, Any]:
        """
        What there should not be: records, live sessions and deadlines of others,
        cookies, errors, timers.
        """
        found = {
            "records": len(self.memory._records),
            "live sessions": len(self.site.sessions),
            "deadlines": max(0, self.deadlines() - len(self.site.sessions) - UNTOLD),
            "cookies": self.cookies,
            "errors": sum(n for code, n in self.codes.items() if code not in (b"200", b"400")),
            "timers": max(0, self.timers() - self._timers),
        }
        return {name: count for name, count in found.items() if count}

    def deadlines(self) -> int:
        """
        How many deadlines of sessions are watched.
        """
        return len(self.site.sessionExpiry._deadlines)

    def _connect(self) -> Drain:
        """
        A new connection.
        """
        wire = Drain(False, self._received, lambda: None)
        wire.connect(self.site.buildProtocol(CLIENT))
        return wire

    def _received(self, data: bytes) -> None:
        """
        Look at a part of a response.  The pages here say nothing that looks like
        a header.
        """
        if data.startswith(b"HTTP/1."):
            self.codes[data[9:12]] += 1
        if b"set-cookie" in data.lower():
            self.cookies += 1


def looks(request: Any) -> bytes:
    """
    A page that wants to know who is there.
    """
    return b"none" if request.peekSession() is None else b"some"


def asks(request: Any) -> bytes:
    """
    A page that asks for a session and puts nothing into it.
    """
    request.getSession()
    return b"none"


SITES: Final = [
    *((looks, keys, empty) for keys, empty in product((False, True), (False, True))),
    *((asks, keys, False) for keys in (False, True)),
]
"""
The page, whether there are keys, whether empty sessions are stored.
"""


def cookieless(random: Random) -> Iterator[tuple[bytes, ...]]:
    """
    Visitors without a session: their headers.
    """
    while True:
        yield ()
        yield (b"Cookie: theme=dark; _ga=GA1.2.%d" % random.getrandbits(60),)


def bogus(random: Random) -> Iterator[tuple[bytes, ...]]:
    """
    Visitors with a cookie that nobody has given out: in the right form, sealed in
    the right form, or in none.
    """
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    while True:
        yield named(b"%064x" % random.getrandbits(256))
        yield named(bytes(random.choices(alphabet, k=108)))
        yield named(random.randbytes(random.randrange(80)).translate(None, b"\r\n\0;, \t"))


def named(value: bytes) -> tuple[bytes]:
    """
    The header with a value for the session's cookie.
    """
    return (b"Cookie: " + COOKIE + b"=" + value,)


KINDS: Final = {"cookieless": cookieless, "bogus": bogus}


@attrs.frozen
class Outcome:
    """
    What a flood has come to.

    @ivar requests: How many there were.
    @ivar wellFormed: How many of them had a cookie of the form that the site's
        tokens have when they are not sealed.
    @ivar seconds: How much time of the processor each has taken.
    @ivar growth: By how much the process has grown, in bytes.
    @ivar counts: What the store was asked.
    @ivar trouble: See L{Flooded.trouble}.
    """

    requests: int
    wellFormed: int
    seconds: float
    growth: int
    counts: Counter[str]
    trouble: dict[str, Any]


def flood(it: Flooded, kind: str, count: int, seed: int) -> Outcome:
    """
    Send so many requests of a kind.
    """
    headers = KINDS[kind](Random(seed))
    for _ in range(WARMING):
        it.request(*next(headers))
    it.store.counts.clear()
    gc.collect()
    size, begun, wellFormed = residentSize(), time.process_time(), 0
    for _ in range(count):
        each = next(headers)
        wellFormed += kind == "bogus" and isWellFormed(each[0])
        it.request(*each)
    seconds = (time.process_time() - begun) / count
    gc.collect()
    growth = residentSize() - size
    return Outcome(count, wellFormed, seconds, growth, +it.store.counts, it.trouble())


def isWellFormed(header: bytes) -> bool:
    """
    Whether this has a token of the stock form.
    """
    value = header.partition(b"=")[2]
    return len(value) == 64 and not value.strip(b"0123456789abcdef")


def residentSize() -> int:
    """
    How much memory the process has, in bytes.
    """
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def expected(outcome: Outcome, hasKeys: bool) -> dict[str, int]:
    """
    What the store may have been asked: for each token of the right form one load, and
    nothing at all where tokens are sealed.
    """
    loads = 0 if hasKeys else outcome.wellFormed
    return {"loadSession": loads} if loads else {}


def main() -> int:
    """
    The command.

    @return: The exit status: 1 if anything was left behind.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many of each kind")
    parser.add_argument("--seed", type=int, default=1, help="of the cookies")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    isBad = False
    for kind, (answer, hasKeys, storesEmpty) in product(KINDS, SITES):
        it = Flooded(answer, hasKeys, storesEmpty)
        outcome = flood(it, kind, options.requests // len(SITES), options.seed)
        it.close()
        trouble = outcome.trouble
        if outcome.counts != expected(outcome, hasKeys):
            trouble["asked"] = dict(outcome.counts)
        if outcome.growth > GROWTH:
            trouble["memory"] = outcome.growth
        isBad = isBad or bool(trouble)
        outcomes.append(outcome)
        print(
            f"{kind}, page {answer.__name__}, keys {'yes' if hasKeys else 'no'}, empty sessions "
            f"{'stored' if storesEmpty else 'not stored'}: {outcome.requests} requests, "
            f"{outcome.seconds * 1e6:.0f} µs each, {outcome.growth / 1024:+.0f} KiB, "
            f"loads {outcome.counts['loadSession']} of {outcome.wellFormed} well-formed, "
            f"{trouble or 'nothing left behind'}",
            flush=True,
        )
    print(
        f"all: {summary(outcomes)}, {'something left behind' if isBad else 'nothing left behind'}"
    )
    return int(isBad)


def summary(outcomes: list[Outcome]) -> str:
    """
    What several floods have come to.
    """
    costs = sorted(each.seconds * 1e6 for each in outcomes)
    growth = max(each.growth for each in outcomes) / 1024
    return (
        f"{sum(each.requests for each in outcomes):,} requests, {costs[0]:.0f} to {costs[-1]:.0f} "
        f"µs each, memory {growth:+.0f} KiB at the most, "
        f"{sum(each.counts['loadSession'] for each in outcomes):,} loads"
    )


if __name__ == "__main__":
    sys.exit(main())
