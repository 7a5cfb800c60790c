"""
A process that counts up a number in a session, or saves one number after the
other, through a store of its own.

Run as C{postgreschild.py TASK SID TIMES KEYWORDS}, where C{KEYWORDS} is a JSON
object of arguments for L{PostgresStore}.  It prints a line when it is ready, and
one for each time that was acknowledged.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txsessions.errors import VersionConflict
from txsessions.record import Change
from txsessions.stores.postgres import PostgresStore

NAME = "data:n"


async def increment(store: PostgresStore, sid: str, isChecked: bool) -> None:
    """
    Count up by one, on whatever is there.
    """
    while True:
        record = await store.loadSession(sid)
        assert record is not None
        after = b"%d" % (int(record.attributes[NAME]) + 1)
        version = record.version if isChecked else None
        try:
            await store.saveSession(Change(sid, set={NAME: after}, expectedVersion=version))
        except VersionConflict:
            continue
        return


async def main(task: str, sid: str, times: str, keywords: str) -> None:
    """
    Do it so many times.
    """
    store = PostgresStore(**json.loads(keywords))
    await store.hasSession(sid)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(times)):
        await increment(store, sid, task == "increment")
        print(number, flush=True)
    await store.close()


def run(_: Any, *arguments: str) -> Deferred[None]:
    """
    For L{react}.
    """
    return Deferred.fromCoroutine(main(*arguments))


if __name__ == "__main__":
    react(run, sys.argv[1:])
