"""
The form of a public handle.
"""

from __future__ import annotations

import re

_match = re.compile(r"[0-9a-f]{32}").fullmatch


def isSid(sid: object) -> bool:
    """
    Whether this has the form of the public handle of a session.  The name of a
    file is never made of anything else.  (Capital letters would be the same
    name on some systems.)
    """
    return isinstance(sid, str) and _match(sid) is not None
