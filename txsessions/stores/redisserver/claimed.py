"""
What a script has ended: for each session its handle, the reason and the fields of
the record; only the handle, if it was damaged and has been put aside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..claim import Ending
from ..servertime import ServerTime
from .fields import Damaged, fromFields


def endingsOf(
    claimed: Sequence[Sequence[Any]],
    time: ServerTime,
    damaged: Callable[[str, Sequence[bytes]], object],
) -> list[Ending]:
    """
    The endings.

    @param damaged: Called with the handle of a damaged record that was put
        aside, and its fields if only now they turned out to be none.
    """
    endings = []
    for handle, *rest in claimed:
        sid = handle.decode()
        if not rest:
            damaged(sid, ())
            continue
        reason, fields = rest
        try:
            record = fromFields(sid, fields, time)
        except Damaged:
            damaged(sid, fields)
        else:
            endings.append(Ending(record, reason.decode()))
    return endings
