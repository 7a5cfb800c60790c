"""
One request of a client, and what it was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

import attrs

BEGIN: Final = "begin"
READ: Final = "read"
WRITE: Final = "write"
ADD: Final = "add"
LOGIN: Final = "log in"
LOGOUT: Final = "log out"
PROBE: Final = "probe"
"""
A read with a cookie that should be dead.
"""

DONE: Final = "done"
"""
Answered by 200, from a session.
"""

NONE: Final = "no session"
"""
Answered by 200, by a site that knows of no session.
"""

REFUSED: Final = "503"
"""
Answered by 503.  That something was refused does not say that it was not done: the
store may have done it, and could not say so in time.
"""

LOST: Final = "no answer"
"""
Sent, and not answered in time, or never.
"""

FAILED: Final = "failed"
"""
Answered by something else.
"""


@attrs.define(eq=False)
class Operation:
    """
    One request.

    @ivar number: Its place among all requests.
    @ivar client: Who asked, a number.
    @ivar worker: Who was asked, a number.
    @ivar kind: What for.
    @ivar cookie: Which cookie of the session was sent: C{0} is the first one that
        it had, C{-1} none.
    @ivar start: When it was sent, in seconds since the run began.
    @ivar end: When it was answered, or given up.
    @ivar key: What was written.
    @ivar token: What it was set to.
    @ivar slow: How long the page was told to take, in seconds.
    @ivar status: The status of the answer; C{None}: there was none.
    @ivar name: Whose session answered, by the name in its data.
    @ivar found: What was read, by key; a key that is not there was not set.
    @ivar total: The counter, as it was told.
    @ivar hasCookie: Whether the answer brought a cookie.
    """

    number: int
    client: int
    worker: int
    kind: str
    cookie: int
    start: float
    end: float = inf
    key: str = ""
    token: str = ""
    slow: float = 0.0
    outcome: str = LOST
    status: int | None = None
    name: str | None = None
    found: Mapping[str, str] | None = None
    total: int | None = None
    hasCookie: bool = False

    @property
    def isDone(self) -> bool:
        """
        Whether it was acknowledged, so that what it did is there for sure.
        """
        return self.outcome == DONE

    @property
    def latency(self) -> float:
        """
        How long it took, besides what it was told to take, in seconds.
        """
        return max(0.0, self.end - self.start - self.slow)

    @property
    def mayHappen(self) -> bool:
        """
        Whether it may have been done, or may yet be.
        """
        return self.outcome in (DONE, REFUSED, LOST, FAILED)

    @property
    def certainFrom(self) -> float:
        """
        From when on it is done for sure; never, if nobody has said so.
        """
        return self.end if self.isDone else inf

    def line(self) -> str:
        """
        It in one line, for a story.
        """
        what = " ".join(filter(None, [self.kind, self.key, self.token and f"= {self.token}"]))
        told = self.outcome if self.status in (None, 200, 503) else f"status {self.status}"
        parts = [f"{told}"]
        if self.found is not None:
            parts.append(", ".join(f"{key}={token}" for key, token in self.found.items()))
        if self.total is not None:
            parts.append(f"total {self.total}")
        if self.hasCookie:
            parts.append("with a cookie")
        return (
            f"{self.start:9.3f} to {self.end:9.3f}  #{self.number} client {self.client} at worker "
            f"{self.worker}, cookie {self.cookie}: {what}: {'; '.join(filter(None, parts))}"
        )
