"""
The site, as all clients see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from .anomaly import Anomaly
from .checker import check
from .endings import Ending
from .figures import Figures
from .history import History
from .operation import Operation

BURIED: Final = 300
"""
How many sessions that are over are still asked for, to see that they do not come back.
"""


class Site:
    """
    Where the workers are, and what came of all requests.

    @ivar reactor: Where the clients run.
    @ivar ports: The workers' ports.
    @ivar figures: What can be counted.
    @ivar anomalies: What was wrong, in the sessions that were looked at so far.
    @ivar endings: What was asked to end, by C{sid}.
    @ivar abandoned: The names of sessions whose beginning was not acknowledged.
    """

    def __init__(
        self, reactor: Any, since: Callable[[], float], ports: Sequence[int], random: Random
    ) -> None:
        """
        @param since: How long the run goes on, in seconds.
        """
        self.reactor = reactor
        self.ports = ports
        self.figures = Figures()
        self.anomalies: list[Anomaly] = []
        self.endings: dict[str, Ending] = {}
        self.abandoned: set[str] = set()
        self._sessions = 0
        self._since = since
        self._random = random
        self._buried: list[History] = []

    def newHistory(self) -> History:
        """
        The history of a session that is about to begin.
        """
        self._sessions += 1
        return History(f"session-{self._sessions}")

    def begin(self, operation: Operation) -> Operation:
        """
        A request is about to be sent.
        """
        operation.number = self.figures.next()
        operation.start = self._since()
        return operation

    def end(self, operation: Operation) -> None:
        """
        It was answered, or given up.
        """
        operation.end = self._since()
        self.figures.note(operation)

    def unsent(self) -> None:
        """
        A request could not be sent.
        """
        self.figures.unsent += 1

    def retire(self, history: History) -> None:
        """
        A session is over; it is looked at when nobody asks for it any more.
        """
        if not history.cookies:
            self._judge(history)
            return
        self._buried.append(history)
        while len(self._buried) > BURIED:
            self._judge(self._buried.pop(0))

    def anyBuried(self) -> History | None:
        """
        A session that is over.
        """
        return self._random.choice(self._buried) if self._buried else None

    def judgeAll(self) -> None:
        """
        Look at all that is left.
        """
        while self._buried:
            self._judge(self._buried.pop())

    def _judge(self, history: History) -> None:
        """
        Look at a session, and keep of it what is to be kept.
        """
        self.anomalies += check(history)
        if history.sid is None:
            self.abandoned.add(history.name)
        elif history.endings:
            begun = min(each.start for each in history.endings)
            moment = time.time() - self._since() + begun
            self.endings[history.sid] = Ending(history.name, moment, history.isEnded)
