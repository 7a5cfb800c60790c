"""
What a served process says of itself: how late its reactor was at the most.

Whoever has started the process writes a line, and gets one with a JSON object, of what
was since the line before.
"""

from __future__ import annotations

import gc
import json
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver

BEAT = 0.005
"""
How often the heart beats, in seconds.
"""


class Meter(LineOnlyReceiver):
    """
    Beats, and notes when it was late, and how long Python collected garbage.
    """

    delimiter = b"\n"

    def __init__(self) -> None:
        self._clear()
        self._last = time.perf_counter()
        self._began = 0.0
        gc.callbacks.append(self._collected)
        self._beat()

    def _clear(self) -> None:
        """
        Begin anew.
        """
        self._stall = self._worked = self._collecting = 0.0
        self._busy = time.thread_time()

    def lineReceived(self, line: bytes) -> None:
        """
        Tell.
        """
        # The turn that answers is measured, too.
        self._note()
        figures = {
            "stall": self._stall,
            "busy": self._worked,
            "collecting": self._collecting,
        }
        self._clear()
        self.sendLine(json.dumps(figures).encode())

    def connectionLost(self, reason: Any = None) -> None:
        """
        Whoever has started this process has ended.
        """
        if reactor.running:  # type: ignore[attr-defined]  # the reactor
            reactor.stop()  # type: ignore[attr-defined]

    def _note(self) -> None:
        """
        How late it is.
        """
        now, busy = time.perf_counter(), time.thread_time()
        self._stall = max(self._stall, now - self._last - BEAT)
        self._worked = max(self._worked, busy - self._busy)
        self._last, self._busy = now, busy

    def _beat(self) -> None:
        """
        One beat, and all that follow.
        """
        self._note()
        reactor.callLater(BEAT, self._beat)  # type: ignore[attr-defined]  # the reactor

    def _collected(self, phase: str, _: object) -> None:
        """
        For the collector of garbage.
        """
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._collecting = max(self._collecting, time.perf_counter() - self._began)


def startMeter() -> None:
    """
    Answer lines of the standard input.
    """
    StandardIO(Meter())
