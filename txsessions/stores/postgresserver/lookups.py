"""
What is sent for some units, and what comes back: rows that several of them look for
are asked for at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from .kind import TEXT, Row
from .statement import Lookup, Statement, Unit


class Arrangement:
    """
    The statements of some units that are done in one transaction.

    @ivar _units: The units.
    @ivar _sids: For each unit that one query answers before all others, by its
        place, what it looks for; there are none or several.
    @ivar _many: That query; C{None} if there is none.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = units
        looks = _looks(units)
        self._sids = {place: TEXT.write(look.sid) for place, look in looks.items()}
        self._many: Statement | None = None
        if looks:
            first, *_ = looks.values()
            self._many = first.many([look.sid for look in looks.values()])

    def statements(self) -> list[Statement]:
        """
        What to send, in this order.
        """
        first = [] if self._many is None else [self._many]
        others = (unit for place, unit in enumerate(self._units) if place not in self._sids)
        return [*first, *(statement for unit in others for statement in unit.statements)]

    def outcomes(self, rows: Sequence[list[Row]]) -> list[list[list[Row]]]:
        """
        The rows of the statements of each unit.

        @param rows: Those of each statement that was sent.
        """
        remaining = iter(rows)
        found = {} if self._many is None else {row[0]: [row] for row in next(remaining)}
        return [
            [found.get(self._sids[place], [])]
            if place in self._sids
            else [next(remaining) for _ in unit.statements]
            for place, unit in enumerate(self._units)
        ]


def _looks(units: Sequence[Unit]) -> dict[int, Lookup]:
    """
    The units, by their places, that look for one row and do nothing else, and that none
    comes before which may change it.  None if there is but one.
    """
    changed: set[str] = set()
    looks: dict[int, Lookup] = {}
    for place, unit in enumerate(units):
        first = unit.statements[0]
        if type(first) is not Lookup:
            changed.add(unit.key)
        elif unit.key not in changed and len(unit.statements) == 1:
            looks[place] = first
    return looks if len(looks) > 1 else {}
