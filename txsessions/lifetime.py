"""
How long a session lives: the idle and the absolute time-out, and why it ends.

Pure functions of a record's times; the present moment is an argument.
"""

from __future__ import annotations

from typing import Final, Protocol

LOGOUT: Final = "logout"
"""
The application ended it: C{logOut()}, C{expire()}.
"""

IDLE: Final = "expired-idle"
"""
Nobody touched it for its C{sessionTimeout}.
"""

ABSOLUTE: Final = "expired-absolute"
"""
It reached its C{absoluteTimeout}, however busy it was.
"""

REVOKED: Final = "revoked"
"""
Somebody else ended it: an operator, or C{clear} of all sessions of its owner.
"""

EVICTED: Final = "evicted"
"""
Its owner had too many sessions, and it was the oldest.
"""


MARGIN: Final = 5.0
"""
How long before its deadline, in seconds, a store hears of a touch at the
latest: as long as a write may take.
"""


class Lived(Protocol):
    """
    What has the times of a session: a record, or a live session.
    """

    @property
    def created(self) -> float: ...

    @property
    def lastModified(self) -> float: ...

    @property
    def sessionTimeout(self) -> float: ...

    @property
    def absoluteTimeout(self) -> float | None: ...


def deadline(lived: Lived) -> float:
    """
    The moment at which the session ends unless it is touched before, in
    seconds since the epoch.  At that very moment it has ended.
    """
    idle = lived.lastModified + lived.sessionTimeout
    if lived.absoluteTimeout is None:
        return idle
    return min(idle, lived.created + lived.absoluteTimeout)


def isInTime(lived: Lived, moment: float) -> bool:
    """
    Whether the session does not end by itself until a moment.
    """
    return moment < lived.lastModified + lived.sessionTimeout and (
        lived.absoluteTimeout is None or moment < lived.created + lived.absoluteTimeout
    )


def endReason(lived: Lived, now: float) -> str | None:
    """
    Why the session has ended by itself at C{now}; C{None} while it lives.

    Where both time-outs have passed, the one that passed first is the reason.
    """
    end = deadline(lived)
    if now < end:
        return None
    return IDLE if end == lived.lastModified + lived.sessionTimeout else ABSOLUTE


def lastCall(lived: Lived) -> float:
    """
    The moment by which a store that knows these times has to hear of a touch,
    lest it ends the session although it was touched: a little before the
    deadline, because it takes a while to tell it.
    """
    return deadline(lived) - min(MARGIN, touchInterval(lived.sessionTimeout))


def touchInterval(sessionTimeout: float) -> float:
    """
    How old a stored C{lastModified} may grow before a further touch is
    written, in seconds.

    A tenth of the time-out, and a minute at the most: a session that is used
    all the time costs its store one write in that interval instead of one per
    request, and a process that is killed forgets no more than that of it.
    """
    interval = sessionTimeout / 10
    return interval if interval < 60.0 else 60.0
