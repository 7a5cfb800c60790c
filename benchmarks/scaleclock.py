"""
How long it takes until many sessions have begun and expired in virtual time::

    python scaleclock.py ours|stock SESSIONS

It prints the seconds.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.internet.task import Clock
from twisted.web import server
from twisted.web.resource import Resource

import txsessions


def ours(clock: Clock) -> Any:
    """
    A site of ours.
    """
    return txsessions.Site(Resource(), reactor=clock)


def stock(clock: Clock) -> Any:
    """
    One of stock Twisted.
    """
    return server.Site(Resource(), reactor=clock)


def main(kind: str, count: str) -> None:
    """
    Let them begin, expire, and be told.
    """
    clock = Clock()
    site = {"ours": ours, "stock": stock}[kind](clock)
    site.startFactory()
    told: list[int] = []
    began = time.perf_counter()
    for number in range(int(count)):
        session = site.makeSession()
        if kind == "ours":
            session.data["visits"] = 1
            session.commit()
        session.notifyOnExpire(lambda number=number: told.append(number))
    for _ in range(1000):
        clock.advance(1)
    took = time.perf_counter() - began
    if len(told) != int(count):
        raise SystemExit(f"{len(told)} of {count} were told")
    print(took)


if __name__ == "__main__":
    main(*sys.argv[1:])
