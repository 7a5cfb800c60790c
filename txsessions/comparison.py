"""
A record of one store beside that of the same session in another: which is the
newer one, and what makes the old one like the new.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from .lifetime import endReason
from .record import Change, Record

TOLERANCE: Final = 1.0
"""
By how many seconds two times of one session may differ and be the same: a store
on a server keeps the server's time and translates, and how far the two clocks
are apart is known only as exactly as an answer takes.
"""


class Verdict(Enum):
    """
    What a copy of a record is, compared with the record.
    """

    SAME = "same"
    OLDER = "older"
    NEWER = "newer"
    OTHER = "other"
    """
    It says something else, and nothing tells which of them came later.
    """


def compare(record: Record, copy: Record) -> Verdict:
    """
    What a copy is, compared with the record.

    Where the content differs the later touch decides, since whoever changes
    a session touches it; and where that is about the same, who has counted more
    changes.  A copy that was updated has counted no more than its record.
    """
    if abs(record.created - copy.created) > TOLERANCE:
        return Verdict.OTHER
    later = record.lastModified - copy.lastModified
    if _content(record) == _content(copy):
        return Verdict.OLDER if later > TOLERANCE else Verdict.SAME
    if abs(later) <= TOLERANCE:
        later = record.version - copy.version
    if not later:
        return Verdict.OTHER
    return Verdict.OLDER if later > 0 else Verdict.NEWER


def update(record: Record, copy: Record) -> list[Change]:
    """
    What makes the copy like the record, if nobody changes it meanwhile: changes
    to apply one after the other.

    A copy may have passed its deadline because it was told of no touches.  A
    late touch revives nothing, so the first change gives it the deadline that
    the record has.
    """
    changes: list[Change] = []
    version = copy.version
    if endReason(copy, record.lastModified + TOLERANCE) is not None:
        idle = record.lastModified + record.sessionTimeout - copy.lastModified
        changes.append(
            Change(
                record.sid,
                sessionTimeout=idle,
                absoluteTimeout=record.absoluteTimeout,
                expectedVersion=version,
            )
        )
        version += 1
    if changes or _content(record) != _content(copy):
        changes.append(_difference(record, copy, version))
    else:
        touched = record.lastModified
        changes.append(Change(record.sid, lastModified=touched, expectedVersion=version))
    return changes


def _difference(record: Record, copy: Record, version: int) -> Change:
    """
    What gives the copy the content of the record.

    @param version: Which version of the copy it is for.
    """
    old, new = copy.attributes, record.attributes
    return Change(
        record.sid,
        set={name: value for name, value in new.items() if old.get(name) != value},
        unset=frozenset(old.keys() - new.keys()),
        lastModified=record.lastModified,
        sessionKey=record.sessionKey,
        verifier=record.verifier,
        sessionTimeout=record.sessionTimeout,
        absoluteTimeout=record.absoluteTimeout,
        expectedVersion=version,
    )


def _content(record: Record) -> tuple[Any, ...]:
    """
    All facts of a record but its times and the count of its changes.
    """
    return (
        record.verifier,
        record.sessionTimeout,
        record.absoluteTimeout,
        record.sessionKey,
        dict(record.attributes),
    )
