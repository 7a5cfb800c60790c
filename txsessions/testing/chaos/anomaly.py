"""
What must not happen, and did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from .operation import Operation

LINES = 12
"""
How many requests a story has at the most.
"""


@attrs.frozen
class Anomaly:
    """
    One thing that went wrong.

    @ivar kind: Which promise was broken, in a few words.
    @ivar text: What happened.
    @ivar session: The name of the session; C{None} if that has nothing to do with it.
    @ivar operations: The requests that show it.
    """

    kind: str
    text: str
    session: str | None = None
    operations: Sequence[Operation] = ()

    def story(self) -> str:
        """
        It in some lines.
        """
        where = "" if self.session is None else f" in {self.session}"
        shown = sorted(self.operations, key=lambda each: each.start)
        lines = [f"{self.kind}{where}: {self.text}", *(f"  {each.line()}" for each in shown)]
        if len(lines) > LINES + 1:
            lines[LINES:-1] = [f"  … {len(lines) - LINES - 1} more"]
        return "\n".join(lines)

    def content(self) -> dict[str, Any]:
        """
        It for a program.
        """
        return {
            "kind": self.kind,
            "session": self.session,
            "text": self.text,
            "requests": [each.line().strip() for each in self.operations],
        }
