"""
The failure of a command.
"""

from __future__ import annotations

import sys
from typing import Final

MAXIMUM_TROUBLES: Final = 10
"""
How many sessions are named with which something is wrong.
"""


class CommandFailed(Exception):
    """
    The command has not done what it should.  The text is one line.
    """


class Troubles:
    """
    Tells of the first sessions with which something is wrong.
    """

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, text: str) -> None:
        self._count += 1
        if self._count <= MAXIMUM_TROUBLES:
            print(f"txsessions: {text}", file=sys.stderr)
        elif self._count == MAXIMUM_TROUBLES + 1:
            print("txsessions: … and more", file=sys.stderr)
