"""
Commands in their wire form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import hiredis

pack: Final[Callable[[tuple[Any, ...]], bytes]] = hiredis.pack_command
"""
A command, its name and arguments L{str}, L{bytes}, L{int} or L{float}, in its
wire form.
"""

PING: Final = pack(("PING",))
"""
Asks for a sign of life.
"""

ASKING: Final = pack(("ASKING",))
"""
Lets the next command into a slot that is still being moved to that node.
"""
