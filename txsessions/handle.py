"""
What may be shown of a session to its owner, and to operators.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from .data import PREFIX
from .jsonvalues import decode
from .record import Record


@attrs.frozen
class SessionHandle:
    """
    One live session in a list.  It opens nothing.

    @ivar sid: The public handle.
    @ivar created: When it began, in seconds since the epoch.
    @ivar lastModified: When it was last seen, in seconds since the epoch; some
        time ago, since not each touch is written.
    @ivar authenticatedAt: When its owner logged in, in seconds since the epoch,
        or C{None} if that is not known.
    @ivar notes: What the application chose to show: some of the keys of its
        data, with their values.
    """

    sid: str
    created: float
    lastModified: float
    authenticatedAt: float | None = None
    notes: Mapping[str, Any] = attrs.field(repr=False, factory=dict)


def handleOf(record: Record, notes: Collection[str]) -> SessionHandle:
    """
    What may be shown of a session.

    @param notes: Which keys of its data may be.
    """
    texts = {key: record.attributes.get(PREFIX + key) for key in notes}
    return SessionHandle(
        record.sid,
        record.created,
        record.lastModified,
        record.authenticatedAt,
        {key: decode(text) for key, text in texts.items() if text is not None},
    )
