"""
A command on its way through a Cluster.
"""

from __future__ import annotations

from .address import Address
from .connection import Answer
from .slots import slotOf


class Call:
    """
    One command on its way.

    @ivar node: To whom it was sent last.
    @ivar isWaiting: Whether it waits for those before it in its line.
    @ivar isDirect: Whether it was sent to whom the map names, and not
        somewhere else since.
    """

    __slots__ = (
        "answer",
        "detours",
        "isDirect",
        "isScript",
        "isWaiting",
        "key",
        "node",
        "packed",
        "slot",
    )

    def __init__(self, key: str | bytes, packed: bytes, isScript: bool, answer: Answer) -> None:
        self.key = key
        self.slot = slotOf(key)
        self.packed = packed
        self.isScript = isScript
        self.answer = answer
        self.detours = 0
        self.node: Address | None = None
        self.isWaiting = True
        self.isDirect = False
