"""
A durable observer that writes down what it is told, and what it has written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from ...interfaces import ISessionObserver

NAME: Final = "chaos"
"""
What the observer is called, in all workers.
"""


@attrs.frozen
class Told:
    """
    One ending, as the observer was told.

    @ivar by: Which worker told it, by the name of its file.
    @ivar session: The name in the session's data.
    @ivar toldAt: When, in seconds since the epoch.
    """

    by: str
    eventID: str
    sid: str
    reason: str
    session: str | None
    toldAt: float


@implementer(ISessionObserver)
class Notebook:
    """
    Writes each ending to the disk; the observer was told when it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def update(self, event: Any) -> Deferred[None]:
        """
        See L{ISessionObserver.update}.
        """
        facts = {
            "eventID": event.eventID,
            "sid": event.sid,
            "reason": event.reason,
            "session": event.data.get("name"),
            # Not by C{time.time}, which may be wrong on purpose.
            "toldAt": time.clock_gettime(time.CLOCK_REALTIME),
        }
        return deferToThread(self._write, json.dumps(facts))

    def _write(self, line: str) -> None:
        """
        Write a line, and see that it is on the disk.
        """
        with open(self._path, "ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read(directory: Path) -> Iterator[Told]:
    """
    What all notebooks in a directory say.  The last line of one whose writer was
    killed may not be whole: that was told to nobody.
    """
    for path in sorted(directory.iterdir()):
        *lines, _ = path.read_text().split("\n")
        for line in lines:
            yield Told(path.name, **json.loads(line))
