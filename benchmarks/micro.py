"""
What single steps cost, and whole requests without a socket, in microseconds of the
processor, so that one sees where a request has become slower::

    python benchmarks/micro.py [--rounds N] [--milliseconds N] [--out DIRECTORY]

Each is run for so many milliseconds, all of them by turns, and the best of the rounds is
printed: what else the machine does only ever makes it slower.
"""

from __future__ import annotations

import argparse
import os
import sys
from binascii import hexlify
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from timeit import timeit
from typing import Any

from machine import described, others
from results import keep
from served import Ours, makeSite
from stepspage import writeSteps
from twisted.internet import reactor
from twisted.internet.testing import StringTransport

import txsessions
from txsessions.cookie import SessionCookie
from txsessions.data import SessionData
from txsessions.deadlines import Deadlines
from txsessions.envelope import Envelopes
from txsessions.jsonvalues import decode, encode
from txsessions.keys import KeyRing
from txsessions.record import Change, Record, apply
from txsessions.seal import seal, unseal
from txsessions.stores.files import text
from txsessions.stores.memory import MemoryStore
from txsessions.token import INSECURE, digest, matches, parse

TOKEN = hexlify(bytes(range(32)))
SID = TOKEN[:32].decode()
HEADER = b"theme=dark; TWISTED_SESSION=" + TOKEN + b"; language=en"
COOKIE = SessionCookie()
CART = {"items": [{"article": number, "count": 1} for number in range(5)], "voucher": None}
ATTRIBUTES = {
    "data:cart": encode("cart", CART),
    "data:visits": b"41",
    "data:user": b'"anna@example.com"',
}

Step = Callable[[], object]


def newRecord() -> Record:
    """
    A record with a few attributes.
    """
    token = parse(TOKEN)
    assert token is not None
    return Record(
        SID, digest(token.verifier, INSECURE), 1e9, 1e9, 900.0, None, "anna", dict(ATTRIBUTES), 3
    )


def changed() -> SessionData:
    """
    Data with a counter that has changed, and a container that was looked at.
    """
    data = SessionData(ATTRIBUTES)
    data["visits"] += 1
    assert data["cart"] == CART
    return data


def tokenSteps() -> Iterator[tuple[str, Step]]:
    """
    From the bytes of a cookie to a token that is known to be right.
    """
    token, record = parse(TOKEN), newRecord()
    assert token is not None
    ring = KeyRing(os.urandom(32))
    sealed = seal(TOKEN, ring, os.urandom)
    yield "find the cookie", lambda: COOKIE.tokensIn([HEADER])
    yield "parse a token", lambda: parse(TOKEN)
    yield "check a verifier", lambda: matches(token, INSECURE, record.verifier)
    yield "seal a token", lambda: seal(TOKEN, ring, os.urandom)
    yield "open a sealed token", lambda: unseal(sealed, ring)


def dataSteps() -> Iterator[tuple[str, Step]]:
    """
    From a record to what an application sees, and back.
    """
    record, data = newRecord(), changed()
    change = Change(SID, set=data.changes()[0], lastModified=1e9 + 1)
    stored = text.encodeRecord(record)
    envelopes = Envelopes(KeyRing(os.urandom(32)), os.urandom)
    cart = ATTRIBUTES["data:cart"]
    closed = envelopes.close(SID, "data:cart", cart)
    yield "decode a value", lambda: decode(cart)
    yield "encode a value", lambda: encode("cart", CART)
    yield "find what has changed", data.changes
    yield "make a change", lambda: Change(SID, set=change.set, lastModified=1e9 + 1)
    yield "apply a change", lambda: apply(record, change)
    yield "encode a record", lambda: text.encodeRecord(record)
    yield "decode a record", lambda: text.decode(SID, stored)
    yield "encrypt a value", lambda: envelopes.close(SID, "data:cart", cart)
    yield "decrypt a value", lambda: envelopes.open(SID, "data:cart", closed)


def storeSteps() -> Iterator[tuple[str, Step]]:
    """
    What a store in memory does.
    """
    record, store = newRecord(), MemoryStore()
    store.createSession(record)
    change = Change(SID, set={"data:visits": b"42"}, lastModified=1e9 + 1)
    deadlines = Deadlines(lambda name: 1e9)
    deadlines.add(SID, 1e9)
    yield "move a deadline", lambda: deadlines.add(SID, 1e9 + 1)
    yield "load from memory", lambda: store.loadSession(SID)
    yield "save to memory", lambda: store.saveSession(change)


def encryptingSite() -> Any:
    """
    A site whose tokens are sealed and whose data are encrypted, in memory.
    """
    site = txsessions.Site(Ours())
    site.sessionManager = txsessions.SessionManager(
        MemoryStore(), reactor, keys=os.urandom(32), encryptData=True
    )
    return site


def requester(site: Any) -> Step:
    """
    Sends the same request again and again, on one connection, with the cookie that the
    first response has set.
    """
    # The reactor does not run here, and would never forget a time-out.
    site.timeOut = None
    transport = StringTransport()
    protocol = site.buildProtocol(None)
    protocol.makeConnection(transport)

    def ask(cookie: bytes) -> bytes:
        transport.clear()
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\n\r\n" % cookie)
        return transport.value()

    _, _, line = ask(b"theme=dark").partition(b"Set-Cookie: ")
    cookie = line.partition(b";")[0] or b"none=0"
    assert ask(cookie).startswith(b"HTTP/1.1 200 ")
    assert b"Set-Cookie" not in transport.value()
    return lambda: ask(cookie)


def requestSteps() -> Iterator[tuple[str, Step]]:
    """
    Whole requests of an existing session.
    """
    yield "no session", requester(makeSite("bare", "."))
    yield "stock getSession()", requester(makeSite("stock", "."))
    yield "look at data, memory", requester(makeSite("memory-reading", "."))
    yield "count, memory", requester(makeSite("memory", "."))
    yield "count, encrypted", requester(encryptingSite())


GROUPS = {
    "Tokens": tokenSteps,
    "Data": dataSteps,
    "A store": storeSteps,
    "Requests": requestSteps,
}


def costs(steps: dict[str, Step], rounds: int, seconds: float) -> dict[str, float]:
    """
    The cost of each step.

    @param seconds: For how long a step is run in each round, about.
    @return: Microseconds by name.
    """
    counts = {}
    for name, step in steps.items():
        step()
        counts[name] = max(1, round(seconds / max(timeit(step, number=20) / 20, 1e-8)))
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            # With the garbage collector on, as where it is used.
            used = timeit(step, "import gc; gc.enable()", number=counts[name], timer=process_time)
            best[name] = min(best[name], used / counts[name] * 1e6)
    return best


def main() -> None:
    """
    Measure, and print the tables.
    """
    parser = argparse.ArgumentParser(description="Measure single steps and whole requests.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--milliseconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, help="where a report is written")
    options = parser.parse_args()
    busy, groups = others(), {}
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; microseconds of the processor")
    for title, group in GROUPS.items():
        print(title)
        groups[title] = costs(dict(group()), options.rounds, options.milliseconds / 1e3)
        for name, cost in groups[title].items():
            print(f"  {name:<24}{cost:8.2f}")
    if options.out is not None:
        raw = {"machine": described(), "others": busy, "groups": groups}
        keep(raw, options.out / "micro.json")
        writeSteps(options.out)


if __name__ == "__main__":
    main()
