"""
One of several processes that end what expires in a store, and tell a durable
observer of each ending, which notes it in a file::

    python tests/endingworker.py STORE FILE

An ending is confirmed when its line is on the disk.  L{endings} kills them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from txsessions import SessionManager
from txsessions.courier import LEASE
from txsessions.interfaces import ISessionObserver
from txsessions.stores import openStore

NAME = "notebook"
"""
What the observer is called, in all processes.
"""

READY = "ready"
"""
The first line of a file.
"""


@implementer(ISessionObserver)
class Notebook:
    """
    Writes each ending down.
    """

    def __init__(self, path: str, delay: float) -> None:
        """
        @param delay: How long it takes besides, in seconds.
        """
        self._delay = delay
        self._file = open(path, "ab")  # noqa: SIM115  # for as long as the process lives

    def update(self, event: Any) -> Deferred[None]:
        """
        See L{ISessionObserver.update}.
        """
        facts = {
            "eventID": event.eventID,
            "sid": event.sid,
            "reason": event.reason,
            "n": event.data.get("n"),
            "endedAt": event.time,
            "toldAt": time.time(),
        }
        writing = deferToThread(self.write, json.dumps(facts))
        return writing.addCallback(lambda _: deferLater(reactor, self._delay))

    def write(self, line: str) -> None:
        """
        Write a line to the disk.
        """
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def acknowledgeFirst(journal: Any) -> None:
    """
    Broken on purpose: what was taken counts as told.
    """
    take = journal.takeEndings

    def takeEndings(observer: str, limit: int, lease: float) -> Deferred[Any]:
        def acknowledge(entries: Sequence[Any]) -> Deferred[Any]:
            ids = [entry.eventID for entry in entries]
            done = journal.acknowledge(observer, ids) if ids else succeed(None)
            return done.addCallback(lambda _: entries)

        return take(observer, limit, lease).addCallback(acknowledge)

    journal.takeEndings = takeEndings


async def work(options: argparse.Namespace) -> None:
    """
    Work until the process is asked to end, or killed.
    """
    store = openStore(options.store, reactor)
    if options.hasty:
        acknowledgeFirst(store)
    await store.setup()
    manager = SessionManager(store, reactor)
    notebook = Notebook(options.file, options.delay)
    manager.subscribe(notebook, name=NAME)
    (courier,) = manager.couriers._couriers
    courier._lease = options.lease
    courier._delivery._timeout = options.lease / 3
    reactor.addSystemEventTrigger("before", "shutdown", manager.stop)
    manager.start()
    notebook.write(READY)
    await Deferred()


def parse() -> argparse.Namespace:
    """
    What the command line says.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("::")[0])
    parser.add_argument("store", help="as twistd has it")
    parser.add_argument("file")
    parser.add_argument("--lease", type=float, default=LEASE)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--hasty", action="store_true", help="acknowledge before telling")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    react(lambda _: Deferred.fromCoroutine(work(given)))
