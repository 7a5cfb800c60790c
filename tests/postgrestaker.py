"""
A process that takes endings from the journal, says which, and is killed before it
acknowledges them.

Run as C{postgrestaker.py OBSERVER LEASE KEYWORDS}, where C{KEYWORDS} is a JSON
object of arguments for L{PostgresStore}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.stores.postgres import PostgresStore


async def main(observer: str, lease: str, keywords: str) -> None:
    """
    Take some, and wait for the end.
    """
    store = PostgresStore(**json.loads(keywords))
    entries = await store.takeEndings(observer, 10, float(lease))
    print(json.dumps([entry.eventID for entry in entries]), flush=True)
    await Deferred()


def run(_: Any, *arguments: str) -> Deferred[None]:
    """
    For L{react}.
    """
    return Deferred.fromCoroutine(main(*arguments))


if __name__ == "__main__":
    react(run, sys.argv[1:])
