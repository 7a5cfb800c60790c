"""
One round of one variant.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from child import Child
from machine import cpu
from variants import Variant
from visitors import begin, counted
from wrk import CONNECTIONS, load, writeScript

Figures = dict[str, float]


class Round:
    """
    A server that is started, loaded with each number of sessions, and stopped.
    """

    def __init__(
        self,
        variant: Variant,
        servers: Mapping[str, Any],
        sessions: Sequence[int],
        seconds: int,
        warm: int,
    ) -> None:
        """
        @param servers: Those of the stores, by name.
        @param sessions: How many are in rotation, one load after the other; the first of
            these for one that knows no sessions, or begins them slowly.
        @param seconds: How long each load is.
        @param warm: How long the server is loaded before the first one.
        """
        self._variant = variant
        self._server = servers.get(variant.server)
        self._sessions = sessions[:1] if variant.isBare or variant.isSlow else sessions
        self._seconds = seconds
        self._warm = warm

    def run(self, directory: str) -> dict[str, Figures]:
        """
        Measure.

        @return: Figures by the number of sessions.
        """
        if self._server is not None:
            self._server.clear()
        place = tempfile.mkdtemp(dir=directory)
        found: dict[str, Figures] = {}
        with Child(self._command(place), place, self._variant.isMetered) as child:
            child.wait()
            for sessions in self._sessions:
                script = Path(place, f"{sessions}.lua")
                cookies = self._cookies(child, sessions)
                writeScript(script, cookies)
                if self._warm and not found:
                    load(child.port, script, self._warm)
                found[str(sessions)] = self._measure(child, script)
                self._check(child, cookies, found[str(sessions)]["requests"])
        return found

    def _command(self, place: str) -> list[str]:
        """
        How the server is started.
        """
        words = {"DIRECTORY": place}
        if self._server is not None:
            words["REDIS"] = str(self._server.port)
            words["STORE"] = self._server.store
            words["ADDRESS"] = getattr(self._server, "address", "")
        command = []
        for each in self._variant.command:
            text = each
            for word, value in words.items():
                text = text.replace(word, value)
            command.append(text)
        return command

    def _cookies(self, child: Child, sessions: int) -> list[str]:
        """
        Begin so many sessions.
        """
        return ["none=0"] if self._variant.isBare else begin(child.port, sessions, CONNECTIONS)

    def _measure(self, child: Child, script: Path) -> Figures:
        """
        One load.
        """
        if self._variant.isMetered:
            child.meter()
        busy = (child.cpu(), self._busy())
        result = load(child.port, script, self._seconds)
        figures = {
            "rate": result.rate,
            "requests": result.requests,
            "p50": result.p50,
            "p99": result.p99,
            "cpu": (child.cpu() - busy[0]) / result.requests,
            "server": (self._busy() - busy[1]) / result.requests,
        }
        return {**figures, **(child.meter() if self._variant.isMetered else {})}

    def _busy(self) -> float:
        """
        The seconds of processor that the store's server has used.
        """
        return 0.0 if self._server is None else cpu(self._server.pid)

    def _check(self, child: Child, cookies: Sequence[str], requests: float) -> None:
        """
        Look whether the sessions have counted: what does not save is fast.  Those of peers
        lose some of what is written at the same time.
        """
        if self._variant.isBare or self._variant.name.endswith("reading"):
            return
        some = cookies[:: max(1, len(cookies) // 100)]
        share = counted(child.port, some) / (requests * len(some) / len(cookies))
        if share < 0.5:
            raise RuntimeError(f"{self._variant.name} has counted {share:.0%} of all requests")
