"""
Whether everything that ended was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from ...lifetime import LOGOUT
from .anomaly import Anomaly
from .notebook import Told

UNTOLD: Final = "an ending was not told"
WRONG: Final = "an ending was told that is none"
REPEATED: Final = "endings were told too often"
SHOWN: Final = 5
"""
How many are named at the most.
"""


@attrs.frozen
class Ending:
    """
    A log-out that was asked for.

    @ivar session: The name of the session.
    @ivar begun: When the first one was sent, in seconds since the epoch.
    @ivar isCertain: Whether one was acknowledged.
    """

    session: str
    begun: float
    isCertain: bool


def checkEndings(
    endings: Mapping[str, Ending],
    told: Sequence[Told],
    allowed: int,
    abandoned: Collection[str] = (),
) -> list[Anomaly]:
    """
    Compare what ended with what was told.

    @param endings: By C{sid}.
    @param told: In any order.
    @param allowed: How many may have been told again, for all the faults there were.
    @param abandoned: The names of sessions whose beginning was not acknowledged: if they
        are there nobody can open them, and the site may end them by itself.
    """
    wrong = _wrong(endings, told, abandoned)
    return [*_untold(endings, told), *wrong, *_repeated(told, allowed)]


def missingOf(endings: Mapping[str, Ending], told: Sequence[Told]) -> list[str]:
    """
    The C{sid}s of what was acknowledged and not told.
    """
    known = {each.sid for each in told}
    return [sid for sid, each in endings.items() if each.isCertain and sid not in known]


def _untold(endings: Mapping[str, Ending], told: Sequence[Told]) -> list[Anomaly]:
    """
    Each ending that was acknowledged is told.
    """
    return [
        Anomaly(UNTOLD, f"{sid}, whose end was acknowledged", endings[sid].session)
        for sid in missingOf(endings, told)
    ]


def _wrong(
    endings: Mapping[str, Ending], told: Sequence[Told], abandoned: Collection[str]
) -> list[Anomaly]:
    """
    Only what somebody ended is told, for the reason that it has, with what was in it, by
    one event, and not before.
    """
    found = []
    events: dict[str, str] = {}
    for each in told:
        due = endings.get(each.sid)
        if due is None and each.session in abandoned and each.reason == LOGOUT:
            continue
        if due is None:
            text = f"{each.sid} was told ({each.reason}), and nobody had ended it"
        elif each.reason != LOGOUT or each.session != due.session:
            text = f"{each.sid} was told as {each.reason} of {each.session}"
        elif each.toldAt < due.begun:
            text = f"{each.sid} was told {due.begun - each.toldAt:.3f} s before it was asked for"
        elif events.setdefault(each.sid, each.eventID) != each.eventID:
            text = f"{each.sid} was told by several events"
        else:
            continue
        found.append(Anomaly(WRONG, text, each.session))
    return found


def _repeated(told: Sequence[Told], allowed: int) -> list[Anomaly]:
    """
    No more is told again than the faults explain.
    """
    counted = Counter(each.eventID for each in told)
    again = sum(counted.values()) - len(counted)
    if again <= allowed:
        return []
    some = ", ".join(eventID for eventID, times in counted.most_common(SHOWN) if times > 1)
    return [Anomaly(REPEATED, f"{again} times, not {allowed} at the most: {some} …")]
