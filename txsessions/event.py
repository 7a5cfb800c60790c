"""
An event: something that has happened to a session, for those who observe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from zope.interface import implementer
from zope.interface.declarations import Provides

from .data import PREFIX
from .interfaces import (
    ISessionCreated,
    ISessionDestroyed,
    ISessionEvent,
    ISessionExpired,
    ISessionReworked,
)
from .jsonvalues import decode
from .lifetime import ABSOLUTE, IDLE
from .record import NOTHING, Record

CREATED: Final = "created"
"""
The type of the event that a session has begun.
"""

DESTROYED: Final = "destroyed"
"""
The type of the event that a session has ended.
"""

REWORKED: Final = "reworked"
"""
The type of the event that a session has got another token.
"""

EXPIRIES: Final = frozenset({IDLE, ABSOLUTE})
"""
The reasons of those endings that came by themselves.
"""


class LastData(Mapping[str, Any]):
    """
    What a session keeps, or has kept last, as it was stored.  It cannot be
    changed; each value is decoded anew when it is asked for, so that no
    observer sees what another one does to it.
    """

    __slots__ = ("_attributes",)

    def __init__(self, attributes: Mapping[str, bytes]) -> None:
        """
        @param attributes: Those of the record.
        """
        self._attributes = attributes

    def __repr__(self) -> str:
        return f"<LastData of {len(self)} keys>"

    def __getitem__(self, key: str) -> Any:
        if not isinstance(key, str):
            raise KeyError(key)
        try:
            text = self._attributes[PREFIX + key]
        except KeyError:
            raise KeyError(key) from None
        return decode(text)

    def __iter__(self) -> Iterator[str]:
        start = len(PREFIX)
        return (name[start:] for name in self._attributes if name.startswith(PREFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _isType(event: object, attribute: object, type: str) -> None:
    """
    Refuse what nobody has defined.
    """
    if type not in (CREATED, DESTROYED, REWORKED):
        raise ValueError(f"the type of an event is {CREATED}, {DESTROYED} or {REWORKED}")


@implementer(ISessionEvent)
@attrs.frozen(repr=False)
class SessionEvent:
    """
    Something that has happened to a session.  See L{ISessionEvent}.

    Its C{repr} tells nothing that opens a session, and nothing of what is in it.

    @ivar _record: The record of the session, if a store keeps one.
    """

    type: str = attrs.field(validator=_isType)
    sessionID: str | int | bytes
    sid: str | None = None
    reason: str | None = None
    eventID: str | None = None
    time: float | None = None
    _record: Record | None = attrs.field(default=None, eq=False)

    def __repr__(self) -> str:
        because = "" if self.reason is None else f" ({self.reason})"
        return f"<SessionEvent {self.type}{because} {self.nameOfSession}>"

    @property
    def nameOfSession(self) -> str:
        """
        What may be said of the session in a log: its public handle, or of which
        kind the id is that the caller has given it.
        """
        return self.sid or f"an id of type {type(self.sessionID).__name__}"

    @property
    def sessionKey(self) -> str | None:
        """
        See L{ISessionEvent}.
        """
        return None if self._record is None else self._record.sessionKey

    @property
    def created(self) -> float | None:
        """
        See L{ISessionEvent}.
        """
        return None if self._record is None else self._record.created

    @property
    def lastModified(self) -> float | None:
        """
        See L{ISessionEvent}.
        """
        return None if self._record is None else self._record.lastModified

    @property
    def data(self) -> Mapping[str, Any]:
        """
        See L{ISessionEvent}.
        """
        return LastData(NOTHING if self._record is None else self._record.attributes)

    @property
    def __providedBy__(self) -> Any:
        """
        What zope.interface asks for: which kind of event it is depends on what
        is in it.
        """
        if self.type == DESTROYED and self.reason in EXPIRIES:
            return _EXPIRED
        return _KINDS[self.type]


_EXPIRED: Final = Provides(SessionEvent, ISessionExpired)

_KINDS: Final = {
    CREATED: Provides(SessionEvent, ISessionCreated),
    DESTROYED: Provides(SessionEvent, ISessionDestroyed),
    REWORKED: Provides(SessionEvent, ISessionReworked),
}
